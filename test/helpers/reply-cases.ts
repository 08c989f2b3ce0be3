/** Golden cases of the ways of answering: `reply: nat` on one machine, and VIPs whose answers do not pass (document 001). */
import type { GoldenCase } from './golden-cases.js';
import { l2tpData, scccn, sccrp, sccrq, stopccn, udpFrame, zlb } from './packet-builder.js';

const CLIENT = '192.128.10.5:1701';
const VIP = '200.200.100.1';
const NAT = '200.200.100.2';
const S1 = '10.10.1.1:1701';
const S2 = '10.10.1.2:1701';
const PPP = 'ff03c0210101000405dc';
const SERVERS = 'servers: [{ name: lns1, address: 10.10.1.1 }, { name: lns2, address: 10.10.1.2 }]';
const nat = `vips:\n  - { name: access, address: ${VIP}, algorithm: round-robin, reply: nat, natAddress: ${NAT}, ${SERVERS} }\n`;
const direct = `vips:\n  - { name: access, address: ${VIP}, algorithm: round-robin, reply: direct, ${SERVERS} }\n`;
const SIX = `vips:\n  - { name: access, address: '2001:db8:2::1', reply: nat, natAddress: '2001:db8:2::2', servers: [{ name: lns1, address: 'fd00::1' }] }\n`;

/** Frames 20 ms apart; a number is a pause in seconds. */
function timed(...items: readonly (Uint8Array | number)[]): GoldenCase['frames'] {
  let at = 0;
  return items.flatMap((item) => {
    if (typeof item === 'number') {
      at += item;
      return [];
    }
    at += 0.02;
    return [{ at: at - 0.02, frame: item }];
  });
}

const up = (payload: Uint8Array, to = `${VIP}:1701`, from = CLIENT): Uint8Array => udpFrame(from, to, payload);
const down = (server: string, payload: Uint8Array, to = CLIENT): Uint8Array => udpFrame(server, to, payload);
const toNat = `${NAT}:1701`;

export const REPLY_CASES: readonly GoldenCase[] = [
  {
    name: 'reply-nat-client-that-follows-fig-3',
    config: nat,
    frames: timed(
      up(sccrq({ assigned: 1 })),
      down(S1, sccrp({ tunnel: 1, assigned: 2 })),
      up(scccn({ tunnel: 2 }), toNat),
      down(S1, zlb({ tunnel: 1, ns: 1, nr: 2 })),
      up(l2tpData({ tunnel: 2, session: 1, payload: PPP }), toNat),
      down(S1, l2tpData({ tunnel: 1, session: 1, payload: PPP })),
      up(stopccn({ tunnel: 2, assigned: 1 }), toNat),
    ),
  },
  {
    name: 'reply-nat-client-that-stays-at-the-vip',
    config: nat,
    frames: timed(
      up(sccrq({ assigned: 1 })),
      down(S1, sccrp({ tunnel: 1, assigned: 2 })),
      up(scccn({ tunnel: 2 })),
      down(S1, zlb({ tunnel: 1, ns: 1, nr: 2 })),
      up(l2tpData({ tunnel: 2, session: 1, payload: PPP })),
      down(S1, l2tpData({ tunnel: 1, session: 1, payload: PPP })),
    ),
  },
  {
    name: 'reply-nat-client-that-refuses',
    config: nat,
    frames: timed(
      up(sccrq({ assigned: 1 })),
      down(S1, sccrp({ tunnel: 1, assigned: 2 })),
      1,
      up(sccrq({ assigned: 1 })),
      down(S1, sccrp({ tunnel: 1, assigned: 2 })),
      2,
      up(sccrq({ assigned: 1 })),
      down(S1, sccrp({ tunnel: 1, assigned: 2 })),
      up(scccn({ tunnel: 2 })),
      up(l2tpData({ tunnel: 2, session: 1, payload: PPP })),
      down(S1, l2tpData({ tunnel: 1, session: 1, payload: PPP })),
      up(sccrq({ assigned: 3 })),
      down(S2, sccrp({ tunnel: 3, assigned: 4 })),
    ),
  },
  {
    name: 'reply-nat-two-servers-with-one-id',
    config: nat,
    frames: timed(
      up(sccrq({ assigned: 1 })),
      up(sccrq({ assigned: 2 })),
      down(S1, sccrp({ tunnel: 1, assigned: 70 })),
      down(S2, sccrp({ tunnel: 2, assigned: 70 })),
      up(scccn({ tunnel: 70 }), toNat),
      up(l2tpData({ tunnel: 70, session: 1, payload: PPP }), toNat),
      down(S2, l2tpData({ tunnel: 2, session: 1, payload: PPP })),
    ),
  },
  {
    name: 'reply-nat-requests-to-the-nat-address-are-dropped-by-name',
    config: nat,
    frames: timed(up(sccrq({ assigned: 1 }), toNat), up(l2tpData({ tunnel: 9, session: 1 }), toNat)),
  },
  {
    name: 'reply-nat-ipv6',
    config: SIX,
    frames: timed(
      up(sccrq({ assigned: 1 }), '[2001:db8:2::1]:1701', '[2001:db8:1::5]:1701'),
      down('[fd00::1]:1701', sccrp({ tunnel: 1, assigned: 2 }), '[2001:db8:1::5]:1701'),
      up(scccn({ tunnel: 2 }), '[2001:db8:2::2]:1701', '[2001:db8:1::5]:1701'),
      up(l2tpData({ tunnel: 2, session: 1, payload: PPP }), '[2001:db8:2::2]:1701', '[2001:db8:1::5]:1701'),
      down('[fd00::1]:1701', l2tpData({ tunnel: 1, session: 1, payload: PPP }), '[2001:db8:1::5]:1701'),
    ),
  },
  {
    name: 'reply-direct-requests-pass-and-answers-are-the-hosts-fig-5',
    config: direct,
    frames: timed(
      up(sccrq({ assigned: 1 })),
      1,
      up(sccrq({ assigned: 1 })),
      down(S1, sccrp({ tunnel: 1, assigned: 2 })),
      down(S1, l2tpData({ tunnel: 1, session: 1, payload: PPP })),
      6,
      up(sccrq({ assigned: 2 })),
    ),
  },
  {
    name: 'reply-direct-client-that-stays-at-the-vip',
    config: direct,
    frames: timed(
      up(sccrq({ assigned: 1 })),
      up(sccrq({ assigned: 2 })),
      up(scccn({ tunnel: 51 })),
      up(scccn({ tunnel: 52 })),
      up(l2tpData({ tunnel: 51, session: 1, payload: PPP })),
      up(l2tpData({ tunnel: 53, session: 1, payload: PPP })),
      up(stopccn({ tunnel: 51, assigned: 1 })),
      up(sccrq({ assigned: 3 })),
    ),
  },
  {
    name: 'reply-direct-client-that-refuses-without-a-local-address',
    config: direct,
    frames: timed(up(sccrq({ assigned: 1 })), 1, up(sccrq({ assigned: 1 })), 2, up(sccrq({ assigned: 1 }))),
  },
];
