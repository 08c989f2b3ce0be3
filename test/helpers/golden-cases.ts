/**
 * The golden cases: what goes in, frame by frame with its time, and under which configuration. What comes out stands in
 * test/fixtures/golden, made once by the product and reviewed, and compared byte for byte ever after.
 */
import { IDENTITY_CASES } from './identity-cases.js';
import { REPLY_CASES } from './reply-cases.js';
import {
  avp,
  cdn,
  frame,
  hello,
  iccn,
  icrp,
  icrq,
  l2tpControl,
  l2tpData,
  scccn,
  sccrp,
  sccrq,
  stopccn,
  text,
  u16,
  udpFrame,
  zlb,
} from './packet-builder.js';

export interface GoldenCase {
  /** A sentence; also the name of its folder. */
  readonly name: string;
  /** YAML below the common beginning (interfaces). */
  readonly config?: string;
  readonly frames: readonly { readonly at: number; readonly frame: Uint8Array }[];
}

const CLIENT = '192.128.10.5';
const VIP = '200.200.100.1';
const S1 = '10.10.1.1';
const S2 = '10.10.1.2';
const SIX = { client: '[2001:db8:1::5]', vip: '[2001:db8:2::1]', s1: '[fd00::1]' };

const vips = (servers: string, more = ''): string =>
  `vips:\n  - { name: access, address: ${VIP}, ${more}servers: [${servers}] }\n`;
const TWO = `{ name: lns1, address: ${S1}, weight: 1 }, { name: lns2, address: ${S2}, weight: 2 }`;
const ONE = `{ name: lns1, address: ${S1} }`;
export const DEFAULT_CONFIG = vips(TWO);

/** Frames 20 ms apart, from second 0 on; a number in between is a pause in seconds. */
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

type More = Parameters<typeof udpFrame>[3];
const up = (payload: Uint8Array, more: More = {}, from = `${CLIENT}:1701`, to = `${VIP}:1701`): Uint8Array =>
  udpFrame(from, to, payload, more);
const down = (server: string, payload: Uint8Array, more: More = {}, port = 1701, to = `${CLIENT}:1701`): Uint8Array =>
  udpFrame(`${server}:${port}`, to, payload, more);
const open = (server: string, id: number, serverId: number, port = 1701): Uint8Array[] => [
  up(sccrq({ assigned: id })),
  down(server, sccrp({ tunnel: id, assigned: serverId }), {}, port),
  up(scccn({ tunnel: serverId })),
  down(server, zlb({ tunnel: id, ns: 1, nr: 2 }), {}, port),
];
const PPP = 'ff03c0210101000405dc';

