/**
 * What the packet-ring test does inside its network namespace. The parent names a scenario, this process answers with
 * what happened as plain data; frames are hexadecimal.
 */
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import {
  FLAG_DECREMENT_TTL,
  FLAG_REWRITE_PORTS,
  FLAG_REWRITE_SOURCE,
  TABLE_FORWARD,
  TABLE_REVERSE,
} from '../../src/flow/layout.js';
import { native } from '../../src/io/native.js';
import { probePacket } from '../../src/io/packet.js';
import { BATCH_CAPACITY, PORT_INSIDE, PORT_OUTSIDE, VERDICT_DROP, VERDICT_RAW } from '../../src/io/port.js';
import { bytes, hex } from './packet-builder.js';
import {
  collect,
  End,
  HandMadeTable,
  type Heard,
  MAC,
  macOf,
  type Opened,
  openPort,
  type Wire,
} from './packet-wire.js';

const UDP = 17 << 8;
const FORWARD = 0;
const REVERSE = 1;
const FAN_OUT = 4242;

const plain = ({ bytes: frame, ingress, flags }: Heard) => ({ frame: hex(frame), ingress, flags });
const linkOf = (fd: string): string => {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return ''; // the descriptor that the listing itself used
  }
};
const run = (command: string): void => {
  const [program, ...words] = command.split(' ');
  execFileSync(program, words, { stdio: ['ignore', 'ignore', 'inherit'] });
};

/** Entry 0 sends to a server behind s0, entry 1 back to the client behind c0. */
function twoWays(options: { server: string; vip: string; ports?: [number, number] }): HandMadeTable {
  const table = new HandMadeTable();
  table.hop(0, macOf('s0'), PORT_INSIDE);
  table.hop(1, macOf('c0'), PORT_OUTSIDE);
  const flags = FLAG_DECREMENT_TTL | (options.ports ? FLAG_REWRITE_PORTS : 0);
  const [forward, reverse] = options.ports ?? [0, 0];
  table.entry({ slot: FORWARD, tag: UDP | TABLE_FORWARD, flags, address: options.server, ports: forward, hop: 0 });
  table.entry({
    slot: REVERSE,
    tag: UDP | TABLE_REVERSE,
    flags: flags | FLAG_REWRITE_SOURCE,
    address: options.vip,
    ports: reverse,
    hop: 1,
  });
  return table;
}

function twoArms(
  table: HandMadeTable,
  more: { vlans?: [number, number]; blockLength?: number; blockCount?: number } = {},
): Opened {
  const [outside, inside] = more.vlans ?? [0, 0];
  return openPort(table, {
    devices: [
      { name: 'd0', role: 'outside' },
      { name: 'd1', role: 'inside' },
    ],
    ports: [
      { device: 0, vlan: outside, mac: macOf('d0') },
      { device: 1, vlan: inside, mac: macOf('d1') },
    ],
    fanout: { group: -1, shards: 1 },
    blockLength: more.blockLength,
    blockCount: more.blockCount,
  });
}

/** Gives each frame the entry of its side. */
const bySide =
  ({ port }: Opened) =>
  (i: number): void => {
    const side = port.columns.ingress[i];
    if (side === PORT_OUTSIDE) port.columns.verdict[i] = FORWARD;
    if (side === PORT_INSIDE) port.columns.verdict[i] = REVERSE;
  };

