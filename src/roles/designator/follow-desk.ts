/**
 * What the shards tell of clients that follow answers from another address, stay at the VIP or refuse them: counted for
 * each VIP, the last that do not follow by name, and told as events. Bounded, as the shards' own memories are.
 */
import { FOLLOW, FOLLOW_WORDS } from '../../dataplane/follow-class.js';
import { FollowMemory } from '../../dataplane/follow-memory.js';
import type { FollowNotice } from '../../dataplane/followers.js';
import type { EventLog } from '../../ops/events.js';
import { formatAddress } from '../../wire/address.js';
import type { Binding, BoundVip } from './binding.js';

/** Clients that are named for each VIP, the last ones. */
export const NAMED_LIMIT = 8;

export interface FollowCounts {
  readonly following: number;
  readonly carried: number;
  readonly refusing: number;
  /** `192.0.2.5 carried, 192.0.2.9 refuses`, null: nobody. */
  readonly notFollowing: string | null;
}

export class FollowDesk {
  readonly #memory = new FollowMemory();
  /** By VIP cell: address → class word, in the order of their last change. */
  readonly #named = new Map<number, Map<string, string>>();

  constructor(
    readonly events: Pick<EventLog, 'emit'>,
    readonly binding: Pick<Binding, 'vips'>,
  ) {}

  told(clients: readonly FollowNotice[]): void {
    for (const { vip, client, follow } of clients) {
      const before = this.#memory.set(vip, ...client, follow);
      if (before === follow) continue;
      const address = formatAddress(...client);
      this.#name(vip, address, follow);
      // Whoever does what the protocol foresees is counted, not told, unless it was thought to do otherwise.
      if (follow === FOLLOW.follows && before === FOLLOW.unknown) continue;
      const bound = this.binding.vips.find(({ index }) => index === vip);
      this.events.emit('client-follows', {
        vip: bound?.name ?? null,
        client: address,
        follow: FOLLOW_WORDS[follow] ?? 'unknown',
        detail: detailOf(follow, bound),
      });
    }
  }

  /** FOLLOW of a client of a VIP cell. */
  classOf(vip: number, words: readonly number[]): number {
    const [a0, a1, a2, a3] = words.map((word) => word | 0);
    return this.#memory.classOf(vip, a0, a1, a2, a3);
  }

  counts(vip: number): FollowCounts {
    const named = [...(this.#named.get(vip) ?? [])].map(([address, word]) => `${address} ${word}`);
    return {
      following: this.#memory.count(vip, FOLLOW.follows),
      carried: this.#memory.count(vip, FOLLOW.carried),
      refusing: this.#memory.count(vip, FOLLOW.refuses),
      notFollowing: named.length === 0 ? null : named.join(', '),
    };
  }

  #name(vip: number, address: string, follow: number): void {
    const named = this.#named.get(vip) ?? new Map<string, string>();
    this.#named.set(vip, named);
    named.delete(address);
    if (follow !== FOLLOW.carried && follow !== FOLLOW.refuses) return;
    named.set(address, FOLLOW_WORDS[follow]);
    for (const oldest of named.keys()) if (named.size > NAMED_LIMIT) named.delete(oldest);
  }
}

function detailOf(follow: number, vip: BoundVip | undefined): string {
  if (follow === FOLLOW.follows) return 'it goes on with the address that answered';
  if (follow === FOLLOW.carried)
    return 'it goes on sending to the VIP: what it sends is carried on from there to its server';
  if (vip?.oneWay !== true) return 'it takes no answer from elsewhere: it is answered from the VIP';
  return (vip.localAddress ?? -1) >= 0
    ? 'it takes no answer from elsewhere: its tunnels are put to servers from localAddress and answered from the VIP'
    : 'it takes no answer from elsewhere, and the VIP has no localAddress from which it could be helped: give it one';
}
