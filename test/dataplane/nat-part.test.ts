/** The NAT server alone (document 001, FIG. 2 and 3): tunnels made from answers, without a request ever being seen. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HELD_LIMIT } from '../../src/dataplane/held.js';
import { SHARD_LIMIT } from '../../src/flow/layout.js';
import { NextHopTable } from '../../src/flow/next-hop-table.js';
import { SpinLock } from '../../src/flow/spin-lock.js';
import { PORT_INSIDE } from '../../src/io/port.js';
import {
  avp,
  concat,
  hello,
  icrp,
  iccn,
  icrq,
  l2tpControl,
  l2tpData,
  scccn,
  sccrp,
  sccrq,
  stopccn,
  u16,
  udpFrame,
  viewOf,
  zlb,
} from '../helpers/packet-builder.js';
import { FUZZ_RUNS } from '../helpers/fuzz.js';
import {
  CLIENT,
  CLIENT_MAC,
  defaultRoutes,
  Harness,
  type HarnessOptions,
  mac,
  NO_POLICY,
  SERVER_1,
  SERVER_2,
  vipOf,
} from '../helpers/shard-harness.js';
import { brokenInvariants } from '../helpers/table-invariants.js';

const NAT = '200.200.100.9';
const TI = `${CLIENT}:1701`;
const hidden = (tunnel: number): Uint8Array => sccrp({ tunnel, assigned: 0, hidden: true });

const CLIENT_WORD = viewOf(Uint8Array.from(CLIENT.split('.').map(Number))).getInt32(0);

class NatServer extends Harness {
  /** `unheard`: the link-layer addresses of clients are not known. Else each is, as behind a router. */
  constructor({ unheard = false, ...options }: HarnessOptions & { unheard?: boolean } = {}) {
    const routes = defaultRoutes();
    // Everything outside is behind one router.
    if (!unheard) routes.gateways.set([0, 0, 0xffff, 0x0a0b0c0d], 4);
    super({ routes, ...options, part: 'nat', vips: [vipOf(options, 'access', NAT)] });
    if (unheard) return;
    const hops = new NextHopTable(this.memory);
    const lock = new SpinLock(this.memory);
    lock.acquire(SHARD_LIMIT);
    hops.setMac(hops.ensure(0, 0, 0, 0xffff, 0x0a0b0c0d), mac(CLIENT_MAC), 1000);
    lock.release(SHARD_LIMIT);
  }
  /** From a server to a client: `source → destination` of what comes out. */
  out(server: string, payload: Uint8Array, { to = TI, port = 1701, shard = 0 } = {}): string[] {
    return ways(this.send(udpFrame(`${server}:${port}`, to, payload), PORT_INSIDE, shard).sent);
  }
  /** From a client to the NAT server's address. */
  in(payload: Uint8Array, { from = TI, port = 1701, shard = 0 } = {}): string[] {
    return ways(this.send(udpFrame(from, `${NAT}:${port}`, payload), 0, shard).sent);
  }
  /** The AVP 9 and the id in the header of an answer, as the client gets it. */
  told(server: string, payload: Uint8Array): { header: number; assigned: number } {
    const [{ frame }] = this.send(udpFrame(`${server}:1701`, TI, payload), PORT_INSIDE).sent;
    const view = viewOf(frame);
    const at = [...frame].findIndex((_, i) => view.byteLength >= i + 8 && view.getUint32(i) === 0x00000009);
    return { header: view.getUint16(46), assigned: view.getUint16(at + 4) };
  }
  table(): unknown[] {
    return this.rows
      .tunnels()
      .map((row) => [row.server, row.clientTunnelId, row.virtualTunnelId, row.serverTunnelId, row.state]);
  }
}

