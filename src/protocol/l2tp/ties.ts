/**
 * Both ends dial at the same time: Tie Breaker AVP, RFC 2661 §4.4.3. The lower value wins, one that is there wins against
 * none, and where neither end has any both tunnels are set up.
 */
import type { L2tpTunnel } from './tunnel.js';

/** SCCRQs that have lost and may still be repeated; the oldest leave. */
const LOSERS_LIMIT = 4096;
/** Seconds for which they may: a full cycle of RFC 2661 §5.8. */
const LOSER_LIFE = 31;

/** `ours`: the peer's SCCRQ is not answered. `theirs`: our tunnels in `tunnels` are given up. `equal`: they begin anew. */
export interface Verdict {
  readonly winner: 'nobody' | 'ours' | 'theirs' | 'equal';
  readonly tunnels: readonly L2tpTunnel[];
}

const NO_TIE: Verdict = { winner: 'nobody', tunnels: [] };

export class Ties {
  /** Our tunnels that wait for their SCCRP, by the address that was dialled. */
  readonly #dialling = new Map<string, Set<L2tpTunnel>>();
  readonly #addresses = new Map<L2tpTunnel, string>();
  /** By address, port and tunnel id: until when. */
  readonly #losers = new Map<string, number>();

  add(tunnel: L2tpTunnel): void {
    const { address } = tunnel.peer;
    this.#addresses.set(tunnel, address);
    const set = this.#dialling.get(address);
    if (set === undefined) this.#dialling.set(address, new Set([tunnel]));
    else set.add(tunnel);
  }

  /** It waits no longer; its peer may have turned out to be elsewhere. */
  remove(tunnel: L2tpTunnel): void {
    const address = this.#addresses.get(tunnel);
    if (address === undefined) return;
    this.#addresses.delete(tunnel);
    const set = this.#dialling.get(address);
    if (set?.delete(tunnel) === true && set.size === 0) this.#dialling.delete(address);
  }

  /** An SCCRQ has come from `address`; `key` names it among all. */
  judge(address: string, tie: Uint8Array | null, key: string, now: number): Verdict {
    const until = this.#losers.get(key);
    if (until !== undefined && until > now) return { winner: 'ours', tunnels: [] };
    const tunnels = [...(this.#dialling.get(address) ?? [])].filter((ours) => ours.tie !== null || tie !== null);
    if (tunnels.length === 0) return NO_TIE;
    const order = tunnels.map((ours) => compare(ours.tie, tie));
    if (order.some((n) => n < 0)) {
      this.#remember(key, now + LOSER_LIFE);
      return { winner: 'ours', tunnels };
    }
    const equal = tunnels.filter((_, n) => order[n] === 0);
    return equal.length > 0 ? { winner: 'equal', tunnels: equal } : { winner: 'theirs', tunnels };
  }

  #remember(key: string, until: number): void {
    this.#losers.delete(key);
    this.#losers.set(key, until);
    if (this.#losers.size > LOSERS_LIMIT) this.#losers.delete(this.#losers.keys().next().value as string);
  }
}

/** Below 0: `a` wins. */
function compare(a: Uint8Array | null, b: Uint8Array | null): number {
  if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1;
  for (let n = 0; n < a.length; n++) if (a[n] !== b[n]) return a[n] - b[n];
  return 0;
}
