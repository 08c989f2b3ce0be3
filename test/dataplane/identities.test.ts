/** Ids that are hidden, alike or given again, through whole shards: what is counted, what is kept, what is given up. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { COUNTER } from '../../src/dataplane/counters.js';
import { CELL_WORDS, SERVER_CELL, SERVER_STATE, VIP_CELL } from '../../src/flow/layout.js';
import { PORT_INSIDE } from '../../src/io/port.js';
import { hideValue } from '../../src/tunnels/l2tp/hidden.js';
import {
  avp,
  concat,
  l2tpControl,
  l2tpData,
  scccn,
  sccrp,
  sccrq,
  text,
  u16,
  u32,
  udpFrame,
  viewOf,
} from '../helpers/packet-builder.js';
import { CLIENT, Harness, type HarnessOptions, SERVER_1, SERVER_2, VIP } from '../helpers/shard-harness.js';

const EVEN: HarnessOptions = {
  algorithm: 'round-robin',
  servers: [
    { name: 'lns1', address: SERVER_1 },
    { name: 'lns2', address: SERVER_2 },
  ],
};
const VECTOR = Uint8Array.from({ length: 16 }, (_, index) => index);

function hiddenSccrp(tunnel: number, id: number, secret = 'unknown'): Uint8Array {
  const value = hideValue(9, text(secret), VECTOR, concat(u16(2), u16(id)));
  return l2tpControl({ tunnel, nr: 1, avps: [avp(0, 2), avp(36, VECTOR), avp(9, value, { hidden: true })] });
}
const recovery = (own: number, peer: number): Uint8Array => avp(77, concat(u16(0), u32(own), u32(peer)));

/** What comes out, as `address:port` of the destination and of the source. */
function ways(sent: readonly { readonly frame: Uint8Array }[]): { from: string; to: string }[] {
  return sent.map(({ frame }) => {
    const view = viewOf(frame);
    const at = (ip: number, port: number): string =>
      `${[...frame.subarray(ip, ip + 4)].join('.')}:${view.getUint16(port)}`;
    return { from: at(26, 34), to: at(30, 36) };
  });
}
class World extends Harness {
  up(payload: Uint8Array, port = 1701, vipPort = 1701) {
    return ways(this.send(udpFrame(`${CLIENT}:${port}`, `${VIP}:${vipPort}`, payload)).sent);
  }
  down(server: string, payload: Uint8Array, port = 1701, serverPort = 1701) {
    return ways(this.send(udpFrame(`${server}:${serverPort}`, `${CLIENT}:${port}`, payload), PORT_INSIDE).sent);
  }
  connect(id: number, serverId: number): string {
    const server = this.up(sccrq({ assigned: id }))[0].to.split(':')[0];
    this.down(server, sccrp({ tunnel: id, assigned: serverId }));
    this.up(scccn({ tunnel: serverId }));
    return server;
  }
  override count(name: keyof typeof COUNTER): number {
    return this.statistics[0][COUNTER[name]];
  }
}

