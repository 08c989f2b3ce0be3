/** One call of the generator: an L2TP session and the PPP link in it. */
import type { L2tpSession } from '../../../protocol/l2tp/session.js';
import type { Due } from '../../../protocol/l2tp/due-queue.js';
import type { PppLink } from '../../../protocol/ppp/link.js';

/** How far it has come. */
export type CallStage = 'l2tp' | 'lcp' | 'authentication' | 'network' | 'up' | 'ended';

export class Call implements Due {
  dueAt = 0;
  duePlace = -1;
  stage: CallStage = 'l2tp';
  link: PppLink | null = null;
  /** Place in the session table, −1 none. */
  slot = -1;
  /** Place among the calls that are up, −1 none. */
  place = -1;
  /** Seconds. */
  connectedAt = 0;
  /** Of IPCP, 4 bytes each. */
  address: Uint8Array | null = null;
  peerAddress: Uint8Array | null = null;
  /** When it is hung up, to be dialled again; Infinity: it stays. */
  hangUpAt = Number.POSITIVE_INFINITY;

  /** While its tunnel moves: frames that wait; null: they go out at once. */
  held: Uint8Array[] | null = null;

  constructor(
    /** From 1 on; a call that is dialled again keeps it. */
    readonly number: number,
    readonly session: L2tpSession,
    readonly startedAt: number,
  ) {}
}
