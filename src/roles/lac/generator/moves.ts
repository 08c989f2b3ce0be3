/**
 * Switchover in the call generator: the generator as a LAC that can move its tunnels (document 002), by the engine and
 * the glue that the LAC has. What a call would send meanwhile waits with the call.
 */
import type { L2tpEndpoint } from '../../../protocol/l2tp/endpoint.js';
import type { L2tpSession } from '../../../protocol/l2tp/session.js';
import type { L2tpTunnel } from '../../../protocol/l2tp/tunnel.js';
import type { AvpInput } from '../../../tunnels/l2tp/avp.js';
import type { SessionTable, SessionTunnel, Words } from '../../../flow/session-table.js';
import type { CompiledLacSwitchover } from '../../../config/lac-switchover.js';
import { DEFAULT_VENDOR } from '../../../tunnels/l2tp/offload-avps.js';
import { parseAddress } from '../../../wire/address.js';
import type { MoverHost } from '../switchover-face.js';
import type { Call } from './call.js';

/** What the generator tells LNSs and how it moves; the defaults of a LAC. */
export const GENERATOR_SWITCHOVER: CompiledLacSwitchover = {
  enabled: true,
  vendor: DEFAULT_VENDOR,
  deadline: 5,
  suspectAfter: 3,
  hello: 1,
  firstWait: 0.25,
  peers: [],
  standby: false,
};

/** The peer's tunnel is opened in advance; the two LNSs may talk through it. */
export const GENERATOR_STANDBY: CompiledLacSwitchover = { ...GENERATOR_SWITCHOVER, standby: true };

/** How a session's data is addressed. */
export function tunnelRow(session: L2tpSession): SessionTunnel {
  const { tunnel } = session;
  return {
    socket: tunnel.peer.socket,
    address: parseAddress(tunnel.peer.address) as Words,
    port: tunnel.peer.port,
    localTunnelId: tunnel.localId,
    localSessionId: session.localId,
    peerTunnelId: tunnel.peerId,
    peerSessionId: session.peerId,
  };
}

export interface MovingGenerator {
  readonly endpoint: L2tpEndpoint;
  readonly table: SessionTable;
  now(): number;
  wake(): void;
  dial(
    to: { readonly address: string; readonly port: number },
    socket: number,
    avps: readonly AvpInput[],
  ): L2tpTunnel | null;
  retire(tunnel: L2tpTunnel): void;
  /** Sends what the call has held. */
  flush(call: Call): void;
}

export function generatorMoves(generator: MovingGenerator): MoverHost {
  const slotOf = (session: L2tpSession): number => (session.userData as Call | null)?.slot ?? -1;
  const { endpoint, table } = generator;
  return {
    endpoint,
    now: () => generator.now(),
    wake: () => generator.wake(),
    open: (address, port, like, avps) => generator.dial({ address, port }, like.peer.socket, avps),
    retire: (tunnel) => generator.retire(tunnel),
    // Tunnels of a generator have the calls that it puts there, and none is ended for want of them.
    keep: () => {},
    *sessions(tunnel) {
      for (const session of tunnel.sessions.values()) if (session.state === 'established') yield session;
    },
    hold: (session) => {
      const call = session.userData as Call | null;
      if (call !== null) call.held ??= [];
    },
    resume: (session) => {
      const slot = slotOf(session);
      if (slot < 0) return;
      if (table.update(slot, { tunnel: tunnelRow(session) })) generator.flush(session.userData as Call);
      else session.hangUp(2, 4, table.refusal);
    },
    replace: (old, fresh) => {
      fresh.userData = old.userData;
      old.userData = null;
    },
    abandon: (session, reason) => session.hangUp(2, 0, reason),
  };
}
