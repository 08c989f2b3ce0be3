/** The other gateways of a GLBP group, told apart by their addresses as GLBP does. */
import type { AddressWords } from '../../wire/address.js';
import { formatWords } from '../../wire/address.js';
import type { GlbpState } from '../../wire/glbp.js';

/** A group has four forwarders; more gateways stand by. Beyond that nobody is taken up. */
const PEER_LIMIT = 64;

export interface GlbpPeer {
  readonly key: string;
  readonly address: AddressWords;
  /** Its own MAC, as its messages say. */
  owner: Uint8Array;
  /** Where it was heard from: the way for unicast. */
  from: Uint8Array;
  state: GlbpState;
  priority: number;
  /** Seconds. */
  heard: number;
}

export class GlbpPeers {
  readonly #peers = new Map<string, GlbpPeer>();

  /** Null: there are too many. `hold` is how long a silent one is remembered when another needs its place. */
  heard(address: AddressWords, owner: Uint8Array, from: Uint8Array, hold: number, now: number): GlbpPeer | null {
    const key = formatWords(address);
    let peer = this.#peers.get(key);
    if (peer === undefined) {
      if (this.#peers.size >= PEER_LIMIT) this.#forget(now - hold);
      if (this.#peers.size >= PEER_LIMIT) return null;
      peer = { key, address, owner, from, state: 0, priority: 0, heard: now };
      this.#peers.set(key, peer);
    }
    peer.owner = owner;
    peer.from = from;
    peer.heard = now;
    return peer;
  }

  get(key: string): GlbpPeer | undefined {
    return this.#peers.get(key);
  }

  values(): Iterable<GlbpPeer> {
    return this.#peers.values();
  }

  #forget(before: number): void {
    for (const peer of this.#peers.values()) if (peer.heard < before) this.#peers.delete(peer.key);
  }
}

/** By priority, then by address, the higher one first: > 0 when a is before b. */
export function compareRank(
  a: { readonly priority: number; readonly address: AddressWords },
  b: { readonly priority: number; readonly address: AddressWords },
): number {
  if (a.priority !== b.priority) return a.priority - b.priority;
  for (let i = 0; i < 4; i++) if (a.address[i] !== b.address[i]) return a.address[i] - b.address[i];
  return 0;
}
