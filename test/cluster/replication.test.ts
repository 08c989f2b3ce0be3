/** Replication of connection state between members under a virtual clock: what each trouble leads to, then all at once. */
import { RECORD_LAYOUT, TUNNEL_RECORD_WORDS } from '../../src/wire/cluster-record.js';
import { describe, expect, test } from 'vitest';
import type { ReplicationEvent } from '../../src/cluster/replication.js';
import { StreamReader } from '../../src/cluster/stream-reader.js';
import { STATE_KIND, StateFrameReader, StateFrameWriter } from '../../src/wire/cluster-state.js';
import { ClusterNet, type ClusterNode } from '../helpers/cluster-net.js';

/** Members 1 … n that have met; the first one writes its stream. */
function cluster(count: number, seed = 1, net = new ClusterNet(seed)): { net: ClusterNet; nodes: ClusterNode[] } {
  const nodes = Array.from({ length: count }, (_, i) => net.add(i + 1));
  nodes[0].begin();
  net.run(0.1);
  return { net, nodes };
}

function fill(net: ClusterNet, node: ClusterNode, count: number, from = 0): void {
  for (let i = from; i < from + count; i++) {
    node.put(0, i, net.words(0));
    if (i % 3 === 0) node.put(1, i, net.words(1));
  }
}

const readerOf = (node: ClusterNode, origin = 1): StreamReader => {
  const stream = node.replication.stream(origin, 0);
  if (!(stream instanceof StreamReader)) throw new Error(`member ${node.number} does not read ${origin}`);
  return stream;
};
const isEqual = (node: ClusterNode, writer: ClusterNode, origin = writer.number): boolean => {
  const stream = node.replication.stream(origin, 0);
  return stream !== undefined && ClusterNet.contents(stream) === ClusterNet.contentsOf(writer.model);
};
const kinds = (events: readonly ReplicationEvent[]): string[] => events.map(({ kind }) => kind);

describe('a stream without trouble', () => {
  test('every change arrives within milliseconds, removals too, and the reader knows that it has all', () => {
    const { net, nodes } = cluster(2);
    fill(net, nodes[0], 500);
    net.run(0.05);
    expect(isEqual(nodes[1], nodes[0])).toBe(true);
    for (let i = 0; i < 500; i += 2) nodes[0].free(0, i);
    net.run(0.05);
    expect(isEqual(nodes[1], nodes[0])).toBe(true);
    expect(nodes[1].replication.stream(1, 0)?.mirrors[0].used).toBe(250);
    net.run(1.2);
    expect(readerOf(nodes[1]).state(net.now)).toBe('current');
    expect(readerOf(nodes[1]).counters).toMatchObject({ missed: 0, drifted: 0, repeated: 0, refused: 0 });
  });

  test('a newcomer hears at once of a stream that is silent, and has all of it', () => {
    const { net, nodes } = cluster(2);
    fill(net, nodes[0], 50);
    // Between two digests nobody would say a word for the most part of a second.
    net.run(3.4);
    const newcomer = net.add(3);
    net.run(0.1);
    expect(readerOf(newcomer).writer).toBe(1);
    expect(isEqual(newcomer, nodes[0])).toBe(true);
  });

  test('a record that changes many times before it was told is told once', () => {
    const { net, nodes } = cluster(2);
    for (let i = 0; i < 100; i++) nodes[0].put(0, 7, net.words(0));
    net.run(0.05);
    expect(isEqual(nodes[1], nodes[0])).toBe(true);
    expect(readerOf(nodes[1]).counters.records).toBe(1);
  });

  test('what is put in again unchanged is not told', () => {
    const { net, nodes } = cluster(2);
    const words = net.words(0);
    nodes[0].put(0, 7, words);
    net.run(0.05);
    const { position } = nodes[0].writer as { position: number };
    nodes[0].put(0, 7, words);
    net.run(0.05);
    expect(nodes[0].writer?.position).toBe(position);
  });

  test('an index beyond the table, and a record without a state, are refused and counted', () => {
    const { net, nodes } = cluster(2);
    nodes[0].put(0, 8192, net.words(0));
    nodes[0].put(0, -1, net.words(0));
    nodes[0].put(0, 1, new Int32Array(TUNNEL_RECORD_WORDS));
    expect(nodes[0].writer?.counters.refused).toBe(3);
    expect(nodes[0].writer?.waiting).toBe(0);
  });

  test('counters travel at intervals, and only those that moved', () => {
    const { net, nodes } = cluster(2, 1, new ClusterNet(1, [8192, 8192], { timing: { counterInterval: 1 } }));
    fill(net, nodes[0], 100);
    const moved = new Set([3, 50, 99]);
    if (nodes[0].writer === null) throw new Error('no writer');
    nodes[0].writer.counterSource = (index, out) => {
      out.index = index;
      out.packetsIn = 2 ** 40 + index;
      return moved.delete(index);
    };
    net.run(2.5);
    expect(nodes[1].counted).toBe(3);
  });
});

