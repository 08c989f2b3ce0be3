/** What the tests of offload share: a shard behind an XDP program, tunnels on their way into it, and what their entries say. */
import { expect } from 'vitest';
import {
  ENTRY,
  ENTRY_WORDS,
  FLAG_OFFLOADED,
  RECORD,
  RECORD_WORDS,
  SERVER_REASON,
  XDP_FLAG,
} from '../../src/flow/layout.js';
import { ServerTable } from '../../src/designation/servers.js';
import { setXdpFlags } from '../../src/flow/xdp-words.js';
import { QUIET_SECONDS } from '../../src/dataplane/offload.js';
import { PORT_INSIDE } from '../../src/io/port.js';
import { iccn, icrp, icrq, scccn, sccrp, sccrq, udpFrame, viewOf } from './packet-builder.js';
import { CLIENT, Harness, type HarnessOptions, SERVER_1, VIP } from './shard-harness.js';

export const toVip = (payload: Uint8Array, client = CLIENT, port = 1701) =>
  udpFrame(`${client}:${port}`, `${VIP}:1701`, payload);
export const toClient = (server: string, payload: Uint8Array, client = CLIENT, port = 1701, sport = 1701) =>
  udpFrame(`${server}:${sport}`, `${client}:${port}`, payload);

export function harness(options: HarnessOptions = {}): Harness {
  const h = new Harness({ offload: true, kind: 'xdp', servers: [{ name: 'lns1', address: SERVER_1 }], ...options });
  setXdpFlags(h.memory, XDP_FLAG.offload, true);
  return h;
}

/** SCCRQ … SCCCN; the tunnel's record. Client id 7 and server id 99 unless told otherwise. */
export function connect(h: Harness, id = 7, serverId = 99, client = CLIENT, serverPort = 1701): number {
  const request = h.send(toVip(sccrq({ assigned: id }), client));
  const v = viewOf(request.sent[0].frame);
  const server = [0, 1, 2, 3].map((i) => v.getUint8(30 + i)).join('.');
  h.send(toClient(server, sccrp({ tunnel: id, assigned: serverId }), client, 1701, serverPort), PORT_INSIDE);
  h.send(toVip(scccn({ tunnel: serverId }), client));
  const records = h.memory.layout.recordCount;
  for (let record = 0; record < records; record++) {
    const at = record * RECORD_WORDS;
    if ((h.memory.records[at] & 0xff) !== 0 && h.memory.records[at + RECORD.serverChannel] === serverId) return record;
  }
  throw new Error('no such tunnel');
}

/** Flags of the entries that data goes by. */
export function flags(h: Harness, record: number): number[] {
  const { records, entries } = h.memory;
  return [RECORD.entryReverse, RECORD.entryForward, RECORD.entryAlias]
    .map((word) => records[record * RECORD_WORDS + word] - 1)
    .filter((slot) => slot >= 0)
    .map((slot) => entries[slot * ENTRY_WORDS + ENTRY.record] & 0xff);
}

export const isIn = (h: Harness, record: number): boolean => flags(h, record).every((f) => (f & FLAG_OFFLOADED) !== 0);
export const isOut = (h: Harness, record: number): boolean => flags(h, record).every((f) => (f & FLAG_OFFLOADED) === 0);
/** Time enough for a quiet tunnel. */
export const wait = (h: Harness, seconds = QUIET_SECONDS * 2): void => h.at(h.now + seconds);

/** A tunnel that the program has. */
export function offloaded(options: HarnessOptions = {}): { h: Harness; record: number } {
  const h = harness(options);
  const record = connect(h);
  wait(h);
  expect(isIn(h, record)).toBe(true);
  return { h, record };
}

export function openSession(h: Harness, client = 11, server = 22): void {
  h.send(toVip(icrq({ tunnel: 99, assigned: client })));
  h.send(toClient(SERVER_1, icrp({ tunnel: 7, session: client, assigned: server })), PORT_INSIDE);
  h.send(toVip(iccn({ tunnel: 99, session: server })));
}

export const setServer = (h: Harness, state: number): void =>
  new ServerTable(h.memory).setState(h.binding.servers[0].index, state, SERVER_REASON.command, Math.floor(h.now));
