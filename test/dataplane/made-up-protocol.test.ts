import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { CAPTURE_SLOTS } from '../../src/dataplane/capture-tap.js';
import { newStatistics } from '../../src/dataplane/counters.js';
import { HandOver, handOverLength } from '../../src/dataplane/hand-over.js';
import type { Plan } from '../../src/dataplane/plan.js';
import { Shard } from '../../src/dataplane/shard.js';
import { formatTable, TableMemory, tableLayout } from '../../src/flow/layout.js';
import { FrameRing } from '../../src/flow/ring.js';
import { MemoryPort } from '../../src/io/memory.js';
import { PORT_INSIDE, PORT_OUTSIDE } from '../../src/io/port.js';
import {
  CLASS_CONTROL,
  CLASS_CONTROL_UNBOUND,
  CLASS_DATA,
  CLASS_NOT_MINE,
  EVENT_CLOSE,
  EVENT_CONNECTED,
  EVENT_REPLY,
  EVENT_REQUEST,
  type TunnelDescriptor,
} from '../../src/tunnels/descriptor.js';
import { nativeCounters, nativeTable } from '../../src/workers/native-binding.js';
import { frame, hex, viewOf } from '../helpers/packet-builder.js';
import {
  CLIENT,
  defaultRoutes,
  Harness,
  INSIDE_MAC,
  mac,
  OUTSIDE_MAC,
  SERVER_1,
  SERVER_2,
  VIP,
  vipOf,
} from '../helpers/shard-harness.js';

const PROTOCOL = 253; // RFC 3692: for experiments
const REQUEST = 1;
const REPLY = 2;
const CONNECTED = 3;
const CLOSE = 4;
const DATA = 9;

/**
 * A tunnel protocol that nobody has: no ports, its own IP protocol, 32-bit channels.
 *   | kind (1) | 0 (3) | channel of the receiver (4) | channel of the sender (4, control only) | …
 */
const MADE_UP: TunnelDescriptor = {
  name: 'made-up',
  id: 200,
  ipProtocol: PROTOCOL,
  defaultPort: 0,
  hasPorts: false,
  malformed: [],
  classify(view, offset, end, channel) {
    if (end - offset < 8) return CLASS_NOT_MINE;
    channel[0] = view.getInt32(offset + 4);
    channel[1] = 0;
    if (view.getUint8(offset) === DATA) return CLASS_DATA;
    return channel[0] === 0 ? CLASS_CONTROL_UNBOUND : CLASS_CONTROL;
  },
  read(view, offset, _end, event) {
    const kinds: Record<number, number> = {
      [REQUEST]: EVENT_REQUEST,
      [REPLY]: EVENT_REPLY,
      [CONNECTED]: EVENT_CONNECTED,
      [CLOSE]: EVENT_CLOSE,
    };
    event.kind = kinds[view.getUint8(offset)] ?? 0;
    event.channel = view.getInt32(offset + 4);
    event.assigned = view.getInt32(offset + 8);
    event.assignedHidden = false;
    event.ns = -1;
    event.nr = -1;
    return event.kind;
  },
  channelOffset: () => 4,
  assignedOffset: (_view, offset) => offset + 8,
};

function message(kind: number, channel: number, sender?: number, tail = ''): Uint8Array {
  const bytes = new Uint8Array(sender === undefined ? 8 : 12);
  const view = viewOf(bytes);
  view.setUint8(0, kind);
  view.setUint32(4, channel);
  if (sender !== undefined) view.setUint32(8, sender);
  return Uint8Array.from([...bytes, ...(tail.match(/../g) ?? []).map((byte) => Number.parseInt(byte, 16))]);
}

