/**
 * VIPs whose answers do not pass here (document 001, FIG. 4 and 5; `reply: nat` with the NAT on another machine): requests
 * are passed on, and what clients then do with their answers.
 */
import { describe, expect, test } from 'vitest';
import type { CompiledConfig } from '../../src/config/compiled.js';
import { Designator } from '../../src/designation/designate.js';
import { explain } from '../../src/roles/designator/explain.js';
import { FollowForecast } from '../../src/roles/designator/follow-forecast.js';
import { FOLLOW } from '../../src/dataplane/follow-class.js';
import { CELL_WORDS, HEADER, SERVER_CELL, SERVER_STATE } from '../../src/flow/layout.js';
import { NextHopTable } from '../../src/flow/next-hop-table.js';
import { PORT_HOST, PORT_INSIDE } from '../../src/io/port.js';
import { hello, l2tpData, scccn, sccrp, sccrq, stopccn, udpFrame, viewOf } from '../helpers/packet-builder.js';
import { brokenInvariants } from '../helpers/table-invariants.js';
import { CLIENT, Harness, type HarnessOptions, SERVER_1, SERVER_2, VIP, vipOf } from '../helpers/shard-harness.js';

const EVEN: HarnessOptions = {
  algorithm: 'round-robin',
  servers: [
    { name: 'lns1', address: SERVER_1 },
    { name: 'lns2', address: SERVER_2 },
  ],
};
const directVip = (): CompiledConfig['vips'][number] => ({ ...vipOf(EVEN), reply: 'direct', oneWay: true });

function ways(sent: readonly { readonly frame: Uint8Array }[]): string[] {
  return sent.map(({ frame }) => {
    const view = viewOf(frame);
    const place = (ip: number, port: number): string =>
      `${[...frame.subarray(ip, ip + 4)].join('.')}:${view.getUint16(port)}`;
    return `${place(26, 34)} > ${place(30, 36)}`;
  });
}

class World extends Harness {
  constructor(more: HarnessOptions = {}) {
    super({ vips: [directVip()], eventSlots: 64, ...more });
  }
  up(payload: Uint8Array, client = `${CLIENT}:1701`): string[] {
    return ways(this.send(udpFrame(client, `${VIP}:1701`, payload)).sent);
  }
  classes(): [string, number][] {
    return this.shards.flatMap((shard) =>
      shard
        .takeNotices()
        .flatMap((notice) =>
          notice.type === 'followed'
            ? notice.clients.map(({ client, follow }): [string, number] => [`.${client[3] & 0xff}`, follow])
            : [],
        ),
    );
  }
  cell(server: number, word: number): number {
    return this.memory.servers[this.binding.servers[server].index * CELL_WORDS + word];
  }
}
const to = (server: string, client = `${CLIENT}:1701`): string => `${client} > ${server}:1701`;

describe('explain', () => {
  const asked = (w: World, follow: number, tunnel: number) => {
    const designator = new Designator(w.memory);
    designator.setPlan(w.plan);
    const { memory, binding, rows, config } = w;
    const followForecast = new FollowForecast(memory, designator.cells);
    const judge = { refuses: () => null, doubts: () => null, follow: () => follow, flooded: false };
    return explain(
      { memory, binding, rows, designator, followForecast, config, ...judge },
      { client: `${CLIENT}:1701`, vip: 'access', tunnel },
    );
  };

  test('says what a shard does: tunnels of one port stay together until the client is known to follow', () => {
    const w = new World();
    w.up(sccrq({ assigned: 1 }));
    const unknown = asked(w, FOLLOW.unknown, 2);
    expect(unknown).toMatchObject({ server: 'lns1', reason: expect.stringContaining('stay together') });
    expect(unknown.notes).toContain(
      'answers come from 10.10.1.1, the server’s own address; the client has not shown yet whether it follows that',
    );
    expect(w.up(sccrq({ assigned: 2 }))).toEqual([to(SERVER_1)]);
    expect(asked(w, FOLLOW.follows, 3)).toMatchObject({ server: 'lns2' });
    expect(asked(w, FOLLOW.refuses, 3).notes?.join()).toContain('takes no answer but the VIP’s');
  });
});

