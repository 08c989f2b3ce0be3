/**
 * Seeded troubles of a cluster that replicates state: whatever happened, after healing all tables are equal. TD_SEEDS=n runs
 * n seeds, TD_SEED=n begins with that one.
 */
import { describe, expect, test } from 'vitest';
import type { ReplicationEvent } from '../../src/cluster/replication.js';
import { StreamReader } from '../../src/cluster/stream-reader.js';
import { ClusterNet, type ClusterNode } from '../helpers/cluster-net.js';

const COUNT = Number(process.env.TD_SEEDS ?? 3);
const FIRST = Number(process.env.TD_SEED ?? 1);
const SEEDS = Array.from({ length: COUNT }, (_, i) => FIRST + i);

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

/** Every stream is at every member what its writer has; compared by digest here, word by word in the end. */
const agree = (nodes: readonly ClusterNode[], origins: readonly number[]): boolean =>
  origins.every((origin) => {
    const writers = nodes.filter((node) => node.replication.writes(origin, 0));
    if (writers.length !== 1) return false;
    const digests = nodes.map((node) => node.replication.stream(origin, 0)?.mirrors.map((mirror) => mirror.digest()));
    return digests.every((digest) => `${digest}` === `${digests[0]}`);
  });

describe('all troubles at once', () => {
  const heal = (net: ClusterNet): void => {
    net.hears = () => true;
    net.faults = { loss: 0.02, repeat: 0, delay: 0.0005, jitter: 0.002 };
    for (const node of net.nodes) node.up = true;
  };

  test.each(SEEDS)('loss, reordering, restarts, partitions, seed %i', (seed) => {
    const net = new ClusterNet(seed, [2048, 2048], { timing: { digestInterval: 0.3 } });
    const nodes = [1, 2, 3, 4].map((number) => net.add(number));
    const writers = nodes.slice(0, 3);
    for (const node of writers) node.begin();
    net.faults = { loss: 0.05, repeat: 0.02, delay: 0.0005, jitter: 0.01 };
    for (let round = 0; round < 12; round++) {
      const dice = net.random();
      const victim = writers[Math.floor(net.random() * 3)];
      const apart = Math.floor(net.random() * 16);
      if (dice < 0.3) net.hears = (from, to) => ((apart >> from) & 1) === ((apart >> to) & 1);
      else if (dice < 0.5) net.hears = () => true;
      else if (dice < 0.8) {
        victim.restart();
        victim.begin();
      } else victim.up = !victim.up;
      net.run(0.3, () => {
        for (const node of writers) {
          if (!node.up) continue;
          const plane = net.random() < 0.7 ? 0 : 1;
          const index = Math.floor(net.random() * 2048);
          if (net.random() < 0.3) node.free(plane, index);
          else node.put(plane, index, net.words(plane));
        }
      });
    }
    heal(net);
    expect(
      net.runUntil(() => agree(nodes, [1, 2, 3]), 12),
      `seed ${seed}`,
    ).toBe(true);
    for (const writer of writers) for (const node of nodes) expect(isEqual(node, writer), `seed ${seed}`).toBe(true);
    const current = (): boolean =>
      nodes.every((node) => writers.every((writer) => node === writer || readerOf(node, writer.number).isCurrent));
    expect(net.runUntil(current, 5), `seed ${seed}`).toBe(true);
  });

  test.each(SEEDS)('three that take one stream from one another, through partitions and restarts, seed %i', (seed) => {
    const net = new ClusterNet(seed, [2048, 2048], { timing: { digestInterval: 0.3 } });
    const nodes = [1, 2, 3, 4].map((number) => net.add(number));
    net.faults = { loss: 0.05, repeat: 0.02, delay: 0.0005, jitter: 0.01 };
    net.run(0.1);
    for (const node of nodes.slice(0, 3)) node.writer = node.replication.write(7, 0, net.now);
    net.run(0.5);
    for (let round = 0; round < 12; round++) {
      const victim = nodes[Math.floor(net.random() * 3)];
      const apart = Math.floor(net.random() * 16);
      const dice = net.random();
      if (dice < 0.2) net.hears = (from, to) => ((apart >> from) & 1) === ((apart >> to) & 1);
      else if (dice < 0.35) net.hears = () => true;
      else if (dice < 0.45) victim.restart();
      else if (victim.up) victim.writer = victim.replication.write(7, 0, net.now);
      net.run(0.3, () => {
        for (const node of nodes) {
          if (!node.up || !node.replication.writes(7, 0)) continue;
          const plane = net.random() < 0.7 ? 0 : 1;
          const index = Math.floor(net.random() * 2048);
          if (net.random() < 0.3) node.writer?.free(plane, index, net.now);
          else node.writer?.put(plane, index, net.words(plane), 0, net.now);
        }
      });
    }
    heal(net);
    // The elected one. If it learns of a higher generation whose writer is dead, it takes the stream again, above it.
    for (let i = 0; i < 3; i++) {
      if (!nodes[0].replication.writes(7, 0)) nodes[0].writer = nodes[0].replication.write(7, 0, net.now);
      net.run(1);
    }
    expect(
      net.runUntil(() => agree(nodes, [7]), 12),
      `seed ${seed}`,
    ).toBe(true);
    const fenced = nodes.reduce((sum, { events }) => sum + kinds(events).filter((kind) => kind === 'fenced').length, 0);
    expect(fenced).toBeGreaterThan(0);
    const [first, ...others] = nodes.map((node) => ClusterNet.contents(node.replication.stream(7, 0) as StreamReader));
    for (const other of others) expect(other === first).toBe(true);
  });
});