function ways(sent: readonly { readonly frame: Uint8Array }[]): string[] {
  return sent.map(({ frame }) => {
    const view = viewOf(frame);
    const at = (ip: number, port: number): string =>
      `${[...frame.subarray(ip, ip + 4)].join('.')}:${view.getUint16(port)}`;
    return `${at(26, 34)} > ${at(30, 36)}`;
  });
}

describe('FIG. 3, at the NAT server', () => {
  test('SCCRP 106 makes the entry, goes on as 108 from the NAT’s address; 110 goes to the endpoint as 112, 114 as 116', () => {
    const n = new NatServer();
    expect(n.out(SERVER_1, sccrp({ tunnel: 1, assigned: 2 }))).toEqual([`${NAT}:1701 > ${TI}`]);
    expect(n.table()).toEqual([['lns1', 1, null, 2, 'half-open']]);
    expect(n.in(scccn({ tunnel: 2 }))).toEqual([`${TI} > ${SERVER_1}:1701`]);
    expect(n.out(SERVER_1, zlb({ tunnel: 1, ns: 1, nr: 2 }))).toEqual([`${NAT}:1701 > ${TI}`]);
    expect(n.table()).toEqual([['lns1', 1, null, 2, 'established']]);
    expect(n.in(l2tpData({ tunnel: 2, session: 5 }))).toEqual([`${TI} > ${SERVER_1}:1701`]);
    expect(n.out(SERVER_1, l2tpData({ tunnel: 1, session: 6 }))).toEqual([`${NAT}:1701 > ${TI}`]);
    expect([n.count('natAnswers'), n.count('natMissed'), n.drops()]).toEqual([1, 0, {}]);
  });

  test('a call in it is listed, and its end ends it', () => {
    const n = new NatServer();
    n.out(SERVER_1, sccrp({ tunnel: 1, assigned: 2 }));
    n.in(scccn({ tunnel: 2 }));
    n.in(icrq({ tunnel: 2, assigned: 5 }));
    n.out(SERVER_1, icrp({ tunnel: 1, session: 5, assigned: 6 }));
    n.in(iccn({ tunnel: 2, session: 6 }));
    expect(n.rows.tunnels()[0].sessions).toBe(1);
    expect(n.in(stopccn({ tunnel: 2, assigned: 1, ns: 4, nr: 2 }))).toEqual([`${TI} > ${SERVER_1}:1701`]);
    expect(n.out(SERVER_1, zlb({ tunnel: 1, ns: 2, nr: 5 }))).toHaveLength(1);
    expect(n.table()).toEqual([['lns1', 1, null, 2, 'closing']]);
    n.at(1100);
    n.at(1200);
    expect(n.table()).toEqual([]);
    expect(brokenInvariants(n.memory)).toEqual([]);
  });

  test('a repeated SCCRP is the same entry', () => {
    const n = new NatServer();
    for (let i = 0; i < 3; i++) expect(n.out(SERVER_1, sccrp({ tunnel: 1, assigned: 2 }))).toHaveLength(1);
    expect([n.table().length, n.count('natAnswers')]).toEqual([1, 1]);
  });

  test('the endpoint may answer from another port: it is followed and shown', () => {
    const n = new NatServer();
    expect(n.out(SERVER_1, sccrp({ tunnel: 1, assigned: 2 }), { port: 40_000 })).toEqual([`${NAT}:40000 > ${TI}`]);
    expect(n.in(scccn({ tunnel: 2 }), { port: 40_000 })).toEqual([`${TI} > ${SERVER_1}:40000`]);
    // A client that stays where it has sent its request is followed too.
    expect(n.in(hello({ tunnel: 2, ns: 2, nr: 1 }))).toEqual([`${TI} > ${SERVER_1}:40000`]);
  });
});

