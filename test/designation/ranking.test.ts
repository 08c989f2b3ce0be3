/** Rankings give what looking at all servers would give, after anything that can happen to a server. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Designator } from '../../src/designation/designate.js';
import { SERVER_CELL, SERVER_FLAG, SERVER_REASON, SERVER_STATE } from '../../src/flow/layout.js';
import { newMemory, RUNS } from '../flow/memory.js';
import { ALGORITHMS, type Farm, newFarm } from './farm.js';
import { designate, newScan, type Scan, SCANNED } from './scan.js';

const RATE = 8;
const BURST = 2;

/** What may happen to a server between two requests, to a farm and to what is written down of it. */
const HAPPENINGS: readonly ((farm: Farm, scan: Scan, i: number, n: number) => void)[] = [
  ({ cells, servers }, scan, i) => {
    scan.servers[i].up = !scan.servers[i].up;
    const state = scan.servers[i].up ? SERVER_STATE.up : SERVER_STATE.down;
    cells.setState(servers[i], state, SERVER_REASON.configured, 0);
  },
  ({ cells, servers }, scan, i, n) => {
    scan.servers[i].weight = [0, 1, 2, 3, 7, 1000][n % 6];
    cells.setWeight(servers[i], scan.servers[i].weight);
  },
  ({ cells, servers }, scan, i, n) => {
    scan.servers[i].tunnels += n % 5;
    cells.addEstablished(servers[i], n % 5);
  },
  ({ cells, servers }, scan, i) => {
    scan.servers[i].tunnels++;
    scan.servers[i].halfOpen++;
    cells.addHalfOpen(servers[i], 1);
  },
  ({ cells, servers }, scan, i, n) => {
    scan.servers[i].sessions += n % 4;
    cells.addSessions(servers[i], n % 4);
  },
  ({ cells, servers }, scan, i, n) => {
    const load = n % 3 === 0 ? null : (n % 12) * 100_000;
    Object.assign(scan.servers[i], { load, tunnelLoad: n % 40_000, predicted: 0 });
    cells.setFlag(servers[i], SERVER_FLAG.reported, load !== null);
    cells.set(servers[i], SERVER_CELL.reportedLoad, load ?? 0);
    cells.set(servers[i], SERVER_CELL.tunnelLoad, n % 40_000);
    cells.set(servers[i], SERVER_CELL.predictedLoad, 0);
    cells.changed(servers[i]);
  },
  ({ designator }, scan, _i, n) => {
    scan.now += (n % 10) / 100;
    designator.setTime(scan.now);
  },
  ({ cells }) => cells.forgetRankings(), // a thread died
];

const steps = fc.array(fc.record({ what: fc.nat(30), server: fc.nat(200), n: fc.nat(1_000_000), shard: fc.nat(1) }), {
  maxLength: 120,
});
const weights = fc.array(fc.oneof(fc.constantFrom(1, 1, 2, 3, 0), fc.nat(1000)), { minLength: 1, maxLength: 40 });

