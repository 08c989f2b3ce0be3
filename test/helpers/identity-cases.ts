/** Golden cases of ids and ports that stand for others: virtual, hidden, floating, recovered, given twice. */
import { hideValue } from '../../src/tunnels/l2tp/hidden.js';
import type { GoldenCase } from './golden-cases.js';
import {
  avp,
  concat,
  l2tpControl,
  l2tpData,
  scccn,
  sccrp,
  sccrq,
  stopccn,
  text,
  u16,
  u32,
  udpFrame,
  zlb,
} from './packet-builder.js';

const CLIENT = '192.128.10.5';
const VIP = '200.200.100.1';
const VIP_2 = '200.200.100.2';
const S1 = '10.10.1.1';
const S2 = '10.10.1.2';
const PPP = 'ff03c0210101000405dc';
const SECRET = 'only the ends know';
const VECTOR = '00112233445566778899aabbccddeeff';

const TWO = `{ name: lns1, address: ${S1} }, { name: lns2, address: ${S2} }`;
const ONE = `{ name: lns1, address: ${S1} }`;
const vip = (servers: string, more = '', name = 'access', address = VIP): string =>
  `  - { name: ${name}, address: ${address}, algorithm: round-robin, ${more}servers: [${servers}] }\n`;
const vips = (...lines: string[]): string => `vips:\n${lines.join('')}`;

type More = Parameters<typeof udpFrame>[3];
const up = (payload: Uint8Array, to = `${VIP}:1701`, from = `${CLIENT}:1701`, more: More = {}): Uint8Array =>
  udpFrame(from, to, payload, more);
const down = (server: string, payload: Uint8Array, to = `${CLIENT}:1701`, port = 1701): Uint8Array =>
  udpFrame(`${server}:${port}`, to, payload);
const data = (tunnel: number): Uint8Array => l2tpData({ tunnel, session: 1, payload: PPP });

/** Frames 20 ms apart; a number in between is a pause in seconds. */
function timed(...items: readonly (Uint8Array | number)[]): GoldenCase['frames'] {
  let at = 0;
  const frames: { at: number; frame: Uint8Array }[] = [];
  for (const item of items) {
    if (typeof item === 'number') at += item;
    else {
      frames.push({ at, frame: item });
      at += 0.02;
    }
  }
  return frames;
}

/** An Assigned Tunnel ID behind its Random Vector, hidden with `secret` and `padding` bytes behind it. */
function hiddenId(id: number, secret = SECRET, padding = 3): Uint8Array[] {
  const vector = Uint8Array.from(VECTOR.match(/../g) as string[], (byte) => Number.parseInt(byte, 16));
  const plain = concat(u16(2), u16(id), new Uint8Array(padding).fill(0x5a));
  return [avp(36, VECTOR), avp(9, hideValue(9, text(secret), vector, plain), { hidden: true })];
}

const START = [avp(2, [1, 0]), avp(3, u32(3)), avp(7, text('test'))];
const hiddenSccrp = (tunnel: number, id: number, secret = SECRET, padding = 3): Uint8Array =>
  l2tpControl({ tunnel, nr: 1, avps: [avp(0, 2), ...START, ...hiddenId(id, secret, padding)] });
const hiddenSccrq = (id: number, secret = SECRET): Uint8Array =>
  l2tpControl({ avps: [avp(0, 1), ...START, ...hiddenId(id, secret)] });
const recovery = (own: number, peer: number): Uint8Array => avp(77, concat(u16(0), u32(own), u32(peer)));
const tie = (value: string): Uint8Array => avp(5, value, { mandatory: false });

const open = (server: string, id: number, serverId: number, shown = serverId): Uint8Array[] => [
  up(sccrq({ assigned: id })),
  down(server, sccrp({ tunnel: id, assigned: serverId })),
  up(scccn({ tunnel: shown })),
  down(server, zlb({ tunnel: id, ns: 1, nr: 2 })),
];
/** (n × 0x9e37 + id) mod 2¹⁶: the first virtual id that is tried. */
const virtual = (id: number): number => (id + 0x9e37) & 0xffff;

