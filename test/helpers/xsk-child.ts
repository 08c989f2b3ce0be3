/** What the AF_XDP test does inside its network namespace, as packet-ring-child.ts does for the packet ring. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { FLAG_DECREMENT_TTL, FLAG_REWRITE_SOURCE, TABLE_FORWARD, TABLE_REVERSE } from '../../src/flow/layout.js';
import { native } from '../../src/io/native.js';
import {
  BATCH_CAPACITY,
  PORT_INSIDE,
  PORT_NONE,
  PORT_OUTSIDE,
  SCRATCH_SLOT_LENGTH,
  VERDICT_RAW,
} from '../../src/io/port.js';
import { bytes, hex, udpFrame } from './packet-builder.js';
import { End, HandMadeTable, MAC, macOf, type Wire } from './packet-wire.js';
import { openSet, openShard, type Shard, XskWire } from './xsk-wire.js';

const UDP = 17 << 8;
const PATIENCE_MS = 5000;
/** Frames that an end puts on its wire at once: fewer than the smallest receive ring. */
const BURST = 96;
/** Of numbered frames: number % FLOWS says which one it belongs to. */
const FLOWS = 24;

const run = (command: string): void => {
  const [program, ...words] = command.split(' ');
  execFileSync(program, words, { stdio: ['ignore', 'ignore', 'inherit'] });
};
const last = (frame: Uint8Array): number => new DataView(frame.buffer, frame.byteOffset).getUint32(frame.length - 4);
const frameAt = ({ port }: Shard, i: number): Uint8Array =>
  new Uint8Array(port.frames, port.columns.offset[i], port.columns.length[i]);
const codeOf = (call: () => unknown): unknown => {
  try {
    call();
    return null;
  } catch (error) {
    const { code, message, cause } = error as NodeJS.ErrnoException & { cause?: NodeJS.ErrnoException };
    return { code, message, cause: cause?.code };
  }
};

/** Numbered frames for shard `number % shards`, of many flows, so that the sender's device spreads them over its queues. */
function numbered(from: Wire, to: Wire, count: number, shards: number, first = 0): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => {
    const payload = new Uint8Array(32);
    new DataView(payload.buffer).setUint32(28, first + i);
    const src = MAC[from].replace(/..$/, `0${(first + i) % shards}`);
    const ports = [`198.51.100.2:${2000 + ((first + i) % FLOWS)}`, '203.0.113.1:1701'] as const;
    return udpFrame(...ports, payload, { eth: { src, dst: MAC[to] }, udp: { checksum: 'none' } });
  });
}

/** Gives frame `i` to whoever is beyond the other side. */
function across(shard: Shard, i: number): void {
  const { columns } = shard.port;
  const inward = columns.ingress[i] === PORT_OUTSIDE;
  frameAt(shard, i).set(macOf(inward ? 's0' : 'c0'));
  columns.egress[i] = inward ? PORT_INSIDE : PORT_OUTSIDE;
  columns.verdict[i] = VERDICT_RAW;
}

/** Turns all shards until `count` frames have come; `each` may give verdicts. */
function turnAll(shards: readonly Shard[], count: number, each: (shard: Shard, i: number, of: number) => void): number {
  const held = shards.map(() => 0);
  let seen = 0;
  for (const until = Date.now() + PATIENCE_MS; seen < count && Date.now() < until; ) {
    shards.forEach((shard, s) => {
      held[s] = shard.port.turn(held[s], 0, 1);
      for (let i = 0; i < held[s]; i++) each(shard, i, s);
      seen += held[s];
    });
  }
  shards.forEach((shard, s) => shard.port.turn(held[s], 0, 0));
  return seen;
}

/** Scratch slot `slot` becomes this frame, to be sent out of `egress`. */
function scratch({ port }: Shard, slot: number, frame: Uint8Array, egress: number, length = frame.length): void {
  const offset = port.scratchOffset + slot * SCRATCH_SLOT_LENGTH;
  new Uint8Array(port.frames).set(frame, offset);
  port.columns.offset[BATCH_CAPACITY + slot] = offset;
  port.columns.length[BATCH_CAPACITY + slot] = length;
  port.columns.egress[BATCH_CAPACITY + slot] = egress;
  port.columns.verdict[BATCH_CAPACITY + slot] = VERDICT_RAW;
}

