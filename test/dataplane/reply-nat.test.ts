/** `reply: nat` on one machine (document 001, FIG. 2 and 3): answers come from the NAT address, and what clients do with that. */
import { describe, expect, test } from 'vitest';
import type { CompiledConfig } from '../../src/config/compiled.js';
import { FOLLOW } from '../../src/dataplane/follow-class.js';
import type { FollowNotice } from '../../src/dataplane/followers.js';
import { PORT_INSIDE, PORT_OUTSIDE } from '../../src/io/port.js';
import { parseAddress } from '../../src/wire/address.js';
import {
  frame,
  icrq,
  l2tpData,
  scccn,
  sccrp,
  sccrq,
  stopccn,
  udpFrame,
  viewOf,
  zlb,
} from '../helpers/packet-builder.js';
import { CLIENT, Harness, type HarnessOptions, SERVER_1, SERVER_2, VIP, vipOf } from '../helpers/shard-harness.js';

const NAT = '200.200.100.2';
const at = (text: string) =>
  ({ address: text, words: parseAddress(text) as never, family: text.includes(':') ? 6 : 4 }) as const;

const EVEN: HarnessOptions = {
  algorithm: 'round-robin',
  servers: [
    { name: 'lns1', address: SERVER_1 },
    { name: 'lns2', address: SERVER_2 },
  ],
};
type Vip = CompiledConfig['vips'][number];
const natVip = (more: Partial<Vip> = {}, options = EVEN): Vip => ({
  ...vipOf(options),
  reply: 'nat',
  natAddress: at(NAT),
  ...more,
});

function ways(sent: readonly { readonly frame: Uint8Array }[]): string[] {
  return sent.map(({ frame }) => {
    const view = viewOf(frame);
    const place = (ip: number, port: number): string =>
      `${[...frame.subarray(ip, ip + 4)].join('.')}:${view.getUint16(port)}`;
    return `${place(26, 34)} > ${place(30, 36)}`;
  });
}

class World extends Harness {
  readonly told: FollowNotice[] = [];
  constructor(vips: Vip[] = [natVip()], more: HarnessOptions = {}) {
    super({ vips, ...more });
  }
  up(payload: Uint8Array, to = `${VIP}:1701`, client = `${CLIENT}:1701`): string[] {
    return ways(this.send(udpFrame(client, to, payload)).sent);
  }
  down(server: string, payload: Uint8Array, port = 1701, client = `${CLIENT}:1701`): string[] {
    return ways(this.send(udpFrame(`${server}:${port}`, client, payload), PORT_INSIDE).sent);
  }
  classes(): number[] {
    for (const shard of this.shards)
      for (const notice of shard.takeNotices()) if (notice.type === 'followed') this.told.push(...notice.clients);
    return this.told.map(({ follow }) => follow);
  }
}

