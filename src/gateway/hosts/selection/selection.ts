/** How a forwarder is selected for a host: the interface of the algorithms (document 004, claim 1: "load balancing considerations"). */
import type { Mac } from '../../mac.js';
import type { Algorithm } from '../../types.js';
import { LeastLoad } from './least-load.js';
import { Rendezvous } from './rendezvous.js';
import { RoundRobin } from './round-robin.js';
import { Weighted } from './weighted.js';

/** A forwarder that may be given to a host. */
export interface Candidate {
  readonly number: number;
  /** > 0. */
  readonly weight: number;
  /** 0 … 1, as its gateway reported it last. */
  readonly load: number;
}

export interface Selection {
  /** The candidates, in the order of their numbers, whenever something about them changes. */
  update(candidates: readonly Candidate[], now: number): void;
  /** The forwarder that the host would be given now; 0 without candidates. Changes nothing. */
  peek(host: Mac, now: number): number;
  /** Gives the host a forwarder: its turn is over. */
  take(host: Mac, now: number): number;
  /** Another member gave the forwarder to a host; the successor goes on from there. */
  follow(number: number): void;
}

export function selectionOf(algorithm: Algorithm): Selection {
  switch (algorithm) {
    case 'round-robin':
    // The master's own forwarder is the one candidate (Roster.views); without it any that is served.
    case 'master':
      return new RoundRobin();
    case 'weighted':
      return new Weighted();
    case 'host':
      return new Rendezvous();
    case 'least-load':
      return new LeastLoad();
  }
}