describe('lost and reordered frames', () => {
  test('a lost change is asked for and told again, without digests', () => {
    const { net, nodes } = cluster(2);
    fill(net, nodes[0], 40);
    net.run(0.05);
    net.hears = () => false;
    nodes[0].put(0, 3, net.words(0));
    net.run(0.02);
    net.hears = () => true;
    nodes[0].put(0, 4, net.words(0));
    net.run(0.1);
    expect(isEqual(nodes[1], nodes[0])).toBe(true);
    expect(readerOf(nodes[1]).counters).toMatchObject({ missed: 1, repaired: 1, drifted: 0 });
  });

  test('the last change of all, lost, is found by the next digest', () => {
    const { net, nodes } = cluster(2);
    fill(net, nodes[0], 40);
    net.run(0.05);
    net.hears = () => false;
    nodes[0].put(0, 3, net.words(0));
    net.run(0.02);
    net.hears = () => true;
    net.run(1.3);
    expect(isEqual(nodes[1], nodes[0])).toBe(true);
    expect(readerOf(nodes[1]).counters).toMatchObject({ missed: 1, repaired: 1 });
  });

  test('frames in any order, twice and late, lead to the same', () => {
    const { net, nodes } = cluster(2);
    net.faults = { loss: 0, repeat: 0.3, delay: 0, jitter: 0.03 };
    net.run(2, () => {
      const index = Math.floor(net.random() * 64);
      if (net.random() < 0.3) nodes[0].free(0, index);
      else nodes[0].put(0, index, net.words(0));
    });
    net.run(1.5);
    expect(isEqual(nodes[1], nodes[0])).toBe(true);
    expect(readerOf(nodes[1]).counters.stale).toBeGreaterThan(0);
  });

  test('more lost than is remembered: only ranges that differ are sent', () => {
    const { net, nodes } = cluster(2);
    fill(net, nodes[0], 8000);
    net.run(2);
    expect(isEqual(nodes[1], nodes[0])).toBe(true);
    net.hears = () => false;
    for (let n = 0; n < 1500; n++) {
      nodes[0].put(0, 1024 + (n % 10), net.words(0));
      net.run(0.006);
    }
    net.hears = () => true;
    const { records } = readerOf(nodes[1]).counters;
    net.run(2);
    expect(isEqual(nodes[1], nodes[0])).toBe(true);
    const { counters } = readerOf(nodes[1]);
    expect(counters.drifted).toBeGreaterThan(0);
    expect(counters.drifted).toBeLessThan(10);
    expect(counters.records - records).toBe(10);
  });

  test('drift that no frame tells of is found and put right', () => {
    const { net, nodes } = cluster(2);
    fill(net, nodes[0], 3000);
    net.run(1.5);
    const mirror = readerOf(nodes[1]).mirrors[0];
    mirror.free(77, readerOf(nodes[1]).position);
    mirror.write(5000, net.words(0), 0, readerOf(nodes[1]).position);
    mirror.write(2000, net.words(0), 0, readerOf(nodes[1]).position);
    expect(isEqual(nodes[1], nodes[0])).toBe(false);
    net.run(1.5);
    expect(isEqual(nodes[1], nodes[0])).toBe(true);
    expect(readerOf(nodes[1]).counters.drifted).toBe(3);
  });

  test('a newcomer gets everything, and the others do not get it again', () => {
    const { net, nodes } = cluster(2);
    fill(net, nodes[0], 8000);
    net.run(1);
    const { records } = readerOf(nodes[1]).counters;
    const late = net.add(3);
    expect(net.runUntil(() => isEqual(late, nodes[0]), 5)).toBe(true);
    expect(readerOf(nodes[1]).counters.records).toBe(records);
    expect(net.runUntil(() => readerOf(late).isCurrent, 2)).toBe(true);
  });
});