describe('a client that follows', () => {
  test('FIG. 3: 102 … 116, each with its addresses', () => {
    const w = new World();
    expect(w.up(sccrq({ assigned: 1 }))).toEqual([`${CLIENT}:1701 > ${SERVER_1}:1701`]);
    expect(w.down(SERVER_1, sccrp({ tunnel: 1, assigned: 2 }))).toEqual([`${NAT}:1701 > ${CLIENT}:1701`]);
    expect(w.up(scccn({ tunnel: 2 }), `${NAT}:1701`)).toEqual([`${CLIENT}:1701 > ${SERVER_1}:1701`]);
    expect(w.down(SERVER_1, zlb({ tunnel: 1, ns: 1, nr: 2 }))).toEqual([`${NAT}:1701 > ${CLIENT}:1701`]);
    expect(w.up(l2tpData({ tunnel: 2, session: 5 }), `${NAT}:1701`)).toEqual([`${CLIENT}:1701 > ${SERVER_1}:1701`]);
    expect(w.down(SERVER_1, l2tpData({ tunnel: 1, session: 5 }))).toEqual([`${NAT}:1701 > ${CLIENT}:1701`]);
    expect(w.classes()).toEqual([FOLLOW.follows]);
    expect(w.rows.tunnels()[0]).toMatchObject({ state: 'established', server: 'lns1' });
    expect(w.drops()).toEqual({});
  });

  test('several tunnels of one socket stay apart, also where two servers choose one id', () => {
    const w = new World();
    for (const id of [1, 2, 3]) w.up(sccrq({ assigned: id }));
    w.down(SERVER_1, sccrp({ tunnel: 1, assigned: 70 }));
    w.down(SERVER_2, sccrp({ tunnel: 2, assigned: 70 }));
    const shown = w.rows.tunnels().find((row) => row.clientTunnelId === 2)?.virtualTunnelId as number;
    expect(shown).toBeGreaterThan(0);
    expect(w.up(scccn({ tunnel: 70 }), `${NAT}:1701`)).toEqual([`${CLIENT}:1701 > ${SERVER_1}:1701`]);
    expect(w.up(scccn({ tunnel: shown }), `${NAT}:1701`)).toEqual([`${CLIENT}:1701 > ${SERVER_2}:1701`]);
    expect(w.up(l2tpData({ tunnel: shown, session: 9 }), `${NAT}:1701`)).toEqual([`${CLIENT}:1701 > ${SERVER_2}:1701`]);
  });

  test('a StopCCN without a tunnel id, to the NAT address, ends the tunnel that it names', () => {
    const w = new World();
    w.up(sccrq({ assigned: 1 }));
    w.down(SERVER_1, sccrp({ tunnel: 1, assigned: 2 }));
    expect(w.up(stopccn({ tunnel: 0, assigned: 1 }), `${NAT}:1701`)).toEqual([`${CLIENT}:1701 > ${SERVER_1}:1701`]);
    expect(w.rows.tunnels()[0].state).toBe('closing');
  });

  test('a floated port is shown at the NAT address', () => {
    const w = new World();
    w.up(sccrq({ assigned: 1 }));
    expect(w.down(SERVER_1, sccrp({ tunnel: 1, assigned: 2 }), 40_000)).toEqual([`${NAT}:40000 > ${CLIENT}:1701`]);
    expect(w.up(scccn({ tunnel: 2 }), `${NAT}:40000`)).toEqual([`${CLIENT}:1701 > ${SERVER_1}:40000`]);
    expect(w.classes()).toEqual([FOLLOW.follows]);
  });
});

describe('a client that goes on sending to the VIP', () => {
  test('is carried on, counted and told', () => {
    const w = new World();
    w.up(sccrq({ assigned: 1 }));
    w.down(SERVER_1, sccrp({ tunnel: 1, assigned: 2 }));
    expect(w.up(scccn({ tunnel: 2 }))).toEqual([`${CLIENT}:1701 > ${SERVER_1}:1701`]);
    expect(w.down(SERVER_1, zlb({ tunnel: 1, ns: 1, nr: 2 }))).toEqual([`${NAT}:1701 > ${CLIENT}:1701`]);
    expect(w.up(icrq({ tunnel: 2, assigned: 9 }))).toHaveLength(1);
    expect(w.up(l2tpData({ tunnel: 2, session: 5 }))).toEqual([`${CLIENT}:1701 > ${SERVER_1}:1701`]);
    expect(w.classes()).toEqual([FOLLOW.carried]);
    expect(w.count('carriedOn')).toBe(1);
    expect(w.rows.tunnels()[0]).toMatchObject({ state: 'established', packetsIn: 4, packetsOut: 2 });
  });
});