const countersOf = ({ counters: { statistics, ...at } }: Shard) => ({
  sent: statistics[at.framesSent],
  bytes: statistics[at.bytesSent],
  failed: statistics[at.sendFailed],
  lost: statistics[at.receiveRing],
  received: statistics[at.framesReceived],
});

/** Idle turns, so that everything that was sent has come back and nobody keeps spare frames. */
function settle(wire: XskWire, shards = wire.shards) {
  for (const until = Date.now() + PATIENCE_MS; ; ) {
    for (const { port } of shards) port.turn(0, 0, 1);
    const usage = wire.set.usage();
    if (usage.sent === 0 || Date.now() > until) return usage;
  }
}

function worker(data: Record<string, unknown>): Worker {
  const file = new URL('./xsk-worker.ts', import.meta.url).href;
  const load = `import('tsx/esm/api').then(({ tsImport }) => tsImport('${file}', '${file}'))`;
  return new Worker(load, { eval: true, workerData: data });
}
const message = (from: Worker): Promise<unknown> =>
  new Promise((done, fail) => {
    from.once('message', done);
    from.once('error', fail);
  });

const scenarios = {
  /** Numbered frames both ways, each one sent on to the other side. */
  matrix(input: { object: string; queues: number; shards: number; count: number }) {
    const { shards: count } = input;
    const wire = new XskWire(input);
    const ends = [new End('c0'), new End('s0')] as const;
    const atShard: number[][] = wire.shards.map(() => []);
    const queues: Record<number, number> = {};
    const arrived: number[][] = [[], []];
    for (let first = 0; first < input.count; first += BURST) {
      const some = Math.min(BURST, input.count - first);
      ends[0].put(numbered('c0', 'd0', some, count, first));
      ends[1].put(numbered('s0', 'd1', some, count, input.count + first));
      turnAll(wire.shards, 2 * some, (shard, i, of) => {
        const frame = frameAt(shard, i);
        queues[frame[5]] = (queues[frame[5]] ?? 0) + 1;
        atShard[of].push(last(frame));
        across(shard, i);
      });
      ends.forEach((end, at) => arrived[at].push(...end.hear(some).map((heard) => last(heard.bytes))));
    }
    const usage = settle(wire);
    const result = {
      atShard,
      queues,
      atClient: arrived[0],
      atServer: arrived[1],
      counters: wire.shards.map(countersOf),
      statistics: wire.shards.map(({ port }) => port.statistics()),
      usage,
    };
    wire.close();
    for (const end of ends) end.close();
    return result;
  },

  /** Rewritten by entries, with tags. */
  forward(input: { object: string; vlans: [number, number]; out: string; back: string; server: string; vip: string }) {
    const wire = new XskWire(input);
    const { table } = wire;
    table.hop(0, macOf('s0'), PORT_INSIDE);
    table.hop(1, macOf('c0'), PORT_OUTSIDE);
    table.entry({ slot: 0, tag: UDP | TABLE_FORWARD, flags: FLAG_DECREMENT_TTL, address: input.server, hop: 0 });
    const flags = FLAG_DECREMENT_TTL | FLAG_REWRITE_SOURCE;
    table.entry({ slot: 1, tag: UDP | TABLE_REVERSE, flags, address: input.vip, hop: 1 });
    const client = new End('c0', input.vlans[0]);
    const server = new End('s0', input.vlans[1]);
    const stranger = new End('c0', 999);
    client.put([bytes(input.out)]);
    server.put([bytes(input.back)]);
    stranger.put([bytes(input.out)]);
    // A service tag: another number space, though the number is ours.
    const [head, tail] = [input.out.slice(0, 24), input.out.slice(24)];
    new End('c0').put([bytes(`${head}88a8${input.vlans[0].toString(16).padStart(4, '0')}${tail}`)]);
    const seen: { frame: string; ingress: number }[] = [];
    turnAll(wire.shards, 4, (shard, i) => {
      const { columns } = shard.port;
      seen.push({ frame: hex(frameAt(shard, i)), ingress: columns.ingress[i] });
      if (columns.ingress[i] !== PORT_NONE) columns.verdict[i] = columns.ingress[i];
    });
    // From scratch memory, too.
    scratch(wire.shards[0], 0, bytes(input.back), PORT_INSIDE);
    const view = new Uint8Array(wire.shards[0].port.frames, wire.shards[0].port.scratchOffset, 12);
    view.set(macOf('s0'));
    wire.shards[0].port.turn(0, 1, 0);
    const result = {
      seen,
      atServer: server.hear(2).map((heard) => hex(heard.bytes)),
      atClient: client.hear(1).map((heard) => hex(heard.bytes)),
      packets: [table.packets(0), table.packets(1)],
      counters: countersOf(wire.shards[0]),
    };
    for (const each of [client, server, stranger, wire]) each.close();
    return result;
  },

  /** Ten times as many frames as there are, through the shards `turning` of two on one queue. */
  roundAndRound(input: { object: string; turning: number[] }) {
    const wire = new XskWire({ ...input, shards: 2, framesPerQueue: 512 }, input.turning);
    const [client, server] = [new End('c0'), new End('s0')];
    const count = 10 * wire.set.usage().frames;
    let seen = 0;
    let arrived = 0;
    for (let first = 0; first < count; first += BURST) {
      const frames = numbered('c0', 'd0', BURST, 1, first);
      frames.forEach((frame, i) => {
        frame[11] = input.turning[i % input.turning.length];
      });
      client.put(frames);
      seen += turnAll(wire.shards, BURST, across);
      arrived += server.hear(BURST).length;
    }
    const usage = settle(wire);
    const result = {
      count: Math.ceil(count / BURST) * BURST,
      seen,
      arrived,
      usage,
      counters: wire.shards.map(countersOf),
    };
    for (const each of [client, server, wire]) each.close();
    return result;
  },

  /** More frames than there is room for, while nobody takes them. */
  dry(input: { object: string; count: number }) {
    const wire = new XskWire({ ...input, framesPerQueue: 512 });
    const client = new End('c0');
    client.put(numbered('c0', 'd0', input.count, 1));
    const [shard] = wire.shards;
    let taken = 0;
    for (let n = shard.port.turn(0, 0, 10); n > 0; n = shard.port.turn(n, 0, 10)) taken += n;
    const { received, lost } = shard.port.statistics();
    client.put(numbered('c0', 'd0', 1, 1));
    const afterwards = turnAll(wire.shards, 1, () => {});
    const result = { taken, received, lost, counted: countersOf(shard).lost, afterwards, usage: settle(wire) };
    for (const each of [client, wire]) each.close();
    return result;
  },

  /** Frames that are longer than their place, longer than the device sends, and as long as it does. */
  long(input: { object: string }) {
    for (const name of ['c0', 'd0']) run(`ip link set ${name} mtu 2000`);
    const wire = new XskWire({ ...input, vlans: [100, 0] });
    const [shard] = wire.shards;
    const client = new End('c0', 100);
    const long = new Uint8Array(1900);
    long.set(numbered('c0', 'd0', 1, 1)[0]);
    client.put([long, ...numbered('c0', 'd0', 1, 1)]);
    const taken = turnAll(wire.shards, 1, () => {});
    const statistics = shard.port.statistics();
    for (const [slot, length] of [2014, 2015].entries()) {
      const frame = new Uint8Array(length).fill(slot + 1, 14);
      frame.set(numbered('d0', 'c0', 1, 1)[0].subarray(0, 34));
      scratch(shard, slot, frame, PORT_OUTSIDE);
    }
    shard.port.turn(0, 2, 0);
    const arrived = client.hear(1).map(({ bytes: of }) => [of.length, of[of.length - 1]]);
    const { sent, bytes: sentBytes, failed } = countersOf(shard);
    const result = { taken, ...statistics, arrived, sent, sentBytes, failed, usage: settle(wire) };
    for (const each of [client, wire]) each.close();
    for (const name of ['c0', 'd0']) run(`ip link set ${name} mtu 1500`);
    return result;
  },

  /** Whether the device lets all multicast frames in (IFF_ALLMULTI), while there are sockets and afterwards. */
  multicast() {
    const flag = () => (Number(readFileSync('/sys/class/net/d0/flags', 'utf8')) & 0x200) !== 0;
    const set = openSet({});
    const during = flag();
    set.close();
    return { during, afterwards: flag() };
  },

  /** Verdicts that cannot be: another's frame, the same one twice, no port, past the end, too long for a place. */
  wrongVerdicts(input: { object: string }) {
    const wire = new XskWire(input);
    const [client, server] = [new End('c0'), new End('s0')];
    client.put(numbered('c0', 'd0', 6, 1));
    const [shard] = wire.shards;
    const { port } = shard;
    let n = 0;
    for (const until = Date.now() + PATIENCE_MS; n < 6 && Date.now() < until; ) n += port.turn(0, 0, n === 0 ? 100 : 0);
    for (let i = 0; i < 6; i++) across(shard, i);
    const { offset, length, egress } = port.columns;
    offset[1] = offset[0];
    offset[2] = 0; // in the fill ring, or nobody's
    length[3] = 4096;
    egress[4] = 7;
    offset[5] = -1;
    scratch(shard, 0, new Uint8Array(60), PORT_INSIDE, 2048);
    scratch(shard, 1, new Uint8Array(60), PORT_INSIDE);
    port.columns.offset[BATCH_CAPACITY + 1] = port.frames.byteLength - 20;
    port.turn(6, 2, 0);
    const arrived = server.hear(1).length;
    const result = { arrived, ...countersOf(shard), usage: settle(wire) };
    for (const each of [client, server, wire]) each.close();
    return result;
  },

  /** A shard's ring is left behind with a batch in it, and another one takes its place. */
  reclaim(input: { object: string }) {
    const wire = new XskWire(input);
    const client = new End('c0');
    const [left] = wire.shards;
    client.put(numbered('c0', 'd0', 20, 1));
    let n = 0;
    for (const until = Date.now() + PATIENCE_MS; n === 0 && Date.now() < until; ) n = left.port.turn(0, 0, 100);
    client.put(numbered('c0', 'd0', 5, 1, 100));
    const busy = codeOf(() => wire.open(0));
    const before = wire.set.usage();
    const reclaimed = wire.set.reclaim(0);
    const again = wire.set.reclaim(0);
    const afterwards = wire.set.usage();
    const stale = codeOf(() => left.port.turn(n, 0, 0));
    const next = wire.open(0);
    left.port.close(); // too late to do any harm
    const got: number[] = [];
    turnAll([next], 25 - n, (shard, i) => got.push(last(frameAt(shard, i))));
    const result = { n, busy, held: before.held, reclaimed, again, afterwards: afterwards.held, stale, got };
    next.port.close();
    for (const each of [client, wire]) each.close();
    return result;
  },

  /** A worker is ended in the middle of a batch. */
  async terminated(input: { object: string }) {
    const wire = new XskWire(input, []);
    const client = new End('c0');
    const shard = worker({ role: 'shard', handle: wire.set.handle, until: new SharedArrayBuffer(4) });
    await message(shard);
    const held = message(shard);
    client.put(numbered('c0', 'd0', 10, 1));
    const count = (await held) as number;
    const during = wire.set.usage().held;
    await shard.terminate();
    wire.set.reclaim(0);
    const afterwards = wire.set.usage().held;
    const next = wire.open(0);
    client.put(numbered('c0', 'd0', 10, 1, 10));
    const got: number[] = [];
    turnAll([next], 20 - count, (of, i) => got.push(last(frameAt(of, i))));
    next.port.close();
    for (const each of [client, wire]) each.close();
    return { count, during, afterwards, got };
  },

  /** Somebody else has the queue: for a while, and for good. */
  async busy() {
    const until = new SharedArrayBuffer(4);
    const stranger = worker({ role: 'stranger', until });
    await message(stranger);
    const gone = new Promise((done) => stranger.once('exit', done));
    const set = openSet({}, ['d0']);
    const sockets = set.sockets.length;
    await gone;
    const refused = codeOf(() => openSet({}, ['d1', 'd0']));
    set.close();
    const [closed, attach] = [codeOf(() => set.usage()), codeOf(() => openShard(new HandMadeTable(), set.handle, 0))];
    return { sockets, refused, closed, attach };
  },

  /** The set is closed while a shard still has its ring. */
  closing(input: { object: string }) {
    const wire = new XskWire(input);
    const [shard] = wire.shards;
    const view = new Uint8Array(shard.port.frames);
    wire.set.close();
    const turn = codeOf(() => shard.port.turn(0, 0, 0));
    shard.port.close();
    const closed = codeOf(() => shard.port.turn(0, 0, 0));
    view[0] = 7;
    const readable = view[0];
    // The queues are free again.
    const set = openSet({});
    set.close();
    wire.close();
    return { turn, closed, readable };
  },

  wrongOptions() {
    const open = (change: object): unknown =>
      codeOf(() =>
        new (native().XskSet)({
          devices: [{ name: 'd0', queues: 1 }],
          shards: 1,
          chunkLength: 2048,
          framesPerQueue: 1024,
          copy: 'auto',
          ...change,
        }).close(),
      );
    return {
      good: open({}),
      queue: open({ devices: [{ name: 'd0', queues: 100 }] }),
      device: open({ devices: [{ name: 'none', queues: 1 }] }),
      zeroCopy: codeOf(() => openSet({ copy: 'zero-copy' })),
      chunk: open({ chunkLength: 1000 }),
      shards: open({ shards: 0 }),
      copy: open({ copy: 'both' }),
      memory: open({ devices: Array.from({ length: 8 }, () => ({ name: 'd0', queues: 256 })) }),
    };
  },

  wake(input: { object: string }) {
    const wakeFd = native().eventFd();
    const wire = new XskWire(input, []);
    const { port } = openShard(wire.table, wire.set.handle, 0, [0, 0], wakeFd);
    const timed = (waitMs: number): number => {
      const start = performance.now();
      port.turn(0, 0, waitMs);
      return performance.now() - start;
    };
    native().signalEventFd(wakeFd);
    const woken = timed(1000);
    const quiet = timed(100);
    port.close();
    wire.close();
    native().closeFd(wakeFd);
    return { woken, quiet };
  },

  /** A link goes down and comes back; then its device is deleted. */
  linkDown(input: { object: string }) {
    const wire = new XskWire(input);
    const [shard] = wire.shards;
    const client = new End('c0');
    const [frame] = numbered('d0', 'c0', 1, 1);
    const sendOut = (): void => {
      scratch(shard, 0, frame, PORT_OUTSIDE);
      shard.port.turn(0, 1, 1);
    };
    run('ip link set d0 down');
    for (let i = 0; i < 3; i++) sendOut();
    const whileDown = countersOf(shard);
    const held = settle(wire);
    run('ip link set d0 up');
    run('ip link set c0 up');
    sendOut();
    const heard = client.hear(1).length;
    client.put(numbered('c0', 'd0', 1, 1));
    const seen = turnAll(wire.shards, 1, () => {});
    const afterwards = { ...countersOf(shard), heard, seen };
    for (const each of [client, wire]) each.close();

    run('ip link add x0 type veth peer name x1');
    run('ip link set x0 up');
    const set = openSet({}, ['x0', 'd1']);
    const doomed = openShard(new HandMadeTable(), set.handle, 0);
    doomed.port.turn(0, 0, 0);
    run('ip link del x0');
    const gone = codeOf(() => {
      for (const until = Date.now() + PATIENCE_MS; Date.now() < until; ) {
        scratch(doomed, 0, frame, PORT_OUTSIDE);
        doomed.port.turn(0, 1, 10);
      }
    });
    doomed.port.close();
    set.close();
    return { whileDown, held, afterwards, gone };
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
process.send?.({ result: null });