describe('several tunnels of one address and port', () => {
  test('at one endpoint and at two stay apart; a second one with the same id is shown by another', () => {
    const n = new NatServer();
    expect(n.told(SERVER_1, sccrp({ tunnel: 1, assigned: 50 }))).toEqual({ header: 1, assigned: 50 });
    expect(n.told(SERVER_1, sccrp({ tunnel: 2, assigned: 51 }))).toEqual({ header: 2, assigned: 51 });
    const { header, assigned } = n.told(SERVER_2, sccrp({ tunnel: 3, assigned: 50 }));
    expect(header).toBe(3);
    expect([0, 50, 51]).not.toContain(assigned);
    // Again, as a server repeats it: the same virtual id.
    expect(n.told(SERVER_2, sccrp({ tunnel: 3, assigned: 50 }))).toEqual({ header, assigned });
    expect(n.in(scccn({ tunnel: 50 }))).toEqual([`${TI} > ${SERVER_1}:1701`]);
    expect(n.in(scccn({ tunnel: 51 }))).toEqual([`${TI} > ${SERVER_1}:1701`]);
    const [sent] = n.send(udpFrame(TI, `${NAT}:1701`, scccn({ tunnel: assigned }))).sent;
    expect(ways([sent])).toEqual([`${TI} > ${SERVER_2}:1701`]);
    expect(viewOf(sent.frame).getUint16(46)).toBe(50);
    expect(n.table()).toHaveLength(3);
  });

  test('two with the same client id at two endpoints are two', () => {
    const n = new NatServer();
    n.out(SERVER_1, sccrp({ tunnel: 1, assigned: 50 }));
    n.out(SERVER_2, sccrp({ tunnel: 1, assigned: 60 }));
    expect(n.in(scccn({ tunnel: 60 }))).toEqual([`${TI} > ${SERVER_2}:1701`]);
    expect(n.in(scccn({ tunnel: 50 }))).toEqual([`${TI} > ${SERVER_1}:1701`]);
  });
});

describe('the way to a client that was never heard', () => {
  const hop = (n: NatServer): number => new NextHopTable(n.memory).find(0, 0, 0, 0xffff, CLIENT_WORD);

  test('the answer waits for its link-layer address and is not lost', () => {
    const n = new NatServer({ unheard: true });
    expect(n.out(SERVER_1, sccrp({ tunnel: 1, assigned: 2 }))).toEqual([]);
    expect(n.table()).toEqual([]);
    new NextHopTable(n.memory).setMac(hop(n), mac(CLIENT_MAC), 1000);
    const before = n.ports[0].sent.length;
    n.settle();
    expect(ways(n.ports[0].sent.slice(before))).toEqual([`${NAT}:1701 > ${TI}`]);
    expect([n.table(), n.drops()]).toEqual([[['lns1', 1, null, 2, 'half-open']], {}]);
  });

  test('it waits so long, then goes the way of all packets to it; later ones wait anew', () => {
    const n = new NatServer({ unheard: true });
    n.out(SERVER_1, sccrp({ tunnel: 1, assigned: 2 }));
    n.at(1001);
    expect(n.table()).toEqual([]);
    n.at(1002);
    expect(n.table()).toHaveLength(1);
    n.out(SERVER_1, sccrp({ tunnel: 2, assigned: 3 }));
    expect(n.table()).toHaveLength(2);
    n.at(1020);
    n.out(SERVER_1, sccrp({ tunnel: 4, assigned: 5 }));
    expect(n.table()).toHaveLength(2);
  });

  test('only so many wait', () => {
    const n = new NatServer({ unheard: true, connections: 1024 });
    for (let id = 1; id <= HELD_LIMIT + 3; id++) n.out(SERVER_1, sccrp({ tunnel: id, assigned: id }));
    expect(n.table()).toHaveLength(3);
  });
});