describe('a client that refuses', () => {
  const refuse = (w: World, id: number, serverId: number): void => {
    w.up(sccrq({ assigned: id }));
    expect(w.down(SERVER_1, sccrp({ tunnel: id, assigned: serverId }))).toEqual([`${NAT}:1701 > ${CLIENT}:1701`]);
    w.at(w.now + 1);
    w.up(sccrq({ assigned: id }));
    expect(w.down(SERVER_1, sccrp({ tunnel: id, assigned: serverId }))).toEqual([`${NAT}:1701 > ${CLIENT}:1701`]);
    expect(w.classes()).toEqual([]);
    w.at(w.now + 2);
    w.up(sccrq({ assigned: id }));
  };

  test('hears the VIP after its second repetition, and with its next tunnels at once', () => {
    const w = new World();
    refuse(w, 1, 2);
    expect(w.classes()).toEqual([FOLLOW.refuses]);
    expect(w.down(SERVER_1, sccrp({ tunnel: 1, assigned: 2 }))).toEqual([`${VIP}:1701 > ${CLIENT}:1701`]);
    expect(w.up(scccn({ tunnel: 2 }))).toEqual([`${CLIENT}:1701 > ${SERVER_1}:1701`]);
    expect(w.up(l2tpData({ tunnel: 2, session: 5 }))).toEqual([`${CLIENT}:1701 > ${SERVER_1}:1701`]);
    expect(w.down(SERVER_1, l2tpData({ tunnel: 1, session: 5 }))).toEqual([`${VIP}:1701 > ${CLIENT}:1701`]);
    w.up(sccrq({ assigned: 3 }));
    expect(w.down(SERVER_2, sccrp({ tunnel: 3, assigned: 4 }))).toEqual([`${VIP}:1701 > ${CLIENT}:1701`]);
    expect(w.up(scccn({ tunnel: 4 }))).toEqual([`${CLIENT}:1701 > ${SERVER_2}:1701`]);
    expect(w.classes()).toEqual([FOLLOW.refuses]);
    expect(w.count('answeredFromVip')).toBe(1);
    expect(w.drops()).toEqual({});
  });

  describe('and whose host says so', () => {
    /** A "destination unreachable" about a frame that the client was sent. */
    const refused = (about: Uint8Array, code = 3, bytes = 1000): Uint8Array =>
      frame({
        ip: { src: CLIENT, dst: NAT, ttl: 33 },
        icmp: { type: 3, code, rest: 0 },
        payload: about.subarray(14, 14 + bytes),
      });
    const answered = (w: World): Uint8Array => {
      w.up(sccrq({ assigned: 1 }));
      const answer = udpFrame(`${SERVER_1}:1701`, `${CLIENT}:1701`, sccrp({ tunnel: 1, assigned: 2 }));
      return w.send(answer, PORT_INSIDE).sent[0].frame;
    };

    test.each([1, 2])('hears the VIP after its first repetition, with %i shards', (shards) => {
      for (let shard = 0; shard < shards; shard++) {
        const w = new World([natVip()], { shards });
        const shown = answered(w);
        // The server hears of it as ever.
        expect(w.send(refused(shown), PORT_OUTSIDE, shard).sent.map(({ port }) => port)).toEqual([PORT_INSIDE]);
        expect(w.count('refusalsTold')).toBe(1);
        expect(w.classes()).toEqual([]);
        w.at(w.now + 1);
        w.up(sccrq({ assigned: 1 }));
        expect(w.classes()).toEqual([FOLLOW.refuses]);
        expect(w.down(SERVER_1, sccrp({ tunnel: 1, assigned: 2 }))).toEqual([`${VIP}:1701 > ${CLIENT}:1701`]);
        expect(w.drops()).toEqual({});
      }
    });

    test('an error that comes late, about an answer from before, is known', () => {
      const w = new World();
      const shown = answered(w);
      w.send(refused(shown));
      w.at(w.now + 1);
      w.up(sccrq({ assigned: 1 }));
      expect(w.classes()).toEqual([FOLLOW.refuses]);
      // The server had repeated its answer in the same moment.
      expect(w.send(refused(shown)).sent.map(({ port }) => port)).toEqual([PORT_INSIDE]);
      expect(w.count('refusalsTold')).toBe(1);
      expect(w.drops()).toEqual({});
    });

    test('an error without the tunnel’s id, with another one, or of another kind proves nothing', () => {
      const w = new World();
      const shown = answered(w);
      w.send(refused(shown, 3, 28));
      w.send(refused(shown, 0));
      const forged = shown.slice();
      forged[14 + 28 + 4] ^= 0x40;
      w.send(refused(forged));
      expect(w.count('refusalsTold')).toBe(0);
      w.at(w.now + 1);
      w.up(sccrq({ assigned: 1 }));
      expect(w.classes()).toEqual([]);
    });

    test('says nothing of a tunnel that stands', () => {
      const w = new World();
      const shown = answered(w);
      w.up(scccn({ tunnel: 2 }), `${NAT}:1701`);
      w.send(refused(shown));
      expect(w.count('refusalsTold')).toBe(0);
      expect(w.classes()).toEqual([FOLLOW.follows]);
    });
  });

  test('a request that waits for its server says nothing of its client', () => {
    const w = new World();
    w.up(sccrq({ assigned: 1 }));
    for (const wait of [1, 2, 4]) {
      w.at(w.now + wait);
      w.up(sccrq({ assigned: 1 }));
    }
    expect(w.down(SERVER_1, sccrp({ tunnel: 1, assigned: 2 }))).toEqual([`${NAT}:1701 > ${CLIENT}:1701`]);
    expect(w.classes()).toEqual([]);
  });

  test('a floated port stays the tunnel’s, at the VIP', () => {
    const w = new World();
    w.up(sccrq({ assigned: 1 }));
    for (const wait of [1, 2]) {
      w.down(SERVER_1, sccrp({ tunnel: 1, assigned: 2 }), 40_000);
      w.at(w.now + wait);
      w.up(sccrq({ assigned: 1 }));
    }
    expect(w.down(SERVER_1, sccrp({ tunnel: 1, assigned: 2 }), 40_000)).toEqual([`${VIP}:40000 > ${CLIENT}:1701`]);
    expect(w.up(scccn({ tunnel: 2 }), `${VIP}:40000`)).toEqual([`${CLIENT}:1701 > ${SERVER_1}:40000`]);
    expect(w.up(l2tpData({ tunnel: 2, session: 5 }))).toEqual([`${CLIENT}:1701 > ${SERVER_1}:40000`]);
  });
});