describe('who writes', () => {
  test('the successor goes on where the dead one stopped, and tells nothing twice', () => {
    const { net, nodes } = cluster(3);
    fill(net, nodes[0], 1000);
    net.run(1.5);
    nodes[0].up = false;
    nodes[1].writer = nodes[1].replication.write(1, 0, net.now);
    for (const plane of [0, 1])
      for (const [index, words] of nodes[0].model[plane]) nodes[1].model[plane].set(index, words);
    const { records } = readerOf(nodes[2]).counters;
    nodes[1].put(0, 5, net.words(0));
    net.run(1.5);
    expect(isEqual(nodes[2], nodes[1], 1)).toBe(true);
    expect(readerOf(nodes[2])).toMatchObject({ writer: 2, generation: 2 });
    expect(readerOf(nodes[2]).counters.records - records).toBe(1);
    expect(readerOf(nodes[2]).isCurrent).toBe(true);
  });

  test('a stale writer is fenced: nobody believes it, and it learns of its successor', () => {
    const { net, nodes } = cluster(3);
    fill(net, nodes[0], 100);
    net.run(1.5);
    const apart = new Set([1]);
    net.hears = (from, to) => apart.has(from) === apart.has(to);
    nodes[1].writer = nodes[1].replication.write(1, 0, net.now);
    for (const plane of [0, 1])
      for (const [index, words] of nodes[0].model[plane]) nodes[1].model[plane].set(index, words);
    nodes[0].put(0, 50, net.words(0));
    nodes[1].put(0, 51, net.words(0));
    net.run(0.5);
    net.hears = () => true;
    net.run(2.5);
    expect(nodes[0].replication.writes(1, 0)).toBe(false);
    expect(kinds(nodes[0].events)).toContain('fenced');
    for (const node of [nodes[0], nodes[2]]) expect(isEqual(node, nodes[1], 1)).toBe(true);
    expect(nodes[0].writer?.put(0, 52, net.words(0), 0, net.now)).toBe(true);
    net.run(0.5);
    expect(isEqual(nodes[2], nodes[1], 1)).toBe(true);
  });

  test('two that take a stream at one moment: the higher number writes', () => {
    const { net, nodes } = cluster(3);
    net.run(1);
    nodes[0].up = false;
    for (const node of nodes.slice(1)) node.writer = node.replication.write(1, 0, net.now);
    nodes[2].put(0, 9, net.words(0));
    net.run(1.5);
    expect(nodes.slice(1).map((node) => node.replication.writes(1, 0))).toEqual([false, true]);
    expect(isEqual(nodes[1], nodes[2], 1)).toBe(true);
  });

  test('a writer that starts again without memory goes on above its former life, with what its table has', () => {
    const { net, nodes } = cluster(2);
    fill(net, nodes[0], 300);
    net.run(1.5);
    nodes[0].restart();
    nodes[0].model[0].delete(17);
    nodes[0].begin();
    nodes[0].put(0, 299, net.words(0));
    net.run(2.5);
    expect(kinds(nodes[0].events)).toContain('raised');
    expect(readerOf(nodes[1]).generation).toBe(2);
    expect(isEqual(nodes[1], nodes[0])).toBe(true);
    expect(readerOf(nodes[1]).isCurrent).toBe(true);
  });

  test('a silent writer is said to be silent', () => {
    const { net, nodes } = cluster(2);
    net.run(1.5);
    nodes[0].up = false;
    net.run(6);
    expect(readerOf(nodes[1]).state(net.now)).toBe('silent');
    expect([...nodes[1].replication.rows(net.now)]).toMatchObject([{ origin: 1, state: 'silent', role: 'reader' }]);
  });
});