describe('what does not cross this machine', () => {
  test('a client that goes on sending to the master: its endpoint’s acknowledgement says that the tunnel stands', () => {
    const n = new NatServer();
    n.out(SERVER_1, sccrp({ tunnel: 1, assigned: 2 }));
    n.out(SERVER_1, zlb({ tunnel: 1, ns: 1, nr: 1 }));
    expect(n.table()).toEqual([['lns1', 1, null, 2, 'half-open']]);
    n.out(SERVER_1, zlb({ tunnel: 1, ns: 1, nr: 2 }));
    expect(n.table()).toEqual([['lns1', 1, null, 2, 'established']]);
    n.at(1100);
    expect(n.out(SERVER_1, l2tpData({ tunnel: 1, session: 6 }))).toHaveLength(1);
  });

  test('a tunnel that nobody takes up ends with its time', () => {
    const n = new NatServer();
    n.out(SERVER_1, sccrp({ tunnel: 1, assigned: 2 }));
    n.at(1059);
    expect(n.table()).toHaveLength(1);
    n.at(1062);
    n.at(1064);
    expect(n.table()).toEqual([]);
    expect(brokenInvariants(n.memory)).toEqual([]);
  });

  test('requests to the NAT’s address are dropped by name', () => {
    const n = new NatServer();
    expect(n.in(sccrq({ assigned: 1 }))).toEqual([]);
    expect(n.drops()).toEqual({ 'nat-request': 1 });
  });

  test('an endpoint that refuses: its StopCCN reaches the client, whose acknowledgement reaches it', () => {
    const n = new NatServer();
    expect(n.out(SERVER_1, stopccn({ tunnel: 1, assigned: 2, nr: 1, result: 2 }))).toEqual([`${NAT}:1701 > ${TI}`]);
    expect(n.in(zlb({ tunnel: 2, ns: 1, nr: 1 }))).toEqual([`${TI} > ${SERVER_1}:1701`]);
    expect(n.table()).toEqual([['lns1', 1, null, 2, 'closing']]);
    // The client dials again with the same id, and gets a tunnel.
    expect(n.out(SERVER_1, sccrp({ tunnel: 1, assigned: 3 }))).toHaveLength(1);
    expect(n.in(scccn({ tunnel: 3 }))).toEqual([`${TI} > ${SERVER_1}:1701`]);
    expect(n.table()).toEqual([['lns1', 1, null, 3, 'established']]);
    expect(brokenInvariants(n.memory)).toEqual([]);
  });

  test('a client that was started again gives the same id: the answer makes another tunnel in place of the old one', () => {
    const n = new NatServer();
    n.out(SERVER_1, sccrp({ tunnel: 1, assigned: 2 }));
    n.in(scccn({ tunnel: 2 }));
    n.out(SERVER_1, sccrp({ tunnel: 1, assigned: 7 }));
    expect(n.in(scccn({ tunnel: 7 }))).toEqual([`${TI} > ${SERVER_1}:1701`]);
    expect(n.table()).toEqual([['lns1', 1, null, 7, 'established']]);
    // A late copy of the answer is none.
    n.out(SERVER_1, sccrp({ tunnel: 1, assigned: 7 }));
    expect(n.table()).toEqual([['lns1', 1, null, 7, 'established']]);
  });

  test('servers that nobody has configured have no tunnels here', () => {
    const n = new NatServer();
    n.send(udpFrame('10.10.1.77:1701', TI, sccrp({ tunnel: 1, assigned: 2 })), PORT_INSIDE);
    expect(n.table()).toEqual([]);
  });

  test('a client that the firewall denies has none either', () => {
    const n = new NatServer({ denyByDefault: true });
    expect(n.out(SERVER_1, sccrp({ tunnel: 1, assigned: 2 }))).toEqual([]);
    expect(n.drops()).toEqual({ 'firewall-denied': 1 });
    expect(n.table()).toEqual([]);
  });

  test('without a route to the client there is no tunnel, by that name', () => {
    const routes = { ...defaultRoutes(), prefixes: new Int32Array(0), lengths: new Uint8Array(0) };
    const n = new NatServer({ routes: { ...routes, ports: new Uint8Array(0), gateways: new Int32Array(0) } });
    n.out(SERVER_1, sccrp({ tunnel: 1, assigned: 2 }));
    expect([n.drops(), n.table()]).toEqual([{ 'no-route': 1 }, []]);
  });

  test('a full table says so', () => {
    const n = new NatServer({ connections: 4 });
    for (let id = 1; id <= 5; id++) n.out(SERVER_1, sccrp({ tunnel: id, assigned: 100 + id }));
    expect([n.drops(), n.table().length]).toEqual([{ 'table-full': 1 }, 4]);
    expect(brokenInvariants(n.memory)).toEqual([]);
  });
});