describe('hidden ids', () => {
  test('two SCCRQs at once: the second is moved to the first one’s server and waits its turn', () => {
    const w = new World(EVEN);
    expect([...w.up(sccrq({ assigned: 7 })), ...w.up(sccrq({ assigned: 8 }))].map(({ to }) => to)).toEqual([
      `${SERVER_1}:1701`,
      `${SERVER_2}:1701`,
    ]);
    expect(w.down(SERVER_1, hiddenSccrp(7, 2))).toHaveLength(1);
    expect(w.down(SERVER_2, hiddenSccrp(8, 2))).toEqual([]);
    expect(w.count('hiddenMoved')).toBe(1);
    expect(w.up(sccrq({ assigned: 8 }))[0].to).toBe(`${SERVER_1}:1701`);
    expect(w.count('followed')).toBe(1);
    expect(w.down(SERVER_1, hiddenSccrp(8, 3))).toEqual([]);
    expect(w.drops()).toEqual({ 'hidden-channel-waits': 2 });
    w.up(scccn({ tunnel: 2 }));
    expect(w.down(SERVER_1, hiddenSccrp(8, 3))).toHaveLength(1);
    w.up(scccn({ tunnel: 3 }));
    expect(w.count('hiddenLearnt')).toBe(2);
    expect(w.rows.tunnels().map((row) => [row.clientTunnelId, row.serverTunnelId, row.state])).toEqual([
      [7, 2, 'established'],
      [8, 3, 'established'],
    ]);
  });

  test('where the older tunnel’s server takes no more, the new one gets a port of its own', () => {
    const w = new World(EVEN);
    w.connect(7, 50);
    const cell = w.binding.servers[0].index * CELL_WORDS;
    w.memory.servers[cell + SERVER_CELL.state] = SERVER_STATE.draining;
    w.up(sccrq({ assigned: 8 }));
    const [{ from }] = w.down(SERVER_2, hiddenSccrp(8, 50));
    const port = Number(from.split(':')[1]);
    expect(port).toBeGreaterThanOrEqual(49_152);
    expect(w.up(scccn({ tunnel: 50 }), 1701, port)).toMatchObject([{ to: `${SERVER_2}:1701` }]);
    expect(w.up(l2tpData({ tunnel: 50, session: 1 }))[0].to).toBe(`${SERVER_1}:1701`);
    expect(w.up(l2tpData({ tunnel: 50, session: 1 }), 1701, port)[0].to).toBe(`${SERVER_2}:1701`);
  });

  test('a client that never takes up a hidden answer keeps the next one waiting for seconds, not for ever', () => {
    const w = new World(EVEN);
    w.up(sccrq({ assigned: 7 }));
    w.down(SERVER_1, hiddenSccrp(7, 2));
    w.up(sccrq({ assigned: 8 }));
    expect(w.down(SERVER_1, hiddenSccrp(8, 3))).toEqual([]);
    w.at(1012);
    expect(w.down(SERVER_1, hiddenSccrp(8, 3))).toHaveLength(1);
    w.up(scccn({ tunnel: 3 }));
    expect(w.rows.tunnels().find((row) => row.clientTunnelId === 8)?.serverTunnelId).toBe(3);
  });

  test('data of a stranger’s tunnel is never taken for the awaited message', () => {
    const w = new World(EVEN);
    w.up(sccrq({ assigned: 7 }));
    w.down(SERVER_1, hiddenSccrp(7, 2));
    expect(w.up(l2tpData({ tunnel: 9, session: 1 }))).toEqual([]);
    expect(w.up(scccn({ tunnel: 9 }), 1702)).toEqual([]);
    expect(w.up(scccn({ tunnel: 2 }))).toHaveLength(1);
  });

  test('the VIP forgets that ids were hidden', () => {
    const w = new World(EVEN);
    w.up(sccrq({ assigned: 7 }));
    w.down(SERVER_1, hiddenSccrp(7, 2));
    w.up(scccn({ tunnel: 2 }));
    w.memory.vips[w.binding.vips[0].index * CELL_WORDS + VIP_CELL.hiddenSeen] = 1;
    expect(w.up(sccrq({ assigned: 8 }))[0].to).toBe(`${SERVER_2}:1701`);
  });

  test('the secret is counted, right or wrong', () => {
    const right = new World({ ...EVEN, tunnelSecret: 'known' });
    right.up(sccrq({ assigned: 7 }));
    right.down(SERVER_1, hiddenSccrp(7, 2, 'known'));
    expect([right.count('hiddenRead'), right.count('secretsWrong')]).toEqual([1, 0]);
    right.up(sccrq({ assigned: 8 }));
    right.down(SERVER_2, hiddenSccrp(8, 2, 'other'));
    expect([right.count('hiddenRead'), right.count('secretsWrong')]).toEqual([1, 1]);
  });
});