/** A shard over the memory port, whose rewriting is the addon's own. */
function appliance() {
  const memory = new TableMemory(new ArrayBuffer(tableLayout(64).length), 64);
  formatTable(memory, 1, new Int32Array(4));
  const vips = [{ ...vipOf({}), protocols: ['made-up'] as unknown as ['l2tp'] }];
  // The harness binds VIPs, servers and next hops to the table; its own shard is not used.
  const { binding, plan } = new Harness({ memory, vips, descriptors: new Map([['made-up', MADE_UP]]) });
  const statistics = newStatistics();
  const port = new MemoryPort({
    table: nativeTable(memory),
    counters: nativeCounters(statistics),
    ports: [
      { device: 0, vlan: 0, mac: mac(OUTSIDE_MAC) },
      { device: 1, vlan: 0, mac: mac(INSIDE_MAC) },
    ],
  });
  port.setTime(1000);
  const shard = new Shard({
    shard: 0,
    memory,
    port,
    statistics,
    handOver: new HandOver(0, 1, new SharedArrayBuffer(handOverLength(1))),
    captureRing: new FrameRing(new SharedArrayBuffer(FrameRing.byteLength(CAPTURE_SLOTS)), 0, CAPTURE_SLOTS),
    macs: [mac(OUTSIDE_MAC), mac(INSIDE_MAC)],
    oneArm: false,
    filterNeeded: false,
    descriptors: new Map([['made-up', MADE_UP]]),
  });
  shard.message({ type: 'routes', routes: defaultRoutes() });
  shard.message({ type: 'plan', plan: plan as Plan });
  const turn = (): void => {
    for (let n = 0; n < 3; n++) shard.turn(0);
  };
  return {
    binding,
    memory,
    /** What a frame becomes: [source, destination, payload]; null when nothing is sent. */
    send(from: string, to: string, payload: Uint8Array): [string, string, string] | null {
      const before = port.sent.length;
      port.inject(
        frame({ ip: { src: from, dst: to, protocol: PROTOCOL }, payload }),
        from === CLIENT ? PORT_OUTSIDE : PORT_INSIDE,
      );
      turn();
      const out = port.sent[before]?.frame;
      if (out === undefined) return null;
      const ip = (at: number): string => [...out.subarray(at, at + 4)].join('.');
      return [ip(26), ip(30), hex(out.subarray(34))];
    },
    at(seconds: number): void {
      port.setTime(seconds);
      turn();
    },
    tunnels: (): number => Atomics.load(memory.header, 17),
  };
}

test('a protocol without ports is designated, mapped both ways and aged', () => {
  const a = appliance();
  const request = message(REQUEST, 0, 0xdead0001);
  expect(a.send(CLIENT, VIP, request)).toEqual([CLIENT, SERVER_2, hex(request)]);
  // Repeated: the same server, no other turn.
  expect(a.send(CLIENT, VIP, request)).toEqual([CLIENT, SERVER_2, hex(request)]);
  const reply = message(REPLY, 0xdead0001, 0xbeef0002);
  expect(a.send(SERVER_2, CLIENT, reply)).toEqual([VIP, CLIENT, hex(reply)]);
  const connected = message(CONNECTED, 0xbeef0002, 0);
  expect(a.send(CLIENT, VIP, connected)?.[1]).toBe(SERVER_2);
  const up = message(DATA, 0xbeef0002, undefined, 'cafe');
  const down = message(DATA, 0xdead0001, undefined, 'f00d');
  expect(a.send(CLIENT, VIP, up)).toEqual([CLIENT, SERVER_2, hex(up)]);
  expect(a.send(SERVER_2, CLIENT, down)).toEqual([VIP, CLIENT, hex(down)]);

  const second = message(REQUEST, 0, 0xdead0003);
  expect(a.send(CLIENT, VIP, second)?.[1]).toBe(SERVER_1);
  expect(a.tunnels()).toBe(2);

  expect(a.send(CLIENT, VIP, message(CLOSE, 0xbeef0002, 0xdead0001))?.[1]).toBe(SERVER_2);
  a.at(1034);
  expect(a.send(CLIENT, VIP, message(CLOSE, 0xbeef0002, 0xdead0001))?.[1]).toBe(SERVER_2);
  a.at(1036);
  expect(a.tunnels()).toBe(1);
  expect(a.send(CLIENT, VIP, up)).toBeNull();
  a.at(1062); // the second was never answered
  expect(a.tunnels()).toBe(0);
});

test('nothing in flow or dataplane knows a protocol by name', () => {
  for (const folder of ['src/flow', 'src/dataplane']) {
    for (const file of readdirSync(folder)) {
      const code = readFileSync(`${folder}/${file}`, 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
      expect(code, file).not.toMatch(/l2tp|1701|sccr|stopccn/i);
    }
  }
});