describe('the request', () => {
  test('FIG. 5: 102 goes on as 204 with the local address and the client’s own source; copies go the same way', () => {
    const w = new World();
    expect(w.up(sccrq({ assigned: 1 }))).toEqual([to(SERVER_1)]);
    w.at(w.now + 1);
    expect(w.up(sccrq({ assigned: 1 }))).toEqual([to(SERVER_1)]);
    expect(w.rows.tunnels()).toMatchObject([{ clientTunnelId: 1, state: 'half-open', server: 'lns1', packetsIn: 2 }]);
  });

  test('counts as half open nowhere, and ends by time', () => {
    const w = new World({ halfOpen: 2 });
    for (let n = 1; n <= 20; n++) expect(w.up(sccrq({ assigned: n }), `198.51.100.${n}:1701`)).toHaveLength(1);
    expect(w.memory.header[HEADER.halfOpen]).toBe(0);
    expect([0, 1].map((server) => w.cell(server, SERVER_CELL.halfOpen))).toEqual([0, 0]);
    expect(w.rows.tunnels()).toHaveLength(20);
    w.at(w.now + 62);
    w.at(w.now + 2);
    expect(w.rows.tunnels()).toEqual([]);
    expect(w.memory.header[HEADER.halfOpen]).toBe(0);
    expect(w.drops()).toEqual({});
  });

  test('of a source that nobody knows must come twice while the table is nearly full of such requests', () => {
    const w = new World({ connections: 1024 });
    for (let n = 0; n < 768; n++) w.up(sccrq({ assigned: 1 }), `198.51.${n >> 8}.${n & 0xff}:1701`);
    expect(w.rows.tunnels()).toHaveLength(768);
    expect(w.up(sccrq({ assigned: 1 }))).toEqual([]);
    expect(w.drops()).toEqual({ 'request-unproven': 1 });
    w.at(w.now + 1);
    expect(w.up(sccrq({ assigned: 1 }))).toHaveLength(1);
    w.at(w.now + 62);
    w.at(w.now + 1);
    expect(w.rows.tunnels()).toEqual([]);
    expect(w.up(sccrq({ assigned: 2 }))).toHaveLength(1);
    expect(brokenInvariants(w.memory)).toEqual([]);
  });

  test('needs no route to the client, who is answered from elsewhere', () => {
    const prefixes = new Int32Array([0, 0, 0xffff, 0x0a000000]);
    const routes = { prefixes, lengths: Uint8Array.of(104), ports: Uint8Array.of(1), gateways: new Int32Array(4) };
    const w = new World({ routes });
    expect(w.up(sccrq({ assigned: 1 }))).toEqual([to(SERVER_1)]);
  });

  test('answers that cross all the same are the host’s, untouched', () => {
    const w = new World();
    w.up(sccrq({ assigned: 1 }));
    const frame = udpFrame(`${SERVER_1}:1701`, `${CLIENT}:1701`, sccrp({ tunnel: 1, assigned: 2 }));
    const { sent, passed } = w.send(frame, PORT_INSIDE);
    expect(sent).toEqual([]);
    expect(passed.map(({ frame: out }) => out)).toEqual([frame]);
    const data = udpFrame(`${SERVER_1}:1701`, `${CLIENT}:1701`, l2tpData({ tunnel: 1, session: 3 }));
    expect(w.send(data, PORT_INSIDE).passed.map(({ frame: out }) => out)).toEqual([data]);
  });
});

describe('a client that follows', () => {
  test('is one that is not heard of for 5 s; its tunnels are spread', () => {
    const w = new World();
    w.up(sccrq({ assigned: 1 }));
    w.at(w.now + 4.9);
    expect(w.classes()).toEqual([]);
    w.at(w.now + 0.2);
    expect(w.classes()).toEqual([['.5', FOLLOW.follows]]);
    expect(w.up(sccrq({ assigned: 2 }))).toEqual([to(SERVER_2)]);
    expect(w.up(sccrq({ assigned: 3 }))).toEqual([to(SERVER_1)]);
  });

  test('and dials again with the id that it had does not ask twice for one tunnel', () => {
    const w = new World();
    for (const host of ['a', 'b', 'c', 'd']) {
      expect(w.up(sccrq({ assigned: 1, host }))).toHaveLength(1);
      w.at(w.now + 6);
    }
    expect(w.classes()).toEqual([['.5', FOLLOW.follows]]);
    expect(w.count('refusalsUnhelped')).toBe(0);
    expect(w.cell(0, SERVER_CELL.repeats)).toBe(0);
    expect(w.rows.tunnels()).toHaveLength(1);
    expect(brokenInvariants(w.memory)).toEqual([]);
  });

  test('until that is known its tunnels go to one server; those of another port need not', () => {
    const w = new World();
    expect(w.up(sccrq({ assigned: 1 }))).toEqual([to(SERVER_1)]);
    expect(w.up(sccrq({ assigned: 2 }))).toEqual([to(SERVER_1)]);
    expect(w.up(sccrq({ assigned: 1 }), `${CLIENT}:9000`)).toEqual([to(SERVER_2, `${CLIENT}:9000`)]);
  });
});