describe('members that do not fit', () => {
  test('another configuration is refused, and the differences have names', () => {
    const net = new ClusterNet(1);
    const one = net.add(
      1,
      new Map([
        ['vip access', '192.0.2.1:1701'],
        ['server lns1', '10.0.0.1'],
      ]),
    );
    const two = net.add(
      2,
      new Map([
        ['vip access', '192.0.2.9:1701'],
        ['server lns2', '10.0.0.2'],
      ]),
    );
    one.begin();
    fill(net, one, 10);
    net.run(2.5);
    expect([...two.replication.introductions.refused()]).toEqual([
      {
        number: 1,
        differences: [
          'server lns1: not here, 10.0.0.1 there',
          'server lns2: 10.0.0.2 here, not there',
          'vip access: 192.0.2.9:1701 here, 192.0.2.1:1701 there',
        ],
      },
    ]);
    expect(two.events.filter(({ kind }) => kind === 'refused')).toHaveLength(1);
    expect(two.replication.stream(1, 0)).toBeUndefined();
    expect(two.replication.introductions.counters.refused).toBeGreaterThan(0);
  });

  test('what another has written is shown without control characters, and not at any length', () => {
    const net = new ClusterNet(1);
    net.add(1, new Map([['vip access', `\u001b[2J\u009b${'x'.repeat(5000)}`]]));
    const two = net.add(2, new Map([['vip access', '192.0.2.1:1701']]));
    net.run(2.5);
    const [{ differences }] = two.replication.introductions.refused();
    expect(differences).toEqual([`vip access: 192.0.2.1:1701 here, ?[2J?${'x'.repeat(123)} there`]);
  });

  test('a thousand facts travel in parts, through losses', () => {
    const facts = (last: string): Map<string, string> =>
      new Map(
        Array.from({ length: 800 }, (_, i) => [`server number ${i}`, i === 700 ? last : `10.1.${i >> 8}.${i & 255}`]),
      );
    const net = new ClusterNet(3);
    net.faults.loss = 0.1;
    net.add(1, facts('here'));
    const two = net.add(2, facts('there'));
    expect(
      net.runUntil(
        () =>
          [...two.replication.introductions.refused()].some(({ differences }) => differences[0] !== 'configuration'),
        60,
      ),
    ).toBe(true);
    expect([...two.replication.introductions.refused()][0].differences).toEqual([
      'server number 700: there here, here there',
    ]);
  });

  test('another size of table is refused by name', () => {
    const net = new ClusterNet(1);
    net.add(1);
    const two = net.add(2);
    const frame = new StateFrameWriter();
    frame.begin(STATE_KIND.hello, 0, 0, 0, 0, 0);
    for (const word of [RECORD_LAYOUT, 4096, 8192, 0, 0]) frame.word(word);
    net.inject(net.nodes[0], two, frame.end());
    expect([...two.replication.introductions.refused()][0].differences).toEqual([
      'table: 8192 tunnels, 8192 sessions here, 4096 tunnels, 8192 sessions there',
    ]);
  });

  test('another layout is refused by name', () => {
    const net = new ClusterNet(1);
    net.add(1);
    const two = net.add(2);
    const frame = new StateFrameWriter();
    frame.begin(STATE_KIND.hello, 0, 0, 0, 0, 0);
    for (const word of [9, 8192, 8192, 0, 0]) frame.word(word);
    net.inject(net.nodes[0], two, frame.end());
    expect([...two.replication.introductions.refused()][0].differences).toEqual([
      `record layout: ${RECORD_LAYOUT} here, 9 there`,
    ]);
  });

  test('one that was refused is accepted when it comes back with the right configuration', () => {
    const { net, nodes } = cluster(1);
    fill(net, nodes[0], 10);
    const other = net.add(2, new Map([['vip access', 'elsewhere']]));
    net.run(2);
    expect(other.replication.stream(1, 0)).toBeUndefined();
    other.facts = nodes[0].facts;
    other.restart();
    expect(net.runUntil(() => isEqual(other, nodes[0]), 3)).toBe(true);
    expect(kinds(nodes[0].events)).toEqual(['refused', 'accepted']);
  });
});

