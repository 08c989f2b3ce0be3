import { describe, expect, it } from 'vitest';
import { RULE_COUNTER, ruleCounter } from '../../../src/dataplane/counters.js';
import { PORT_INSIDE } from '../../../src/io/port.js';
import type { ServerRates, ShardRates, TopQuery, TunnelRates } from '../../../src/ops/top.js';
import { RateBoard } from '../../../src/roles/designator/rate-board.js';
import { l2tpData, sccrp, sccrq, scccn, udpFrame } from '../../helpers/packet-builder.js';
import { Harness, VIP } from '../../helpers/shard-harness.js';

function scene() {
  const harness = new Harness({ algorithm: 'round-robin' });
  let kernel: { packetsIn: number; packetsOut: number; bytesIn: number; bytesOut: number } | null = null;
  const board = new RateBoard({
    memory: harness.memory,
    binding: harness.binding,
    rows: harness.rows,
    statistics: harness.statistics,
    kernel: () => kernel,
    now: () => harness.now,
  });
  const up = (client: string, payload: Uint8Array) => harness.send(udpFrame(`${client}:1701`, `${VIP}:1701`, payload));
  return {
    harness,
    board,
    up,
    setKernel: (amounts: typeof kernel) => (kernel = amounts),
    /** Tunnel `id` of a client of its own. */
    connect(id: number) {
      const client = `192.0.2.${id}`;
      up(client, sccrq({ assigned: id }));
      const { serverAddress } = harness.rows.tunnels({ client: `${client}:1701` })[0];
      harness.send(
        udpFrame(`${serverAddress}:1701`, `${client}:1701`, sccrp({ tunnel: id, assigned: 100 + id })),
        PORT_INSIDE,
      );
      up(client, scccn({ tunnel: 100 + id }));
    },
    data(id: number, count: number) {
      for (let n = 0; n < count; n++) up(`192.0.2.${id}`, l2tpData({ tunnel: 100 + id, session: 1, payload: 'ff03' }));
    },
    ask: (query: Partial<TopQuery> = {}) => board.top({ view: 'tunnels', sort: 'traffic', limit: 10, ...query }),
    ids: async (query: Partial<TopQuery> = {}) =>
      (await board.top({ view: 'tunnels', sort: 'packets', limit: 10, ...query })).rows.map(
        (row) => (row as TunnelRates).clientTunnelId,
      ),
  };
}

describe('RateBoard', () => {
  it('has no rates at the first look, then those since', async () => {
    const s = scene();
    s.connect(1);
    const first = await s.ask();
    expect(first).toMatchObject({ seconds: null, totals: { tunnels: 1, established: 1, packetsInPerSecond: 0 } });
    s.data(1, 20);
    s.harness.at(1002);
    const second = await s.ask();
    expect(second.seconds).toBe(2);
    expect(second.rows).toMatchObject([
      { clientTunnelId: 1, server: 'lns1', packetsInPerSecond: 10, packetsOutPerSecond: 0 },
    ]);
    expect((second.rows[0] as TunnelRates).bitsInPerSecond).toBeGreaterThan(10 * 8 * 30);
    expect(second.totals).toMatchObject({ packetsInPerSecond: 10 });
  });

  it('sorts, limits, turns round and filters', async () => {
    const s = scene();
    for (const id of [1, 2, 3, 4]) s.connect(id);
    await s.ask();
    s.data(1, 5);
    s.data(2, 20);
    s.data(3, 10);
    s.harness.at(1001);
    expect(await s.ids()).toEqual([2, 3, 1, 4]);
    expect(await s.ids({ limit: 2 })).toEqual([2, 3]);
    expect(await s.ids({ limit: 2, reverse: true })).toEqual([4, 1]);
    expect(await s.ids({ server: 'lns1' })).toEqual([3, 1]);
    expect(await s.ids({ server: 'nobody' })).toEqual([]);
    expect(await s.ids({ client: '192.0.2.3:1701' })).toEqual([3]);
    expect(await s.ids({ client: '192.0.2.3:1702' })).toEqual([]);
    expect(await s.ids({ vip: 'access', limit: 1 })).toEqual([2]);
  });

  it('adds up servers and shards, and the kernel beside them', async () => {
    const s = scene();
    s.setKernel({ packetsIn: 100, packetsOut: 0, bytesIn: 1000, bytesOut: 0 });
    s.connect(1);
    s.connect(2);
    await s.ask();
    s.data(1, 5);
    s.connect(3);
    s.setKernel({ packetsIn: 300, packetsOut: 50, bytesIn: 3000, bytesOut: 0 });
    s.harness.at(1002);
    const servers = (await s.ask({ view: 'servers', sort: 'requests' })).rows as ServerRates[];
    expect(servers.map((row) => [row.name, row.requestsPerSecond])).toEqual([
      ['lns1', 0.5],
      ['lns2', 0],
    ]);
    expect(servers[0].packetsInPerSecond).toBe(3.5); // 5 data, and the two messages of the new tunnel
    const shards = (await s.ask({ view: 'shards', sort: 'packets' })).rows as ShardRates[];
    expect(shards).toMatchObject([
      { shard: 'kernel', packetsInPerSecond: 100, packetsOutPerSecond: 25, bitsInPerSecond: 8000 },
      { shard: 0, packetsInPerSecond: 3.5 },
    ]);
  });

  it('another tunnel in the same record does not inherit what the last one counted', async () => {
    const s = scene();
    s.connect(1);
    s.data(1, 1000);
    await s.ask();
    for (let at = 1001; at < 1700; at++) s.harness.at(at); // idle: released
    expect(s.harness.rows.tunnels()).toEqual([]);
    await s.ask();
    s.connect(2);
    s.data(2, 8);
    s.harness.at(1709);
    const { rows } = await s.ask();
    expect(rows).toMatchObject([{ clientTunnelId: 2, packetsInPerSecond: 1 }]);
  });

  it('counts drops, and not what firewall rules matched', async () => {
    const s = scene();
    await s.ask();
    s.harness.statistics[0][ruleCounter(1, RULE_COUNTER.matched)] += 1000;
    s.data(9, 10); // of no tunnel
    s.harness.at(1002);
    expect((await s.ask()).totals.dropsPerSecond).toBe(5);
  });

  it('looks again no sooner than twice a second, and at one time for all who ask', async () => {
    const s = scene();
    s.connect(1);
    await s.ask();
    s.data(1, 10);
    s.harness.at(1000.2);
    expect((await s.ask()).seconds).toBeNull();
    s.harness.at(1001);
    const answers = await Promise.all([s.ask(), s.ask(), s.ask()]);
    expect(answers.map(({ seconds }) => seconds)).toEqual([1, 1, 1]);
  });

  it('takes no rate from counters that are too old', async () => {
    const s = scene();
    s.connect(1);
    await s.ask();
    s.data(1, 10);
    s.harness.at(1100);
    expect((await s.ask()).seconds).toBeNull();
  });
});