describe('a client that goes on sending to the VIP', () => {
  test('is carried on to its server, under the id that it says', () => {
    const w = new World();
    w.up(sccrq({ assigned: 1 }));
    expect(w.up(scccn({ tunnel: 50 }))).toEqual([to(SERVER_1)]);
    expect(w.up(l2tpData({ tunnel: 50, session: 3 }))).toEqual([to(SERVER_1)]);
    expect(w.up(hello({ tunnel: 50 }))).toEqual([to(SERVER_1)]);
    expect(w.classes()).toEqual([['.5', FOLLOW.carried]]);
    expect(w.rows.tunnels()).toMatchObject([{ clientTunnelId: 1, serverTunnelId: 50, state: 'established' }]);
    expect(w.cell(0, SERVER_CELL.established)).toBe(1);
    expect(w.up(stopccn({ tunnel: 50, assigned: 1 }))).toEqual([to(SERVER_1)]);
    expect(w.rows.tunnels()[0].state).toBe('closing');
    expect(w.cell(0, SERVER_CELL.established)).toBe(0);
    w.at(w.now + 36);
    w.at(w.now + 1);
    expect(w.rows.tunnels()).toEqual([]);
    expect(w.count('carriedOn')).toBe(1);
    expect(w.drops()).toEqual({});
  });

  test('keeps all tunnels of a port at one server, and they come in the order of its requests', () => {
    const w = new World();
    for (const id of [1, 2, 3]) expect(w.up(sccrq({ assigned: id }))).toEqual([to(SERVER_1)]);
    for (const id of [51, 52, 53]) expect(w.up(scccn({ tunnel: id }))).toEqual([to(SERVER_1)]);
    expect(w.rows.tunnels().map((row) => [row.clientTunnelId, row.serverTunnelId])).toEqual([
      [1, 51],
      [2, 52],
      [3, 53],
    ]);
    expect(w.up(sccrq({ assigned: 4 }))).toEqual([to(SERVER_1)]);
  });

  test('is led to the new tunnel when its server gives an id again after the old one’s end', () => {
    const w = new World();
    w.up(sccrq({ assigned: 1 }));
    w.up(scccn({ tunnel: 50 }));
    w.up(stopccn({ tunnel: 50, assigned: 1 }));
    expect(w.up(sccrq({ assigned: 2 }))).toEqual([to(SERVER_2)]);
    expect(w.up(scccn({ tunnel: 50 }))).toEqual([to(SERVER_2)]);
    expect(w.rows.tunnels()).toMatchObject([{ clientTunnelId: 2, server: 'lns2', state: 'established' }]);
    w.at(w.now + 36);
    w.at(w.now + 1);
    expect(w.up(l2tpData({ tunnel: 50, session: 3 }))).toEqual([to(SERVER_2)]);
    expect(w.count('idsReused')).toBe(1);
    expect(brokenInvariants(w.memory)).toEqual([]);
  });

  test('is led to the new tunnel, too, when nobody has ended the old one; a copy of its SCCCN ends nothing', () => {
    const w = new World();
    w.up(sccrq({ assigned: 1 }));
    w.up(scccn({ tunnel: 50 }));
    w.up(sccrq({ assigned: 2 }));
    w.at(w.now + 30);
    expect(w.up(scccn({ tunnel: 50 }))).toEqual([to(SERVER_1)]);
    expect(w.up(scccn({ tunnel: 51 }))).toEqual([to(SERVER_1)]);
    expect(w.rows.tunnels().map((row) => row.state)).toEqual(['established', 'established']);
    w.at(w.now + 10);
    w.memory.servers[w.binding.servers[0].index * CELL_WORDS + SERVER_CELL.state] = SERVER_STATE.down;
    expect(w.up(sccrq({ assigned: 3 }))).toEqual([to(SERVER_2)]);
    expect(w.up(scccn({ tunnel: 50 }))).toEqual([to(SERVER_2)]);
    expect(w.up(l2tpData({ tunnel: 50, session: 3 }))).toEqual([to(SERVER_2)]);
    expect(w.up(l2tpData({ tunnel: 51, session: 3 }))).toEqual([to(SERVER_1)]);
    expect(brokenInvariants(w.memory)).toEqual([]);
  });

  test('later evidence corrects what silence said', () => {
    const w = new World();
    w.up(sccrq({ assigned: 1 }));
    w.at(w.now + 6);
    w.up(scccn({ tunnel: 50 }));
    expect(w.classes().map(([, follow]) => follow)).toEqual([FOLLOW.follows, FOLLOW.carried]);
  });

  test('that several servers could be meant by is dropped by name', () => {
    const w = new World();
    w.up(sccrq({ assigned: 1 }));
    w.at(w.now + 6);
    expect(w.up(sccrq({ assigned: 2 }))).toEqual([to(SERVER_2)]);
    expect(w.up(scccn({ tunnel: 50 }))).toEqual([]);
    expect(w.drops()).toEqual({ 'ambiguous-tunnel': 1 });
    // From now on its tunnels are kept together.
    expect(w.classes().at(-1)).toEqual(['.5', FOLLOW.carried]);
    expect(w.up(sccrq({ assigned: 3 }))).toEqual([to(SERVER_2)]);
  });

  test('without any request is nobody’s', () => {
    const w = new World();
    expect(w.up(scccn({ tunnel: 50 }))).toEqual([]);
    expect(w.up(l2tpData({ tunnel: 50, session: 1 }))).toEqual([]);
    expect(w.drops()).toEqual({ 'unknown-tunnel': 2 });
  });
});

