/** `show peers` of an LNS. */
import type { CompiledOffload } from '../../../config/lns-offload.js';
import type { LnsOffloadDesk } from './desk.js';

export interface OffloadPeerRow {
  readonly peer: string;
  readonly state: string;
  readonly generation: number;
  readonly peerGeneration: number | null;
  readonly synchronised: boolean;
  readonly waiting: number;
  readonly entriesSent: number;
  readonly denied: number;
  readonly keptTunnels: number;
  readonly keptSessions: number;
  readonly keptBytes: number;
  readonly takenTunnels: number;
  readonly takenSessions: number;
  readonly reason: string;
}

export function peerRow(desk: LnsOffloadDesk, settings: CompiledOffload): OffloadPeerRow {
  const { pair, link, adoption } = desk;
  const { host, port } = settings.peer;
  return {
    peer: host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`,
    state: pair.source.refused !== 0 ? 'refused' : pair.connected ? 'connected' : 'disconnected',
    generation: pair.generation,
    peerGeneration: pair.peer?.generation ?? null,
    synchronised: pair.connected && pair.source.refused === 0 && pair.source.synchronised,
    waiting: pair.source.waiting,
    entriesSent: pair.source.statistics.entriesSent,
    denied: pair.source.statistics.denied,
    keptTunnels: pair.store.tunnels.size,
    keptSessions: pair.store.sessionCount,
    keptBytes: pair.store.bytes,
    takenTunnels: adoption.origins.size,
    takenSessions: adoption.counters.sessionsTaken,
    reason: link.trouble,
  };
}