export const IDENTITY_CASES: readonly GoldenCase[] = [
  {
    name: 'hidden-id-read-with-the-secret-and-hidden-again-when-replaced',
    config: vips(vip(TWO, `tunnelSecret: ${SECRET}, `)),
    frames: timed(
      up(sccrq({ assigned: 7 })),
      down(S1, hiddenSccrp(7, 2)),
      up(scccn({ tunnel: 2 })),
      up(sccrq({ assigned: 8 })),
      // Long enough for a second block of the chain, and of an odd length.
      down(S2, hiddenSccrp(8, 2, SECRET, 33)),
      up(scccn({ tunnel: virtual(2) })),
      up(data(2)),
      up(data(virtual(2))),
      down(S1, data(7)),
      down(S2, data(8)),
    ),
  },
  {
    name: 'hidden-id-learnt-from-the-client-and-followed-by-its-next-tunnel',
    config: vips(vip(TWO)),
    frames: timed(
      up(sccrq({ assigned: 7 })),
      down(S1, hiddenSccrp(7, 2)),
      up(scccn({ tunnel: 2 })),
      up(data(2)),
      down(S1, data(7)),
      // By turn it would be lns2's, whose ids may be alike.
      up(sccrq({ assigned: 8 })),
      down(S1, hiddenSccrp(8, 3)),
      up(scccn({ tunnel: 3 })),
      up(data(3)),
      // Another port of the client is another matter.
      up(sccrq({ assigned: 7 }), `${VIP}:1701`, `${CLIENT}:1702`),
    ),
  },
  {
    name: 'hidden-id-of-another-server-than-the-clients-first-moves-there',
    config: vips(vip(TWO)),
    frames: timed(
      up(sccrq({ assigned: 7 })),
      up(sccrq({ assigned: 8 })),
      down(S1, hiddenSccrp(7, 2)),
      down(S2, hiddenSccrp(8, 2)), // not told apart: it is dropped and the request moves
      up(sccrq({ assigned: 8 })),
      down(S1, hiddenSccrp(8, 3)), // tunnel 7 still waits for its client
      up(scccn({ tunnel: 2 })),
      down(S1, hiddenSccrp(8, 3)),
      up(scccn({ tunnel: 3 })),
      up(data(2)),
      up(data(3)),
    ),
  },
  {
    name: 'hidden-id-shown-at-a-port-of-its-own',
    config: vips(vip(TWO, 'hiddenIds: port, ')),
    frames: timed(
      up(sccrq({ assigned: 7 })),
      up(sccrq({ assigned: 8 })),
      down(S1, hiddenSccrp(7, 2)),
      down(S1, hiddenSccrp(7, 2)),
      down(S2, hiddenSccrp(8, 2)),
      // The ports come out of the client's port and id; test/dataplane/hidden-ids.test.ts follows any.
      up(scccn({ tunnel: 2 }), `${VIP}:59926`),
      up(scccn({ tunnel: 2 }), `${VIP}:54442`),
    ),
  },
  {
    name: 'hidden-id-with-another-secret-is-learnt',
    config: vips(vip(TWO, 'tunnelSecret: another, ')),
    frames: timed(
      up(sccrq({ assigned: 7 })),
      down(S1, hiddenSccrp(7, 2)),
      up(data(2)), // too early: only the control connection tells whose id this is
      up(scccn({ tunnel: 2 })),
      up(data(2)),
    ),
  },
  {
    name: 'client-hides-its-id',
    config: vips(vip(TWO)),
    frames: timed(
      up(hiddenSccrq(7)),
      1,
      up(hiddenSccrq(7)),
      up(hiddenSccrq(8)),
      down(S2, sccrp({ tunnel: 8, assigned: 102 })),
      down(S1, sccrp({ tunnel: 7, assigned: 101 })),
      up(scccn({ tunnel: 101 })),
      up(scccn({ tunnel: 102 })),
      down(S1, data(7)),
      down(S2, data(8)),
      down(S2, data(9)),
    ),
  },
  {
    name: 'client-and-server-hide-their-ids-and-the-secret-is-known',
    config: vips(vip(TWO, `tunnelSecret: ${SECRET}, `)),
    frames: timed(
      up(hiddenSccrq(7)),
      down(S1, hiddenSccrp(7, 2)),
      up(scccn({ tunnel: 2 })),
      1,
      up(hiddenSccrq(7)),
      up(l2tpControl({ tunnel: 2, ns: 2, nr: 1, avps: [avp(0, 4), ...hiddenId(7), avp(1, 1)] })),
    ),
  },
  {
    name: 'two-vips-share-a-server-and-a-client-its-id',
    config: vips(vip(ONE), vip(`{ name: lns1b, address: ${S1} }`, '', 'second', VIP_2)),
    frames: timed(
      ...open(S1, 7, 101),
      up(sccrq({ assigned: 7 }), `${VIP_2}:1701`),
      // The server sees another port, and answers there.
      down(S1, sccrp({ tunnel: 7, assigned: 102 }), `${CLIENT}:54583`),
      up(scccn({ tunnel: 102 }), `${VIP_2}:1701`),
      down(S1, data(7)),
      down(S1, data(7), `${CLIENT}:54583`),
      up(data(101)),
      up(data(102), `${VIP_2}:1701`),
    ),
  },
  {
    name: 'every-tunnel-of-a-client-at-a-port-of-its-own',
    config: vips(vip(ONE, 'clientPort: distinct, ')),
    frames: timed(
      ...open(S1, 7, 101),
      up(sccrq({ assigned: 8 })),
      down(S1, sccrp({ tunnel: 8, assigned: 102 }), `${CLIENT}:62750`),
      up(scccn({ tunnel: 102 })),
      up(data(102)),
      down(S1, data(8), `${CLIENT}:62750`),
    ),
  },
  {
    name: 'client-gives-its-id-again-while-its-tunnel-stands',
    config: vips(vip(ONE)),
    frames: timed(
      ...open(S1, 7, 101),
      1,
      up(sccrq({ assigned: 7 })), // a late copy
      up(sccrq({ assigned: 7, host: 'begun anew' })),
      down(S1, sccrp({ tunnel: 7, assigned: 102 }), `${CLIENT}:54583`),
      up(scccn({ tunnel: 102 })),
      down(S1, data(7)),
      up(data(101)),
      up(data(102)),
      down(S1, data(7), `${CLIENT}:54583`),
    ),
  },
  {
    name: 'server-gives-its-id-again-while-the-tunnel-stands',
    config: vips(vip(ONE)),
    frames: timed(
      ...open(S1, 7, 1),
      ...open(S1, 8, 1, virtual(1)),
      up(data(1)),
      up(data(virtual(1))),
      down(S1, stopccn({ tunnel: 8, assigned: 1, ns: 1, nr: 2 })),
      up(data(1)),
    ),
  },
  {
    name: 'recovery-follows-the-old-tunnel',
    config: vips(vip(TWO)),
    frames: timed(
      ...open(S1, 7, 2),
      ...open(S2, 8, 2, virtual(2)),
      // Round robin is at lns1 again; the tunnel to be recovered is lns2's, which knows it as 2.
      up(sccrq({ assigned: 9, extra: [recovery(8, virtual(2))] })),
      down(S2, sccrp({ tunnel: 9, assigned: 5 })),
      up(scccn({ tunnel: 5 })),
      up(data(5)),
      // A tunnel that nobody knows: by turn.
      up(sccrq({ assigned: 10, extra: [recovery(77, 78)] })),
    ),
  },
  {
    name: 'recovery-by-the-server',
    config: vips(vip(TWO)),
    frames: timed(
      ...open(S1, 7, 2),
      ...open(S2, 8, 2, virtual(2)),
      down(S2, sccrq({ assigned: 6, extra: [recovery(2, 8)] })),
      up(sccrp({ tunnel: 6, assigned: 9 })),
      down(S2, scccn({ tunnel: 9 })),
      up(data(6)),
    ),
  },
  {
    name: 'tie-breaker-meets-the-server-that-dials',
    config: vips(vip(TWO)),
    frames: timed(
      up(sccrq({ assigned: 3 }), `${VIP}:1701`, '192.128.10.9:1701'), // lns1's turn
      down(S1, sccrq({ assigned: 50, extra: [tie('0000000000000002')] })),
      // lns2's turn, but lns1 is dialling this very client.
      up(sccrq({ assigned: 60, extra: [tie('0000000000000001')] })),
      down(S1, sccrp({ tunnel: 60, assigned: 51 })),
      up(scccn({ tunnel: 51 })),
      up(data(51)),
    ),
  },
  {
    name: 'client-answers-its-server-from-another-port',
    config: vips(vip(ONE)),
    frames: timed(
      down(S1, sccrq({ assigned: 50 })),
      up(sccrp({ tunnel: 50, assigned: 60 }), `${VIP}:1701`, `${CLIENT}:40001`),
      down(S1, scccn({ tunnel: 60 }), `${CLIENT}:40001`),
      up(data(50), `${VIP}:1701`, `${CLIENT}:40001`),
      down(S1, data(60), `${CLIENT}:40001`),
    ),
  },
  {
    name: 'sccrp-from-the-wrong-server',
    config: vips(vip(`${TWO}, { name: lns1b, address: ${S1}, port: 1801 }`)),
    frames: timed(
      up(sccrq({ assigned: 7 })),
      down(S2, sccrp({ tunnel: 7, assigned: 90 })),
      down(S1, sccrp({ tunnel: 7, assigned: 91 }), `${CLIENT}:1701`, 1801),
      down(S1, sccrp({ tunnel: 8, assigned: 92 })),
      down(S1, sccrp({ tunnel: 7, assigned: 93 }), `${CLIENT}:1702`),
      down(S1, sccrp({ tunnel: 7, assigned: 99 })),
      up(scccn({ tunnel: 99 })),
      down(S1, zlb({ tunnel: 7, ns: 1, nr: 2 }), `${CLIENT}:1701`, 1801),
      up(data(99)),
    ),
  },
  {
    name: 'contradictory-avps',
    config: vips(vip(ONE, `tunnelSecret: ${SECRET}, `)),
    frames: timed(
      up(l2tpControl({ avps: [avp(0, 1), avp(9, 7), avp(9, 8)] })),
      up(l2tpControl({ avps: [avp(0, 1), avp(9, 7), ...hiddenId(8)] })),
      up(l2tpControl({ avps: [avp(0, 1), avp(9, 0)] })),
      up(sccrq({ assigned: 7, extra: [recovery(1, 2), recovery(1, 3)] })),
      up(sccrq({ assigned: 7, extra: [avp(77, u32(1))] })),
      // Hidden without a Random Vector: nobody can read it, so it is followed like any hidden id.
      up(l2tpControl({ avps: [avp(0, 1), avp(9, 'aabbccdd', { hidden: true }), avp(36, VECTOR)] })),
      // Ids beyond 16 bits name no tunnel of version 2.
      up(sccrq({ assigned: 9, extra: [recovery(0x10007, 0x20001)] })),
      // An answer within a tunnel's set-up that is a request, and a request where an answer belongs.
      up(sccrp({ tunnel: 0, assigned: 7 })),
      down(S1, sccrq({ assigned: 9, tunnel: 9 })),
    ),
  },
];