export const GOLDEN: readonly GoldenCase[] = [
  ...IDENTITY_CASES,
  ...REPLY_CASES,
  {
    name: 'document-003-example-first-tunnel-goes-to-10.10.1.2',
    frames: timed(
      ...open(S2, 7, 99),
      up(l2tpData({ tunnel: 99, session: 1, payload: PPP })),
      down(S2, l2tpData({ tunnel: 7, session: 1, payload: PPP })),
    ),
  },
  {
    name: 'session-life-icrq-icrp-iccn-hello-cdn-stopccn',
    frames: timed(
      ...open(S2, 7, 99),
      up(icrq({ tunnel: 99, assigned: 11 })),
      down(S2, icrp({ tunnel: 7, session: 11, assigned: 22 })),
      up(iccn({ tunnel: 99, session: 22 })),
      up(hello({ tunnel: 99 })),
      down(S2, zlb({ tunnel: 7 })),
      down(S2, cdn({ tunnel: 7, session: 11, assigned: 22 })),
      up(stopccn({ tunnel: 99, assigned: 7 })),
    ),
  },
  {
    name: 'three-tunnels-of-one-socket-by-weight',
    frames: timed(
      ...open(S2, 1, 101),
      ...open(S1, 2, 102),
      ...open(S2, 3, 103),
      up(l2tpData({ tunnel: 102, session: 1, payload: PPP })),
    ),
  },
  {
    name: 'sccrq-repeated-goes-where-the-first-went',
    frames: timed(up(sccrq({ assigned: 7 })), 1, up(sccrq({ assigned: 7 })), 2, up(sccrq({ assigned: 7 }))),
  },
  {
    name: 'sccrq-copy-after-the-answer',
    frames: timed(...open(S2, 7, 99), 1, up(sccrq({ assigned: 7 })), up(sccrq({ assigned: 8 }))),
  },
  {
    name: 'sccrq-copies-at-once-pass-once',
    frames: timed(up(sccrq({ assigned: 7 })), up(sccrq({ assigned: 7 })), 0.2, up(sccrq({ assigned: 7 }))),
  },
  {
    name: 'stopccn-with-tunnel-id-0',
    frames: timed(up(sccrq({ assigned: 7 })), up(stopccn({ tunnel: 0, assigned: 7 }))),
  },
  {
    name: 'closing-mapping-lives-a-cycle-then-goes',
    frames: timed(
      ...open(S2, 7, 99),
      up(stopccn({ tunnel: 99, assigned: 7 })),
      31,
      up(stopccn({ tunnel: 99, assigned: 7 })),
      6,
      up(stopccn({ tunnel: 99, assigned: 7 })),
    ),
  },
  {
    name: 'same-ids-again-three-seconds-after-stopccn',
    config: vips(ONE),
    frames: timed(
      ...open(S1, 7, 99),
      up(stopccn({ tunnel: 99, assigned: 7 })),
      3,
      ...open(S1, 7, 99),
      40,
      up(l2tpData({ tunnel: 99, session: 1, payload: PPP })),
    ),
  },
  {
    name: 'floating-port-exposed',
    frames: timed(
      ...open(S2, 7, 99, 50001),
      up(l2tpData({ tunnel: 99, session: 1, payload: PPP }), {}, `${CLIENT}:1701`, `${VIP}:50001`),
      up(l2tpData({ tunnel: 99, session: 1, payload: PPP })),
    ),
  },
  {
    name: 'floating-port-hidden',
    config: vips(TWO, 'serverPort: hide, '),
    frames: timed(...open(S2, 7, 99, 50001), up(l2tpData({ tunnel: 99, session: 1, payload: PPP }))),
  },
  {
    name: 'vip-and-server-ports-differ',
    config: vips(`{ name: lns1, address: ${S1}, port: 1801 }`, 'port: 1901, '),
    frames: timed(
      udpFrame(`${CLIENT}:4000`, `${VIP}:1901`, sccrq({ assigned: 7 })),
      down(S1, sccrp({ tunnel: 7, assigned: 99 }), {}, 1801, `${CLIENT}:4000`),
      udpFrame(`${CLIENT}:4000`, `${VIP}:1901`, scccn({ tunnel: 99 })),
      up(sccrq({ assigned: 8 })),
    ),
  },
  {
    name: 'two-vips-on-one-address-two-servers-on-one-address',
    config: `vips:\n  - { name: a, address: ${VIP}, port: 1701, servers: [{ name: a1, address: ${S1}, port: 1701 }] }\n  - { name: b, address: ${VIP}, port: 1702, servers: [{ name: b1, address: ${S1}, port: 1702 }] }\n`,
    frames: timed(
      up(sccrq({ assigned: 1 })),
      up(sccrq({ assigned: 2 }), {}, `${CLIENT}:1701`, `${VIP}:1702`),
      down(S1, sccrp({ tunnel: 1, assigned: 5 })),
      down(S1, sccrp({ tunnel: 2, assigned: 5 }), {}, 1702),
      up(l2tpData({ tunnel: 5, session: 1, payload: PPP })),
      up(l2tpData({ tunnel: 5, session: 1, payload: PPP }), {}, `${CLIENT}:1701`, `${VIP}:1702`),
    ),
  },
  {
    name: 'two-servers-choose-one-id-second-gets-a-virtual-one',
    config: vips(TWO, 'algorithm: round-robin, '),
    frames: timed(
      ...open(S1, 7, 2),
      up(sccrq({ assigned: 8 })),
      down(S2, sccrp({ tunnel: 8, assigned: 2 })),
      up(l2tpData({ tunnel: 2 + 0x9e37, session: 1, payload: PPP })),
      up(l2tpData({ tunnel: 2, session: 1, payload: PPP })),
      down(S2, stopccn({ tunnel: 8, assigned: 2 })),
    ),
  },
  {
    name: 'virtual-id-at-an-odd-offset',
    config: vips(TWO, 'algorithm: round-robin, '),
    frames: timed(
      ...open(S1, 7, 2),
      up(sccrq({ assigned: 8 })),
      down(
        S2,
        l2tpControl({
          tunnel: 8,
          nr: 1,
          avps: [avp(0, 2), avp(2, u16(0x0100)), avp(3, '00000003'), avp(7, text('odd')), avp(9, 2)],
        }),
      ),
    ),
  },
  {
    name: 'server-initiated-tunnel',
    config: vips(ONE),
    frames: timed(
      down(S1, sccrq({ assigned: 50 })),
      up(sccrp({ tunnel: 50, assigned: 60 })),
      down(S1, scccn({ tunnel: 60 })),
      up(l2tpData({ tunnel: 50, session: 1, payload: PPP })),
      down(S1, l2tpData({ tunnel: 60, session: 1, payload: PPP })),
    ),
  },
  {
    name: 'data-with-length-sequence-offset',
    frames: timed(
      ...open(S2, 7, 99),
      up(l2tpData({ tunnel: 99, session: 1, length: true, payload: PPP })),
      up(l2tpData({ tunnel: 99, session: 1, sequence: [4, 0], payload: PPP })),
      up(l2tpData({ tunnel: 99, session: 1, offset: 4, payload: PPP })),
    ),
  },
  {
    name: 'udp-checksum-0-stays-0',
    frames: timed(
      up(sccrq({ assigned: 7 }), { udp: { checksum: 'none' } }),
      down(S2, sccrp({ tunnel: 7, assigned: 99 }), { udp: { checksum: 'none' } }),
    ),
  },
  {
    name: 'ttl-1-is-used-up',
    frames: timed(
      ...open(S2, 7, 99),
      up(l2tpData({ tunnel: 99, session: 1, payload: PPP }), { ip: { ttl: 1 } }),
      up(l2tpData({ tunnel: 99, session: 1, payload: PPP }), { ip: { ttl: 2 } }),
    ),
  },
  {
    name: 'ipv6-vip-and-server',
    config: 'vips:\n  - { name: six, address: "2001:db8:2::1", servers: [{ name: s1, address: "fd00::1" }] }\n',
    frames: timed(
      udpFrame(`${SIX.client}:1701`, `${SIX.vip}:1701`, sccrq({ assigned: 7 })),
      udpFrame(`${SIX.s1}:1701`, `${SIX.client}:1701`, sccrp({ tunnel: 7, assigned: 99 })),
      udpFrame(`${SIX.client}:1701`, `${SIX.vip}:1701`, scccn({ tunnel: 99 })),
      udpFrame(`${SIX.client}:1701`, `${SIX.vip}:1701`, l2tpData({ tunnel: 99, session: 1, payload: PPP }), {
        ip: { extensions: [{ protocol: 60 }] },
      }),
    ),
  },
  {
    name: 'fragments-to-the-vip-are-dropped-by-name',
    frames: timed(
      up(sccrq({ assigned: 7 }), { ip: { fragment: { offset: 0, more: true } } }),
      frame({
        ip: { src: CLIENT, dst: VIP, protocol: 17, fragment: { offset: 800, more: false } },
        payload: '0011223344556677',
      }),
    ),
  },
  { name: 'ip-header-below-20-bytes', frames: timed(up(sccrq({ assigned: 7 }), { ip: { headerWords: 4 } })) },
  {
    name: 'udp-length-below-8',
    frames: timed(
      up(sccrq({ assigned: 7 }), { udp: { length: 7 } }),
      up(sccrq({ assigned: 8 }), { udp: { length: 2000 } }),
    ),
  },
  { name: 'l2tp-length-lies', frames: timed(up(l2tpControl({ length: 4000, avps: [avp(0, 1), avp(9, 7)] }))) },
  {
    name: 'avp-length-0-to-5',
    frames: timed(...[0, 1, 2, 3, 4, 5].map((length) => up(l2tpControl({ avps: [avp(0, 1), avp(9, 7, { length })] })))),
  },
  {
    name: 'l2f-and-l2tpv3-are-other-versions',
    frames: timed(
      up(l2tpControl({ flags: 0xc801, avps: [avp(0, 1)] })),
      up(l2tpControl({ flags: 0xc803, avps: [avp(0, 1)] })),
    ),
  },
  {
    name: 'l2tp-offset-size-beyond-packet',
    frames: timed(...open(S2, 7, 99), up(Uint8Array.of(0x02, 0x02, 0, 99, 0, 1, 0xff, 0xff, 0, 0))),
  },
  {
    name: 'data-of-no-tunnel',
    frames: timed(
      up(l2tpData({ tunnel: 5, session: 1, payload: PPP })),
      down(S1, l2tpData({ tunnel: 5, session: 1, payload: PPP })),
    ),
  },
  {
    name: 'non-tunnel-traffic-is-the-hosts',
    frames: timed(
      udpFrame('198.51.100.9:5353', '203.0.113.5:53', 'aabb'),
      frame({ ip: { src: CLIENT, dst: VIP }, tcp: { src: 4000, dst: 22 } }),
      udpFrame(`${S1}:53`, `${CLIENT}:4000`, 'aabbccdd'),
    ),
  },
  {
    name: 'arp-and-echo-for-the-vip-are-answered',
    frames: timed(
      frame({ arp: { senderIp: CLIENT, targetIp: VIP } }),
      frame({ arp: { senderIp: '0.0.0.0', targetIp: VIP } }),
      frame({ arp: { senderIp: CLIENT, targetIp: '192.128.10.1' } }),
      frame({ ip: { src: CLIENT, dst: VIP }, icmp: { type: 8, id: 1, sequence: 2 }, payload: '00112233' }),
    ),
  },
  {
    name: 'firewall-first-match-wins-narrowed-by-to-and-protocol',
    config: `${DEFAULT_CONFIG}firewall:\n  rules:\n    - { allow: { from: 192.128.10.5, vip: access } }\n    - { deny: { from: 192.128.10.0/24, protocol: l2tp } }\n    - { deny: { to: 203.0.113.0/24, protocol: udp } }\n`,
    frames: timed(
      up(sccrq({ assigned: 7 })),
      up(sccrq({ assigned: 7 }), {}, '192.128.10.6:1701'),
      udpFrame('192.128.10.6:53', '203.0.113.5:53', 'aa'),
      frame({ ip: { src: '192.128.10.6', dst: '203.0.113.5' }, tcp: { src: 1, dst: 80 } }),
    ),
  },
  {
    name: 'firewall-denies-by-default',
    config: `${DEFAULT_CONFIG}firewall: { default: deny, rules: [{ allow: { from: 192.128.10.5 } }] }\n`,
    frames: timed(
      up(sccrq({ assigned: 7 })),
      up(sccrq({ assigned: 7 }), {}, '192.128.10.6:1701'),
      frame({ arp: { senderIp: '192.128.10.6', targetIp: VIP } }),
    ),
  },
  {
    name: 'request-rate-and-half-open-limit',
    config: `${DEFAULT_CONFIG}firewall: { tunnelRequestRate: { perSource: 1/s, burst: 2, halfOpen: 3 } }\n`,
    frames: timed(
      ...[1, 2, 3].map((id) => up(sccrq({ assigned: id }))),
      ...[1, 2, 3].map((id) => up(sccrq({ assigned: id }), {}, '192.128.10.6:1701')),
    ),
  },
  {
    name: 'table-full',
    config: `${DEFAULT_CONFIG}table: { connections: 16 }\n`,
    frames: timed(...Array.from({ length: 18 }, (_, n) => up(sccrq({ assigned: n + 1 })))),
  },
  {
    name: 'no-server-may-take-it',
    config: vips(`{ name: lns1, address: ${S1}, weight: 0 }`),
    frames: timed(up(sccrq({ assigned: 7 }))),
  },
  {
    name: 'half-open-and-idle-tunnels-age',
    frames: timed(
      up(sccrq({ assigned: 1 })),
      ...open(S1, 2, 102),
      61,
      up(sccrq({ assigned: 1 })),
      601,
      up(l2tpData({ tunnel: 102, session: 1, payload: PPP })),
    ),
  },
  {
    name: 'computed-udp-checksum-0-is-sent-as-ffff',
    frames: timed(...open(S2, 7, 99), ...zeroSums().map((payload) => up(payload))),
  },
];

/** Data whose UDP checksum becomes 0 when the destination becomes 10.10.1.2: among all values of one word one does it. */
function zeroSums(): Uint8Array[] {
  const found: Uint8Array[] = [];
  for (let word = 0; word < 65536 && found.length === 0; word++) {
    const payload = l2tpData({ tunnel: 99, session: 1, payload: u16(word) });
    const rewritten = udpFrame(`${CLIENT}:1701`, `${S2}:1701`, payload);
    if (rewritten[40] === 0xff && rewritten[41] === 0xff) found.push(payload);
  }
  return found;
}