describe('frames that nobody should believe', () => {
  test('a change in the name of a writer that did not send it', () => {
    const { net, nodes } = cluster(3);
    net.run(1);
    const frame = new StateFrameWriter();
    frame.begin(STATE_KIND.changes, 0, 1, 0, 9, 1);
    frame.setPosition(99, 0);
    frame.record(1, net.words(0), 0, TUNNEL_RECORD_WORDS);
    net.inject(nodes[2], nodes[1], frame.end());
    expect(nodes[1].replication.counters.notTheWriter).toBe(1);
    expect(readerOf(nodes[1]).mirrors[0].used).toBe(0);
  });

  test('a thousand streams: only so many are opened', () => {
    const { net, nodes } = cluster(2);
    const frame = new StateFrameWriter();
    for (let shard = 0; shard < 200; shard++) {
      frame.begin(STATE_KIND.changes, 0, 1, shard, 1, 1);
      frame.setPosition(1, 0);
      net.inject(nodes[0], nodes[1], frame.end());
    }
    expect([...nodes[1].replication.rows(net.now)]).toHaveLength(64);
    expect(nodes[1].replication.counters.streamsRefused).toBe(136);
  });

  test('questions without end: as many as are held are answered, the others counted', () => {
    const { net, nodes } = cluster(2);
    fill(net, nodes[0], 4096);
    net.run(1);
    const frame = new StateFrameWriter();
    for (let n = 0; n < 300; n++) {
      frame.begin(STATE_KIND.askRanges, 0, 1, 0, 1, 1);
      for (let i = 0; i < 64; i++) {
        frame.word(i);
        frame.count++;
      }
      net.inject(nodes[1], nodes[0], frame.end());
    }
    expect(nodes[0].writer?.asked).toBe(8192);
    expect(nodes[0].writer?.counters.asksDropped).toBe(300 * 64 - 8192);
    net.run(3);
    expect(nodes[0].writer?.asked).toBe(0);
  });

  test('whole frames cut or changed anywhere never throw', () => {
    const { net, nodes } = cluster(2);
    fill(net, nodes[0], 100);
    const heard: Uint8Array[] = [];
    nodes[0].replication.turn(net.now, (_target, body) => heard.push(body.slice()));
    const reader = new StateFrameReader();
    expect(heard.length).toBeGreaterThan(0);
    for (const body of heard) {
      for (let length = 0; length < body.length; length++) expect(reader.open(body.subarray(0, length))).toBe(false);
      for (let n = 0; n < 200; n++) {
        const broken = body.slice();
        broken[Math.floor(net.random() * broken.length)] = Math.floor(net.random() * 256);
        net.inject(nodes[0], nodes[1], broken);
      }
    }
    net.run(1);
  });

  test('whatever a member says that is well formed, nobody throws, and what is held is bounded', () => {
    const { net, nodes } = cluster(2);
    fill(net, nodes[0], 300);
    net.run(0.2);
    const extreme = (): number =>
      [0, 1, -1, 16, 1023, 1024, 8191, 8192, 0x7fffffff, -0x80000000][Math.floor(net.random() * 10)];
    const frame = new StateFrameWriter();
    for (let n = 0; n < 20_000; n++) {
      const kind = 1 + Math.floor(net.random() * 12);
      const plane = Math.floor(net.random() * 2);
      const [from, to] = net.random() < 0.5 ? nodes : [...nodes].reverse();
      frame.begin(kind, plane, net.random() < 0.9 ? 1 : 2, 0, net.random() < 0.95 ? 1 : 0xffffffff, from.number);
      frame.setPosition(net.random() < 0.95 ? Math.floor(net.random() * 60) : 2 ** 48 - 1, (net.random() - 0.5) * 1e9);
      // Lengths that some kind takes: its items are whatever they are.
      const words = [0, 2, 5, 4, 8, 11, 20][Math.floor(net.random() * 7)];
      for (let w = 0; w < words; w++) frame.word(extreme());
      frame.count = Math.floor(net.random() * 4);
      net.inject(from, to, frame.end().slice());
      if (n % 100 === 0) net.run(0.005);
    }
    expect([...nodes[0].replication.rows(net.now)].length).toBeLessThanOrEqual(2);
    expect(nodes[1].replication.counters.malformed).toBeGreaterThan(1000);
    expect(nodes[1].replication.counters.malformed).toBeLessThan(9500);
  });

  test('fenced by one that is dead, a member asks nobody and waits for its user', () => {
    const { net, nodes } = cluster(2);
    net.run(1);
    const frame = new StateFrameWriter();
    frame.begin(STATE_KIND.fence, 0, 1, 0, 9, 77);
    net.inject(nodes[1], nodes[0], frame.end());
    expect(nodes[0].replication.writes(1, 0)).toBe(false);
    net.run(2);
    expect(nodes[0].replication.nextTime).toBeGreaterThan(net.now);
    expect(nodes[0].replication.write(1, 0, net.now).generation).toBe(10);
    net.run(1.5);
    expect(readerOf(nodes[1]).generation).toBe(10);
  });
});

describe('pace', () => {
  test('no more frames a second than agreed, however much there is to tell', () => {
    const { net, nodes } = cluster(2, 1, new ClusterNet(1, [8192, 8192], { rate: 500, burst: 10 }));
    fill(net, nodes[0], 8192);
    const { sent } = nodes[0].replication.counters;
    net.run(0.5);
    expect(nodes[0].replication.counters.sent - sent).toBeLessThanOrEqual(500 * 0.5 + 10 + 2);
    expect(nodes[0].writer?.waiting).toBeGreaterThan(0);
    net.run(4);
    expect(isEqual(nodes[1], nodes[0])).toBe(true);
  });
});