describe('ids given again', () => {
  test('by the client, while its tunnel stands: the old one goes on, whatever comes of the new one', () => {
    const w = new World({ servers: [{ name: 'lns1', address: SERVER_1 }] });
    w.connect(7, 99);
    expect(w.up(sccrq({ assigned: 7 }))[0].from).toBe(`${CLIENT}:1701`); // a copy
    const [{ from }] = w.up(sccrq({ assigned: 7, host: 'anew' }));
    expect(from).not.toBe(`${CLIENT}:1701`);
    expect([w.count('idsReused'), w.count('virtualPorts')]).toEqual([1, 1]);
    expect(w.down(SERVER_1, l2tpData({ tunnel: 7, session: 1 }))).toHaveLength(1);
    expect(w.up(l2tpData({ tunnel: 99, session: 1 }))).toHaveLength(1);
    w.at(1070); // it was never answered
    expect(w.rows.tunnels()).toMatchObject([{ serverTunnelId: 99, state: 'established' }]);
    expect(w.down(SERVER_1, l2tpData({ tunnel: 7, session: 1 }))).toHaveLength(1);
  });

  test('by the server, while its tunnel stands', () => {
    const w = new World({ servers: [{ name: 'lns1', address: SERVER_1 }] });
    w.connect(7, 1);
    w.connect(8, 1);
    expect(w.count('idsReused')).toBe(1);
    expect(w.rows.tunnels()[1].virtualTunnelId).not.toBeNull();
  });
});

describe('recovery', () => {
  test('of a tunnel that is not there goes by the algorithm, and is counted', () => {
    const w = new World(EVEN);
    w.connect(7, 2);
    expect(w.up(sccrq({ assigned: 8, extra: [recovery(7, 3)] }))[0].to).toBe(`${SERVER_2}:1701`);
    expect(w.count('recoveriesUnknown')).toBe(1);
  });

  test('follows to a server that drains, not to one that is down', () => {
    const w = new World(EVEN);
    w.connect(7, 2);
    const cell = w.binding.servers[0].index * CELL_WORDS + SERVER_CELL.state;
    w.memory.servers[cell] = SERVER_STATE.draining;
    expect(w.up(sccrq({ assigned: 8, extra: [recovery(7, 2)] }))[0].to).toBe(`${SERVER_1}:1701`);
    w.memory.servers[cell] = SERVER_STATE.down;
    expect(w.up(sccrq({ assigned: 9, extra: [recovery(7, 2)] }))[0].to).toBe(`${SERVER_2}:1701`);
    expect(w.count('followed')).toBe(1);
  });
});

test('any answers, hidden or not, from anywhere: no standing tunnel is lost', () => {
  const id = fc.integer({ min: 1, max: 6 });
  const server = fc.constantFrom(SERVER_1, SERVER_2);
  const step = fc.oneof(
    fc.tuple(fc.constant('request'), id, server, id),
    fc.tuple(fc.constant('answer'), id, server, id),
    fc.tuple(fc.constant('hidden'), id, server, id),
    fc.tuple(fc.constant('connected'), id, server, id),
    fc.tuple(fc.constant('recover'), id, server, id),
    fc.tuple(fc.constant('asked'), id, server, id),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const w = new World(EVEN);
      const standing = w.connect(40, 41);
      for (const [what, a, at, b] of steps) {
        if (what === 'request') w.up(sccrq({ assigned: a, host: `h${b}` }));
        else if (what === 'answer') w.down(at, sccrp({ tunnel: a, assigned: b }));
        else if (what === 'hidden') w.down(at, hiddenSccrp(a, b));
        else if (what === 'connected') w.up(scccn({ tunnel: b }));
        else if (what === 'recover') w.up(sccrq({ assigned: a, extra: [recovery(40, 41)] }));
        else w.down(at, sccrq({ assigned: a }));
        expect(w.up(l2tpData({ tunnel: 41, session: 1 }))).toMatchObject([{ to: `${standing}:1701` }]);
        expect(w.down(standing, l2tpData({ tunnel: 40, session: 1 }))).toMatchObject([{ to: `${CLIENT}:1701` }]);
      }
      w.at(1000 + 3000);
      expect(w.rows.totals()).toMatchObject({ entries: 0, tunnels: 0 });
    }),
    { numRuns: Number(process.env['FUZZ_RUNS'] ?? 100) },
  );
});
