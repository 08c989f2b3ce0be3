/** What a switchover may do with the calls of a LAC. */
import type { L2tpEndpoint } from '../../protocol/l2tp/endpoint.js';
import type { L2tpSession } from '../../protocol/l2tp/session.js';
import type { LacCall } from './call.js';
import type { CallDesk, CallPlane } from './call-desk.js';
import type { MoverHost } from './switchover-face.js';
import type { TunnelKeeper, TunnelNote } from './tunnel-keeper.js';

export interface MoverParts {
  readonly endpoint: L2tpEndpoint;
  readonly keeper: TunnelKeeper;
  readonly desk: CallDesk;
  readonly plane: CallPlane;
  readonly loop: { wake(): void };
}

export function moverHost({ endpoint, keeper, desk, plane, loop }: MoverParts, clock: () => number): MoverHost {
  const callOf = (session: L2tpSession): LacCall | null => session.userData as LacCall | null;
  return {
    endpoint,
    now: clock,
    open: (address, port, like, avps) => {
      const note = like.userData as TunnelNote | null;
      if (note === null) return null;
      // The peer's own entry says how it is dialled; without one it is dialled as the LNS that named it.
      const { secret, hide, hostName } = desk.lnsAt(address) ?? note.target;
      return keeper.dial(note.target, { address, port, secret, hide, hostName }, avps, clock(), true);
    },
    retire: (tunnel) => keeper.retire(tunnel),
    keep: (tunnel, standby) => keeper.keep(tunnel, standby),
    *sessions(tunnel) {
      for (const session of tunnel.sessions.values()) if (session.state === 'established') yield session;
    },
    hold: (session) => {
      const call = callOf(session);
      if (call !== null) plane.table.update(call.slot, { state: 'hold' });
    },
    resume: (session) => {
      const call = callOf(session);
      if (call !== null && !desk.forward(call, session))
        desk.end(call, 'switchover', `the switchover failed: ${plane.table.refusal}`, clock());
    },
    replace: (old, fresh) => {
      const call = callOf(old);
      old.userData = null;
      fresh.userData = call;
      if (call !== null) call.session = fresh;
    },
    abandon: (session, reason) => {
      const call = callOf(session);
      if (call !== null) desk.end(call, 'switchover', reason, clock());
    },
    wake: () => loop.wake(),
  };
}