const scenarios = {
  /** `out` from the client and `back` from the server, through both entries. */
  forward(input: {
    server: string;
    vip: string;
    ports?: [number, number];
    vlans?: [number, number];
    out: string[];
    back: string[];
  }) {
    const table = twoWays(input);
    const ring = twoArms(table, input);
    const [outside, inside] = input.vlans ?? [0, 0];
    const client = new End('c0', outside);
    const server = new End('s0', inside);
    client.put(input.out.map(bytes));
    server.put(input.back.map(bytes));
    const seen = collect(ring.port, input.out.length + input.back.length, bySide(ring));
    const { counters } = ring;
    const result = {
      seen: seen.map(plain),
      atServer: server.hear(input.out.length).map(plain),
      atClient: client.hear(input.back.length).map(plain),
      counted: [table.packets(FORWARD), table.packets(REVERSE)],
      sent: counters.statistics[counters.framesSent],
      failed: counters.statistics[counters.sendFailed],
      received: ring.port.statistics().received,
    };
    for (const each of [ring.port, client, server, table]) each.close();
    return result;
  },

  /** One device, two VLANs: what comes in by the one leaves by the other. */
  oneArm(input: { vlans: [number, number]; server: string; vip: string; frame: string; other: string }) {
    const table = twoWays(input);
    table.hop(0, macOf('c0'), PORT_INSIDE);
    const ring = openPort(table, {
      devices: [{ name: 'd0', role: 'both' }],
      ports: input.vlans.map((vlan) => ({ device: 0, vlan, mac: macOf('d0') })),
      fanout: { group: -1, shards: 1 },
    });
    const [sender, receiver] = input.vlans.map((vlan) => new End('c0', vlan));
    const stranger = new End('c0', 999);
    stranger.put([bytes(input.other)]);
    sender.put([bytes(input.frame)]);
    const seen = collect(ring.port, 2, bySide(ring)).map(plain);
    const back = receiver.hear(1).map(plain);
    for (const each of [ring.port, sender, receiver, stranger, table]) each.close();
    return { seen, back };
  },

  /** A datagram of a real socket whose device finishes checksums: 203.0.113.1 is behind d0, as far as the host knows. */
  async partial() {
    run('ethtool -K c0 tx on');
    run('ip addr add 198.51.100.2/24 dev c0');
    run(`ip route add 203.0.113.1/32 dev c0 src 198.51.100.2`);
    run(`ip neigh replace 203.0.113.1 lladdr ${MAC.d0} dev c0 nud permanent`);
    const table = twoWays({ server: '10.0.0.10', vip: '203.0.113.1' });
    const ring = twoArms(table);
    const server = new End('s0');
    const socket = createSocket('udp4');
    await new Promise<void>((done) => socket.bind(40001, '198.51.100.2', done));
    await new Promise((done) => socket.send('a datagram of odd length', 1701, '203.0.113.1', done));
    socket.close();
    const result = { seen: collect(ring.port, 1, bySide(ring)).map(plain), arrived: server.hear(1).map(plain) };
    for (const each of [ring.port, server, table]) each.close();
    return result;
  },

  /** Two members of one group per device; says which member got which frame, in order. */
  fanOut(input: { from: Wire; frames: string[] }) {
    const table = new HandMadeTable();
    const members = [0, 1].map(() =>
      openPort(table, {
        devices: [
          { name: 'd0', role: 'outside' },
          { name: 'd1', role: 'inside' },
        ],
        ports: [
          { device: 0, vlan: 0, mac: macOf('d0') },
          { device: 1, vlan: 0, mac: macOf('d1') },
        ],
        fanout: { group: FAN_OUT, shards: 2 },
      }),
    );
    const end = new End(input.from);
    end.put(input.frames.map(bytes));
    const got: string[][] = [[], []];
    const until = Date.now() + 5000;
    while (got[0].length + got[1].length < input.frames.length && Date.now() < until) {
      members.forEach(({ port }, m) => {
        const n = port.turn(0, 0, 2);
        for (let i = 0; i < n; i++)
          got[m].push(hex(new Uint8Array(port.frames, port.columns.offset[i], port.columns.length[i])));
      });
    }
    const lost = members.map(({ port }) => port.statistics().lost);
    for (const { port } of members) port.close();
    end.close();
    table.close();
    return { got, lost };
  },

  /** How long a turn of a second takes when it has been woken, in ms, and then one of 100 ms. */
  wake() {
    const table = new HandMadeTable();
    const wakeFd = native().eventFd();
    const { port } = openPort(table, {
      devices: [{ name: 'd0', role: 'both' }],
      ports: [{ device: 0, vlan: 0, mac: macOf('d0') }],
      fanout: { group: -1, shards: 1 },
      wakeFd,
    });
    const timed = (waitMs: number): number => {
      const start = performance.now();
      if (port.turn(0, 0, waitMs) !== 0) throw new Error('a frame, where there is none');
      return performance.now() - start;
    };
    native().signalEventFd(wakeFd);
    const woken = timed(1000);
    const quiet = timed(100);
    port.close();
    table.close();
    native().closeFd(wakeFd);
    return { woken, quiet };
  },

  /** A worker with an open ring in a loop, ended by force: what of it is left? */
  async terminate() {
    const state = () => ({
      sockets: readFileSync('/proc/net/packet', 'utf8').trim().split('\n').length - 1,
      // Not those that tests keep open themselves: the table's file.
      fds: readdirSync('/proc/self/fd').filter((fd) => linkOf(fd).startsWith('socket:')).length,
      maps: readFileSync('/proc/self/maps', 'utf8')
        .split('\n')
        .filter((line) => line.includes('socket:')).length,
    });
    const file = new URL('./packet-ring-worker.ts', import.meta.url).href;
    const load = `import('tsx/esm/api').then(({ tsImport }) => tsImport('${file}', '${file}'))`;
    const worker = () => new Worker(load, { eval: true });
    // The first worker opens what a process opens once.
    const first = worker();
    await new Promise((done) => first.once('message', done));
    await first.terminate();
    const before = state();
    const second = worker();
    await new Promise((done) => second.once('message', done));
    const during = state();
    await second.terminate();
    return { before, during, after: state() };
  },

  /** A link goes down and comes back; then its device is deleted. */
  linkDown(input: { frame: string }) {
    const table = new HandMadeTable();
    const ring = twoArms(table);
    const { port, counters } = ring;
    const client = new End('c0');
    const failed = (): number => counters.statistics[counters.sendFailed];
    /** Sends a frame out of d0 from scratch. */
    const sendOut = (): void => {
      const frame = bytes(input.frame);
      new Uint8Array(port.frames).set(frame, port.scratchOffset);
      port.columns.offset[BATCH_CAPACITY] = port.scratchOffset;
      port.columns.length[BATCH_CAPACITY] = frame.length;
      port.columns.egress[BATCH_CAPACITY] = PORT_OUTSIDE;
      port.columns.verdict[BATCH_CAPACITY] = VERDICT_RAW;
      port.turn(0, 1, 1);
    };
    run('ip link set d0 down');
    for (let i = 0; i < 3; i++) sendOut();
    const whileDown = failed();
    run('ip link set d0 up');
    run('ip link set c0 up');
    sendOut();
    client.put([bytes(input.frame)]);
    const afterwards = { failed: failed(), heard: collect(port, 1).length };
    run('ip link add x0 type veth peer name x1');
    run('ip link set x0 up');
    run('ip link set x1 up');
    const doomed = openPort(table, {
      devices: [{ name: 'x0', role: 'both' }],
      ports: [{ device: 0, vlan: 0, mac: macOf('d0') }],
      fanout: { group: -1, shards: 1 },
    });
    doomed.port.turn(0, 0, 0);
    run('ip link del x0');
    run('ip link add x0 type veth peer name x1');
    let gone: NodeJS.ErrnoException | undefined;
    try {
      for (const until = Date.now() + 5000; Date.now() < until; ) doomed.port.turn(0, 0, 10);
    } catch (error) {
      gone = error as NodeJS.ErrnoException;
    }
    run('ip link del x0');
    for (const each of [port, doomed.port, client, table]) each.close();
    return {
      whileDown,
      afterwards,
      gone: { code: gone?.code, message: gone?.message, cause: (gone?.cause as NodeJS.ErrnoException)?.code },
    };
  },

  /** A frame that is too long between two that are not, and one without a way out. */
  tooLong(input: { frame: string }) {
    const table = new HandMadeTable();
    const { port, counters } = twoArms(table);
    const server = new End('s0');
    const frame = bytes(input.frame);
    [frame.length, 2000, frame.length, frame.length].forEach((length, slot) => {
      const offset = port.scratchOffset + slot * 2048;
      new Uint8Array(port.frames).set(frame, offset);
      port.columns.offset[BATCH_CAPACITY + slot] = offset;
      port.columns.length[BATCH_CAPACITY + slot] = length;
      port.columns.egress[BATCH_CAPACITY + slot] = slot === 3 ? 7 : PORT_INSIDE;
      port.columns.verdict[BATCH_CAPACITY + slot] = VERDICT_RAW;
    });
    port.turn(0, 4, 0);
    const result = {
      sent: counters.statistics[counters.framesSent],
      failed: counters.statistics[counters.sendFailed],
      bytes: counters.statistics[counters.bytesSent],
      arrived: server.hear(2).length,
    };
    for (const each of [port, server, table]) each.close();
    return result;
  },

  /** Numbered frames through a ring of a few blocks many times round, a few at a time, each looked at before release. */
  manyRounds(input: { frame: string; rounds: number; each: number }) {
    const table = twoWays({ server: '10.0.0.10', vip: '203.0.113.1' });
    const ring = twoArms(table, { blockLength: 4096, blockCount: 4 });
    const { port } = ring;
    const client = new End('c0');
    const server = new End('s0');
    const frame = bytes(input.frame);
    const id = new DataView(frame.buffer);
    const order: number[] = [];
    for (let round = 0, next = 0; round < input.rounds; round++) {
      const some = Array.from({ length: input.each }, () => {
        id.setUint32(frame.length - 4, next++);
        return frame.slice();
      });
      client.put(some);
      collect(port, input.each, bySide(ring));
      for (const { bytes: arrived } of server.hear(input.each))
        order.push(new DataView(arrived.buffer).getUint32(arrived.length - 4));
    }
    const { lost } = port.statistics();
    for (const each of [port, client, server, table]) each.close();
    return { order, lost };
  },

  /** More than the ring holds while nobody reads. */
  overrun(input: { frame: string; count: number }) {
    const table = new HandMadeTable();
    const { port, counters } = twoArms(table, { blockLength: 4096, blockCount: 4 });
    const client = new End('c0');
    client.put(Array.from({ length: input.count }, () => bytes(input.frame)));
    let taken = 0;
    for (let n = port.turn(0, 0, 10); n > 0; n = port.turn(n, 0, 10)) taken += n;
    const { received, lost } = port.statistics();
    client.put([bytes(input.frame)]);
    const afterwards = collect(port, 1).length;
    const counted = counters.statistics[counters.receiveRing];
    for (const each of [port, client, table]) each.close();
    return { taken, received, lost, counted, afterwards };
  },

  closed() {
    const table = new HandMadeTable();
    const { port } = twoArms(table);
    const view = new Uint8Array(port.frames);
    port.close();
    port.close();
    const problems: unknown[] = [];
    for (const call of [() => port.turn(0, 0, 0), () => port.rewrite(0, 0)]) {
      try {
        call();
      } catch (error) {
        problems.push((error as NodeJS.ErrnoException).code);
      }
    }
    const unmapped = twoArms(table);
    table.close();
    try {
      unmapped.port.turn(0, 0, 0);
    } catch (error) {
      problems.push((error as Error).message);
    }
    unmapped.port.close();
    return {
      problems,
      statistics: port.statistics(),
      bytes: [view[0], view[view.length - 1]],
      usable: probePacket() === undefined,
    };
  },

  /** The last one: this process has no rights any more afterwards. */
  unprivileged() {
    const table = new HandMadeTable();
    process.setgid?.(65534);
    process.setuid?.(65534);
    const told = (error: unknown) => {
      const { code, message, exitStatus } = error as { code: string; message: string; exitStatus: number };
      return { code, message, exitStatus };
    };
    try {
      twoArms(table);
      return null;
    } catch (error) {
      return { opening: told(error), probing: told(probePacket()) };
    }
  },
};

export type Scenarios = typeof scenarios;

process.on('message', ({ name, input }: { name: keyof Scenarios; input: never }) => {
  Promise.resolve()
    .then((): unknown => scenarios[name](input))
    .then(
      (result) => process.send?.({ result }),
      (error: Error) => process.send?.({ error: error.stack }),
    );
});
process.send?.({ result: VERDICT_DROP });