describe.each(SCANNED)('%s', (algorithm) => {
  it('designates as if it looked at every server, whoever of two shards is asked', () => {
    fc.assert(
      fc.property(weights, steps, (given, happens) => {
        const scan = newScan(given, RATE, BURST);
        const farm = newFarm(algorithm, given, newMemory(64), { bucket: { rate: RATE, burst: BURST } });
        const other = new Designator(farm.memory, farm.cells, undefined, 1);
        other.setPlan(farm.plan);
        for (const { what, server, n, shard } of happens) {
          HAPPENINGS[what]?.(farm, scan, server % given.length, n);
          const expected = designate(algorithm, scan);
          const answer = (shard === 0 ? farm.designator : other).designate(farm.vip, 0, 0, 0xffff, 1, 1);
          expect(answer < 0 ? answer : farm.servers.indexOf(answer)).toBe(expected);
        }
      }),
      { numRuns: Math.ceil(RUNS / 4) },
    );
  });

  it('goes on rightly where the count of rounds wraps and after another algorithm had the cells', () => {
    const given = [3, 1, 2, 5, 1, 1, 7];
    const scan = newScan(given, RATE, BURST);
    const predecessor = algorithm === 'leaky-bucket' ? 'weighted-round-robin' : 'leaky-bucket';
    const farm = newFarm(predecessor, given, newMemory(64), { bucket: { rate: 1, burst: 1 } });
    for (let i = 0; i < 5; i++) farm.next();
    farm.memory.vips[farm.vip * 32 + 10] = 0x7ffffff0; // VIP_CELL.rounds
    for (const server of farm.servers) farm.cells.set(server, SERVER_CELL.lastUse, 0);
    farm.designator.setPlan({ vips: [{ ...farm.plan.vips[0], algorithm, bucket: { rate: RATE, burst: BURST } }] });
    for (let i = 0; i < 100; i++) expect(farm.next()).toBe(Math.max(-1, designate(algorithm, scan)));
  });
});

describe.each(ALGORITHMS)('%s among a thousand', (algorithm) => {
  it('gives every designation to a server that may have it, while servers come and go', () => {
    const farm = newFarm(
      algorithm,
      new Array(1000).fill(0).map((_, i) => (i % 4) + 1),
    );
    let state = 1;
    // Each change costs Maglev a whole table.
    const changes = algorithm === 'maglev' ? 30 : 600;
    for (let i = 0; i < changes; i++) {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
      const server = farm.servers[state % 1000];
      const up = farm.cells.state(server) !== SERVER_STATE.up;
      farm.cells.setState(server, up ? SERVER_STATE.up : SERVER_STATE.down, SERVER_REASON.configured, 0);
      if (i % 3 !== 0) continue;
      const chosen = farm.designator.designate(farm.vip, 0, 0, 0xffff, i, 1);
      expect(farm.cells.eligible(chosen)).toBe(true);
      farm.cells.addHalfOpen(chosen, 1);
    }
  });
});

describe('a writer that says nothing', () => {
  it.each(ALGORITHMS.filter((name) => name !== 'maglev'))(
    '%s: a server that has gone is not designated all the same',
    (algorithm) => {
      const farm = newFarm(algorithm, [1, 1, 1, 1, 1]);
      farm.next();
      for (const gone of [0, 2, 3, 4]) {
        farm.memory.servers[farm.servers[gone] * 32] = SERVER_STATE.down; // SERVER_CELL.state
        for (let i = 0; i < 4; i++) expect(farm.cells.eligible(farm.servers[farm.next()])).toBe(true);
      }
    },
  );
});

describe('two plans at a time', () => {
  it.each(ALGORITHMS)(
    '%s: a thread whose plan is older and one whose plan is newer never give a server that neither has',
    (algorithm) => {
      const farm = newFarm(algorithm, [1, 2, 3, 4, 5]);
      const newer = new Designator(farm.memory, undefined, undefined, 1);
      const [vip] = farm.plan.vips;
      newer.setPlan({ vips: [{ ...vip, algorithm: 'least-tunnels', servers: vip.servers.slice(1).reverse() }] });
      for (let i = 0; i < 60; i++) {
        const server = vip.servers[i % 5];
        const up = farm.cells.state(server) !== SERVER_STATE.up;
        farm.cells.setState(
          server,
          up || i % 7 === 0 ? SERVER_STATE.up : SERVER_STATE.down,
          SERVER_REASON.configured,
          0,
        );
        const chosen = (i % 3 === 0 ? newer : farm.designator).designate(farm.vip, 0, 0, 0xffff, i, 1);
        if (chosen < 0) continue;
        expect(farm.cells.eligible(chosen)).toBe(true);
        if (i % 3 === 0) expect(chosen).not.toBe(vip.servers[0]);
        farm.cells.addHalfOpen(chosen, 1);
      }
    },
  );
});
