/** The tables of a GLBP group, in the form of every group's. */
import { GLBP_STATE } from '../../wire/glbp.js';
import { readMac } from '../mac.js';
import type { ForwarderRow, GatewayLoad, MemberRow, MemberState } from '../types.js';
import type { GlbpDesk } from './desk.js';
import type { GlbpForwarders } from './forwarders.js';
import type { GlbpPeer, GlbpPeers } from './peers.js';

export function memberState(state: number): MemberState {
  if (state === GLBP_STATE.active) return 'master';
  return state === GLBP_STATE.standby || state === GLBP_STATE.speak ? 'backup' : 'listen';
}

/** GLBP has no numbers of gateways: that of the forwarder which a gateway owns stands for it, 0 when it has none. */
export function numberOf(forwarders: GlbpForwarders, peer: GlbpPeer | null): number {
  if (peer === null) return 0;
  return forwarders.values().find(({ owner }) => owner === peer)?.number ?? 0;
}

export function peerRows(
  peers: GlbpPeers,
  forwarders: GlbpForwarders,
  active: GlbpPeer | null,
  hold: number,
  now: number,
): MemberRow[] {
  return Array.from(peers.values(), (peer): MemberRow => {
    const number = numberOf(forwarders, peer);
    const forwarder = forwarders.values().find((one) => one.active === peer && one.number === number);
    return {
      number,
      self: false,
      alive: now - peer.heard < hold,
      // Nothing in GLBP proves that a message is not an old one.
      verified: false,
      state: memberState(peer.state),
      master: peer === active,
      priority: peer.priority,
      weight: forwarder?.weight ?? 0,
      able: forwarder !== undefined,
      reasons: [],
      load: 0,
      bitsPerSecond: 0,
      packetsPerSecond: 0,
      address: peer.address,
      mac: readMac(peer.owner),
      age: now - peer.heard,
      term: 0,
      version: 0,
    };
  });
}

export function forwarderRows(
  forwarders: GlbpForwarders,
  desk: GlbpDesk,
  weight: number,
  load: GatewayLoad,
  now: number,
): ForwarderRow[] {
  return forwarders.values().map((forwarder): ForwarderRow => {
    const { number, mac, serves, active, owned, owner, since } = forwarder;
    const served = serves || active !== null;
    const byOwner = serves ? owned : active !== null && active === owner;
    const givenOut = forwarders.givenOut(forwarder, now);
    const traffic = load.perForwarder?.get(number);
    return {
      number,
      mac: readMac(mac),
      state: !served ? 'idle' : byOwner ? 'active' : givenOut ? 'taken-over' : 'draining',
      server: serves ? (forwarders.own?.number ?? 0) : numberOf(forwarders, active),
      givenOut,
      weight: serves ? weight : forwarder.weight,
      load: 0,
      hosts: desk.countOf(number),
      held: serves,
      served: serves,
      bytes: traffic?.bytes ?? 0,
      packets: traffic?.packets ?? 0,
      age: now - since,
    };
  });
}