describe('tunnels whose answer was missed', () => {
  test('the way to the client is learnt from a message or a packet, the way back from the client’s next message', () => {
    const n = new NatServer();
    expect(n.in(hello({ tunnel: 2, ns: 9, nr: 5 }))).toEqual([]);
    expect(n.out(SERVER_1, hello({ tunnel: 1, ns: 5, nr: 9 }))).toEqual([`${NAT}:1701 > ${TI}`]);
    expect(n.table()).toEqual([['lns1', 1, null, null, 'established']]);
    expect(n.in(zlb({ tunnel: 2, ns: 9, nr: 6 }))).toEqual([`${TI} > ${SERVER_1}:1701`]);
    expect(n.in(l2tpData({ tunnel: 2, session: 5 }))).toEqual([`${TI} > ${SERVER_1}:1701`]);
    expect(n.table()).toEqual([['lns1', 1, null, 2, 'established']]);
    expect([n.drops(), n.count('natMissed')]).toEqual([{ 'unknown-tunnel': 1 }, 2]);
    expect(n.out(SERVER_2, l2tpData({ tunnel: 4, session: 1 }))).toEqual([`${NAT}:1701 > ${TI}`]);
    expect(n.table()[1]).toEqual(['lns2', 4, null, null, 'established']);
    expect(brokenInvariants(n.memory)).toEqual([]);
  });

  test('of several the numbers of the dialogue tell which; where they do not, the message is dropped by name', () => {
    const n = new NatServer();
    n.out(SERVER_1, hello({ tunnel: 1, ns: 5, nr: 9 }));
    n.out(SERVER_2, hello({ tunnel: 2, ns: 5000, nr: 7000 }));
    expect(n.in(hello({ tunnel: 60, ns: 7000, nr: 5001 }))).toEqual([`${TI} > ${SERVER_2}:1701`]);
    expect(n.in(hello({ tunnel: 50, ns: 9, nr: 6 }))).toEqual([`${TI} > ${SERVER_1}:1701`]);
    const twins = new NatServer();
    twins.out(SERVER_1, hello({ tunnel: 1, ns: 5, nr: 9 }));
    twins.out(SERVER_2, hello({ tunnel: 2, ns: 6, nr: 9 }));
    expect(twins.in(hello({ tunnel: 50, ns: 9, nr: 6 }))).toEqual([]);
    expect(twins.in(hello({ tunnel: 50, ns: 900, nr: 600 }))).toEqual([]);
    expect(twins.drops()).toEqual({ 'unknown-tunnel': 2 });
  });

  test('an acknowledgement before the answer makes the tunnel, the answer completes it', () => {
    const n = new NatServer();
    n.out(SERVER_1, zlb({ tunnel: 1, ns: 0, nr: 1 }));
    expect(n.table()).toEqual([['lns1', 1, null, null, 'half-open']]);
    n.out(SERVER_1, sccrp({ tunnel: 1, assigned: 2 }));
    expect(n.in(scccn({ tunnel: 2 }))).toEqual([`${TI} > ${SERVER_1}:1701`]);
    expect(n.table()).toEqual([['lns1', 1, null, 2, 'established']]);
  });

  test('what an unknown port of a server says is not believed to be a tunnel, but for an answer', () => {
    const n = new NatServer();
    n.out(SERVER_1, hello({ tunnel: 1, ns: 5, nr: 9 }), { port: 40_000 });
    n.out(SERVER_1, l2tpData({ tunnel: 1, session: 9 }), { port: 40_000 });
    expect(n.table()).toEqual([]);
  });
});

