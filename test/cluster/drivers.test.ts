/** The drivers that need no other program, over real sockets. Waits for what must come, with a generous deadline. */
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createSocket } from 'node:dgram';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { ClusterBus } from '../../src/cluster/bus.js';
import { FrameCutter, openLocalBus } from '../../src/cluster/drivers/local.js';
import { monotonicSeconds } from '../../src/cluster/drivers/carried-bus.js';
import { StateLink } from '../../src/cluster/drivers/state-link.js';
import { Replication } from '../../src/cluster/replication.js';
import { openUdpBus, type UdpPeer } from '../../src/cluster/drivers/udp.js';
import { TUNNEL_RECORD_WORDS } from '../../src/wire/cluster-record.js';

const KEY = new TextEncoder().encode('a key of sixteen bytes or more');
const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanUps.splice(0).reverse()) await clean();
});

async function until(condition: () => boolean): Promise<void> {
  for (const end = Date.now() + 10_000; !condition(); ) {
    if (Date.now() > end) throw new Error('it did not happen within ten seconds');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const folderOf = (): string => {
  const folder = mkdtempSync(join(tmpdir(), 'td-cluster-'));
  cleanUps.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
};

async function local(folder: string, number: number): Promise<ClusterBus> {
  const bus = await openLocalBus({ cluster: 'c', number, folder, interval: 0.2 });
  cleanUps.push(() => bus.close());
  return bus;
}

/** Ports of the loopback that are free now. */
async function ports(count: number): Promise<number[]> {
  const sockets = Array.from({ length: count }, () => createSocket('udp4'));
  await Promise.all(
    sockets.map((socket) => new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', () => resolve()))),
  );
  const found = sockets.map((socket) => socket.address().port);
  await Promise.all(sockets.map((socket) => new Promise<void>((resolve) => socket.close(() => resolve()))));
  return found;
}

async function udp(number: number, peers: readonly UdpPeer[], key = KEY): Promise<ClusterBus> {
  const { address, port } = peers[number - 1];
  const bus = await openUdpBus({ cluster: 'c', number, key, address, port, peers, interval: 0.2 });
  cleanUps.push(() => bus.close());
  return bus;
}

const peersAt = (found: readonly number[]): UdpPeer[] =>
  found.map((port, i) => ({ number: i + 1, address: '127.0.0.1', port }));

const DRIVERS: readonly [string, (count: number) => Promise<ClusterBus[]>][] = [
  [
    'local',
    async (count) => {
      const folder = folderOf();
      return Promise.all(Array.from({ length: count }, (_, i) => local(folder, i + 1)));
    },
  ],
  [
    'udp',
    async (count) => {
      const peers = peersAt(await ports(count));
      return Promise.all(peers.map(({ number }) => udp(number, peers)));
    },
  ],
];

describe.each(DRIVERS)('%s', (driver, open) => {
  test('members meet, messages to all and to one arrive, and one that closes is gone at once', async () => {
    const buses = await open(3);
    await until(() => buses.every((bus) => bus.members().length === 2));
    const got: string[] = [];
    for (const bus of buses)
      bus.subscribe('state', (from, _incarnation, body) => got.push(`${from}→${bus.number}:${body.length}:${body[0]}`));
    buses[0].publish('state', new Uint8Array(1300).fill(7));
    buses[2].publish('state', Uint8Array.of(9), 2);
    await until(() => got.length >= 3);
    expect(got.sort()).toEqual(['1→2:1300:7', '1→3:1300:7', '3→2:1:9']);
    expect(buses.map(({ state, driver: name }) => [name, state.state])).toEqual(Array(3).fill([driver, 'up']));
    const left: unknown[] = [];
    buses[1].onChange((change) => left.push(change));
    await buses[0].close();
    await until(() => left.length > 0);
    expect(left).toEqual([{ kind: 'left', number: 1, reason: 'leaves' }]);
  });

  test('what a member tells of itself is seen by the others', async () => {
    const [one, two] = await open(2);
    one.tell(new TextEncoder().encode('load 0.4'));
    await until(() => two.members().some(({ text }) => new TextDecoder().decode(text) === 'load 0.4'));
  });

  test('a table of twenty thousand records comes over, and a change within moments', async () => {
    const buses = await open(2);
    const capacity = [20_000, 64] as const;
    const sink = { changed: () => undefined, counted: () => undefined };
    const [one, two] = buses.map(
      (bus) => new StateLink(bus, new Replication({ number: bus.number, facts: new Map(), capacity, sink })),
    );
    cleanUps.push(
      () => one.close(),
      () => two.close(),
    );
    const writer = one.replication.write(1, 0, monotonicSeconds());
    const words = new Int32Array(TUNNEL_RECORD_WORDS);
    for (let index = 0; index < 20_000; index++) writer.put(0, index, words.fill(index + 1), 0, monotonicSeconds());
    one.soon();
    const digest = (): string | undefined => two.replication.stream(1, 0)?.mirrors[0].digest();
    await until(() => digest() === writer.mirrors[0].digest());
    writer.free(0, 77, monotonicSeconds());
    one.soon();
    await until(() => digest() === writer.mirrors[0].digest());
    expect(two.replication.stream(1, 0)?.mirrors[0].used).toBe(19_999);
  });

  test('thousands of messages arrive once each', async () => {
    const [one, two] = await open(2);
    await until(() => two.members().length === 1 && one.members().length === 1);
    const seen = new Uint8Array(2000);
    two.subscribe('state', (_from, _incarnation, body) => seen[(body[0] << 8) | body[1]]++);
    const received = (): number => seen.reduce((sum, n) => sum + n, 0);
    // In portions that any socket's buffer holds, as paced senders do.
    for (let i = 0; i < 2000; i++) {
      one.publish('state', Uint8Array.of(i >> 8, i & 255, ...new Uint8Array(1000)));
      if (i % 50 === 49) await until(() => received() > i);
    }
    expect(Math.max(...seen)).toBe(1);
  });
});

describe('local', () => {
  test('the folder is for its owner alone', async () => {
    const folder = folderOf();
    await local(folder, 1);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
  });

  test('a number that is in use is refused, one that a killed process left is not', async () => {
    const folder = folderOf();
    await local(folder, 1);
    await expect(local(folder, 1)).rejects.toMatchObject({ code: 'TD_CONFLICT' });
    writeFileSync(join(folder, '2.sock'), '');
    const [two, three] = [await local(folder, 2), await local(folder, 3)];
    await until(() => two.members().length === 2 && three.members().length === 2);
  });

  test('a stream that is no frame is cut, and the others are heard', async () => {
    const folder = folderOf();
    const [one, two] = [await local(folder, 1), await local(folder, 2)];
    await until(() => one.members().length === 1);
    const socket = createConnection(join(folder, '1.sock'));
    cleanUps.push(() => socket.destroy());
    socket.on('error', () => undefined);
    socket.write(new Uint8Array(5000).fill(255));
    await until(() => one.counters().cut === 1);
    let got = 0;
    one.subscribe('notice', () => got++);
    two.publish('notice', Uint8Array.of(1));
    await until(() => got === 1);
  });

  test('frames that a stream brings in pieces are put together', () => {
    const frames = [24, 100, 1400].map((length, i) => new Uint8Array(length).fill(i + 1));
    const stream = Buffer.concat(
      frames.flatMap((frame) => [Buffer.from([frame.length >> 8, frame.length & 255]), frame]),
    );
    for (const step of [1, 7, 500, 4096]) {
      const cutter = new FrameCutter();
      const got: Uint8Array[] = [];
      for (let at = 0; at < stream.length; at += step)
        expect(cutter.push(stream.subarray(at, at + step), (frame) => got.push(frame.slice()))).toBe(true);
      expect(got.map((frame) => [frame.length, frame[0]])).toEqual([
        [24, 1],
        [100, 2],
        [1400, 3],
      ]);
    }
  });
});

describe('udp', () => {
  test('one with another key is not heard', async () => {
    const peers = peersAt(await ports(3));
    const [one, two] = [await udp(1, peers), await udp(2, peers)];
    const stranger = await udp(3, peers, new Uint8Array(32));
    await until(() => one.members().length === 1 && two.members().length === 1 && one.counters().forged >= 3);
    expect(one.members().map(({ number }) => number)).toEqual([2]);
    expect(stranger.members()).toEqual([]);
  });

  test('an address that is taken is named', async () => {
    const peers = peersAt(await ports(2));
    await udp(1, peers);
    await expect(udp(1, peers)).rejects.toMatchObject({
      code: 'TD_CONFLICT',
      message: expect.stringContaining(`127.0.0.1 port ${peers[0].port}`),
    });
  });

  test('a short key is refused', async () => {
    await expect(udp(1, peersAt([1]), new Uint8Array(3))).rejects.toMatchObject({ code: 'TD_CONFIG' });
  });
});
