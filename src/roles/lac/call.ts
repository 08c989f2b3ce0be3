/** A call of a LAC: one customer's PPPoE session on its way into a tunnel, and in it. */
import type { L2tpSession } from '../../protocol/l2tp/session.js';
import type { ProxyLcp } from '../../protocol/ppp/proxy.js';
import type { PppLink } from '../../protocol/ppp/link.js';
import type { PppoeSession } from '../../protocol/pppoe/session.js';
import type { LnsTarget } from './targets.js';

/** link: PPP with the client here. ask: RADIUS. dial: tunnel and call are being set up. */
export type LacCallState = 'link' | 'ask' | 'dial' | 'up' | 'ended';

export class LacCall {
  state: LacCallState = 'link';
  /** Until PPP goes on elsewhere. */
  link: PppLink | null = null;
  proxy: ProxyLcp | null = null;
  /** As the client gave it. */
  user: string | null = null;
  authentication: string | null = null;
  /** Index in `choose` of whom is being asked. */
  asked = 0;
  radiusToken = 0;
  /** Those that were not tried yet, best first. */
  targets: LnsTarget[] = [];
  target: LnsTarget | null = null;
  session: L2tpSession | null = null;
  /** Why the last target did not do. */
  failure = '';
  /** Frames of the client that came up while the workers did not know yet that they are to be kept. */
  readonly early: Uint8Array[] = [];
  /** Until it has to stand. */
  deadline: number;
  upSince = 0;

  constructor(
    readonly pppoe: PppoeSession,
    /** Place in the session table. */
    readonly slot: number,
    readonly called: string,
    readonly calling: string,
    readonly since: number,
    patience: number,
  ) {
    this.deadline = since + patience;
  }
}