test('hidden ids: the client’s message tells them; where another endpoint may have the same, a port of its own', () => {
  const n = new NatServer();
  expect(n.out(SERVER_1, hidden(1))).toEqual([`${NAT}:1701 > ${TI}`]);
  expect(n.in(scccn({ tunnel: 2 }))).toEqual([`${TI} > ${SERVER_1}:1701`]);
  const [way] = n.out(SERVER_2, hidden(3));
  const port = Number(/:(\d+) >/.exec(way)?.[1]);
  expect(port).toBeGreaterThanOrEqual(49_152);
  expect(n.in(scccn({ tunnel: 2 }), { port })).toEqual([`${TI} > ${SERVER_2}:1701`]);
});

test('the shard that owns the client makes the tunnel, whichever got the message or the packet', () => {
  const n = new NatServer({ shards: 3 });
  for (let shard = 0; shard < 3; shard++) {
    const to = `192.128.10.${10 + shard}:1701`;
    expect(n.out(SERVER_1, sccrp({ tunnel: 1, assigned: 2 }), { to, shard })).toHaveLength(1);
    expect(n.in(scccn({ tunnel: 2 }), { from: to, shard: (shard + 1) % 3 })).toHaveLength(1);
    expect(n.out(SERVER_2, l2tpData({ tunnel: 9, session: 1 }), { to, shard })).toHaveLength(1);
  }
  expect(n.table()).toHaveLength(6);
  expect(brokenInvariants(n.memory)).toEqual([]);
});

test('no messages of servers and clients, in any order, break the table', () => {
  const message = fc.oneof(
    fc.record({ tunnel: fc.nat(4), assigned: fc.nat(4) }).map((o) => sccrp(o)),
    fc.record({ tunnel: fc.nat(4), assigned: fc.nat(4), ns: fc.nat(3), nr: fc.nat(3) }).map((o) => stopccn(o)),
    fc.record({ tunnel: fc.nat(4), ns: fc.nat(3), nr: fc.nat(3) }).map((o) => scccn(o)),
    fc.record({ tunnel: fc.nat(4), ns: fc.nat(3), nr: fc.nat(3) }).map((o) => zlb(o)),
    fc.record({ tunnel: fc.nat(4), session: fc.nat(3) }).map((o) => l2tpData(o)),
    fc.nat(4).map((tunnel) => hidden(tunnel)),
    fc.record({ tunnel: fc.nat(4) }).map(({ tunnel }) => l2tpControl({ tunnel, avps: [avp(0, concat(u16(2)))] })),
    fc.uint8Array({ maxLength: 40 }),
  );
  const step = fc.record({ message, server: fc.nat(2), inward: fc.boolean(), port: fc.constantFrom(1701, 40_000) });
  fc.assert(
    fc.property(fc.array(fc.tuple(step, fc.nat(40)), { maxLength: 40 }), (steps) => {
      const n = new NatServer({ connections: 8, policy: NO_POLICY });
      let now = 1000;
      for (const [{ message: payload, server, inward, port }, seconds] of steps) {
        if (inward) n.in(payload, { port });
        else n.out([SERVER_1, SERVER_2, '10.10.1.9'][server], payload, { port });
        now += seconds;
        n.at(now);
      }
      expect(brokenInvariants(n.memory)).toEqual([]);
      // Everything ends by itself, whatever was said.
      for (let later = 0; later < 4; later++) n.at(now + 700 * (later + 1));
      expect(n.table()).toEqual([]);
    }),
    { numRuns: Math.ceil(FUZZ_RUNS / 10) },
  );
});