describe('Table 1', () => {
  test('has a row for every answered tunnel, with what the far end sees', () => {
    const w = new World();
    const rows = () => [...w.rows.natSlices()].flat();
    w.up(sccrq({ assigned: 1 }));
    expect(rows()).toEqual([]);
    w.down(SERVER_1, sccrp({ tunnel: 1, assigned: 2 }));
    w.up(scccn({ tunnel: 2 }), `${NAT}:1701`);
    expect(rows()).toMatchObject([
      {
        vip: 'access',
        farAddress: CLIENT,
        farPort: 1701,
        localAddress: SERVER_1,
        localPort: 1701,
        natAddress: NAT,
        natPort: 1701,
        farTunnelId: 1,
        localTunnelId: 2,
        server: 'lns1',
        state: 'established',
        packetsIn: 2,
        packetsOut: 1,
      },
    ]);
    expect(w.rows.vips()[0]).toMatchObject({ reply: 'nat', natAddress: NAT });
  });

  test('says what a restarted process finds of its clients', () => {
    const w = new World();
    w.up(sccrq({ assigned: 1 }));
    w.down(SERVER_1, sccrp({ tunnel: 1, assigned: 2 }));
    w.up(scccn({ tunnel: 2 }));
    const next = new World([natVip()], { memory: w.memory });
    next.shards[0].adopt();
    expect(next.classes()).toEqual([FOLLOW.carried]);
  });
});

describe('the NAT address', () => {
  test('takes no requests', () => {
    const w = new World();
    expect(w.up(sccrq({ assigned: 1 }), `${NAT}:1701`)).toEqual([]);
    expect(w.drops()).toEqual({ 'nat-request': 1 });
  });

  test('what no tunnel has there is dropped by name', () => {
    const w = new World();
    expect(w.up(l2tpData({ tunnel: 9, session: 5 }), `${NAT}:1701`)).toEqual([]);
    expect(w.drops()).toEqual({ 'unknown-tunnel': 1 });
  });

  test('may be that of two VIPs, with one id for one client port at both', () => {
    const one = (name: string, address: string, server: string): Vip => ({
      ...natVip({}, { servers: [{ name: `of-${name}`, address: server }] }),
      name,
      ...at(address),
    });
    const other = '200.200.100.3';
    const w = new World([one('a', VIP, SERVER_1), one('b', other, SERVER_2)]);
    w.up(sccrq({ assigned: 1 }));
    w.up(sccrq({ assigned: 2 }), `${other}:1701`);
    w.down(SERVER_1, sccrp({ tunnel: 1, assigned: 70 }));
    w.down(SERVER_2, sccrp({ tunnel: 2, assigned: 70 }));
    const shown = w.rows.tunnels().find((row) => row.vip === 'b')?.virtualTunnelId as number;
    expect(w.up(scccn({ tunnel: 70 }), `${NAT}:1701`)).toEqual([`${CLIENT}:1701 > ${SERVER_1}:1701`]);
    expect(w.up(scccn({ tunnel: shown }), `${NAT}:1701`)).toEqual([`${CLIENT}:1701 > ${SERVER_2}:1701`]);
  });

  test('of a VIP that a reload answers otherwise, tunnels that stand go on', () => {
    const w = new World();
    w.up(sccrq({ assigned: 1 }));
    w.down(SERVER_1, sccrp({ tunnel: 1, assigned: 2 }));
    w.up(scccn({ tunnel: 2 }), `${NAT}:1701`);
    w.reconfigure({ vips: [natVip()] });
    expect(w.down(SERVER_1, l2tpData({ tunnel: 1, session: 5 }))).toEqual([`${NAT}:1701 > ${CLIENT}:1701`]);
    expect(w.up(l2tpData({ tunnel: 2, session: 5 }), `${NAT}:1701`)).toHaveLength(1);
  });
});