describe('a client that refuses', () => {
  test('without a localAddress is counted and told; its request goes on as it came', () => {
    const w = new World();
    w.up(sccrq({ assigned: 1 }));
    for (const wait of [1, 2]) {
      w.at(w.now + wait);
      expect(w.up(sccrq({ assigned: 1 }))).toEqual([to(SERVER_1)]);
    }
    expect(w.classes()).toEqual([['.5', FOLLOW.refuses]]);
    expect(w.count('refusalsUnhelped')).toBe(1);
    // It gives up: that is no following.
    w.at(w.now + 8);
    expect(w.classes()).toEqual([]);
  });
});

describe('a client that refuses, and the machine that the master is on', () => {
  const LOCAL = '10.10.1.100';
  /** `here`: indices of the servers that are this host itself. */
  function world(...here: readonly number[]): World {
    const words = [0, 0, 0xffff, 0x0a0a0164] as const;
    const vip = { ...directVip(), localAddress: { address: LOCAL, words, family: 4 as const } };
    const w = new World({ vips: [vip] });
    const hops = new NextHopTable(w.memory);
    for (const server of here) {
      const hop = hops.ensure(PORT_HOST, 0, 0, 0xffff, server + 1);
      hops.setMac(hop, new Uint8Array(6), 0);
      w.memory.servers[w.binding.servers[server].index * CELL_WORDS + SERVER_CELL.nextHop] = hop;
    }
    return w;
  }
  const insist = (w: World, assigned: number): string[] => {
    w.up(sccrq({ assigned }));
    w.at(w.now + 1);
    w.up(sccrq({ assigned }));
    w.at(w.now + 2);
    return w.up(sccrq({ assigned }));
  };

  test('is given another server, from the localAddress', () => {
    const w = world(0);
    expect(w.up(sccrq({ assigned: 1 }))).toEqual([to(SERVER_1)]);
    w.at(w.now + 1);
    expect(w.up(sccrq({ assigned: 1 }))).toEqual([to(SERVER_1)]);
    w.at(w.now + 2);
    const [way] = w.up(sccrq({ assigned: 1 }));
    expect(way).toContain(`> ${SERVER_2}:1701`);
    expect(w.count('fullNats')).toBe(1);
    expect(w.classes()).toEqual([['.5', FOLLOW.refuses]]);
    expect(w.rows.tunnels()).toMatchObject([{ clientTunnelId: 1, server: 'lns2', state: 'half-open' }]);
    expect(w.count('requestsMoved')).toBe(1);
    // Its next tunnels never go there, whatever the algorithm says.
    for (let id = 2; id < 8; id++) expect(w.up(sccrq({ assigned: id }))[0]).toContain(`> ${SERVER_2}:1701`);
    expect(w.drops()).toEqual({});
  });

  test('stays where it is when its server is another machine', () => {
    const w = world(1);
    expect(insist(w, 1)[0]).toContain(`> ${SERVER_1}:1701`);
    // The class is known when the server has answered.
    expect(w.count('requestsMoved')).toBe(0);
    expect(w.rows.tunnels()).toMatchObject([{ clientTunnelId: 1, server: 'lns1' }]);
  });

  test('cannot be helped when there is no other server, which is counted', () => {
    const w = world(0, 1);
    expect(insist(w, 1)).toEqual([to(SERVER_1)]);
    expect(w.count('refusalsUnhelped')).toBe(1);
    expect(w.classes()).toEqual([['.5', FOLLOW.refuses]]);
    expect(w.up(sccrq({ assigned: 2 }))).toEqual([]);
    expect(w.drops()).toEqual({ 'no-server': 1 });
  });
});
