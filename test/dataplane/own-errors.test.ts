/** ICMP errors that the designator makes itself. */
import { describe, expect, test } from 'vitest';
import type { ShardNotice } from '../../src/dataplane/plan.js';
import { PORT_INSIDE } from '../../src/io/port.js';
import type { RawIcmp } from '../../src/io/raw-icmp.js';
import { ErrorSender } from '../../src/roles/designator/error-sender.js';
import { checksum, pseudoHeaderIpv6 } from '../../src/wire/checksum.js';
import { MemoryAppliance } from '../helpers/memory-appliance.js';
import { hex, l2tpData, scccn, sccrp, sccrq, udpFrame, viewOf } from '../helpers/packet-builder.js';

const CONFIG = `
vips:
  - { name: four, address: 200.200.100.1, servers: [{ name: a, address: 10.10.1.1 }] }
  - { name: six, address: "2001:db8:2::1", servers: [{ name: c, address: "fd00::1" }] }
table: { connections: 64 }
`;
const FOUR = { v6: false, client: '192.0.2.7:1701', vip: '200.200.100.1:1701', server: '10.10.1.1:1701' };
const SIX = { v6: true, client: '[2001:db8:9::7]:1701', vip: '[2001:db8:2::1]:1701', server: '[fd00::1]:1701' };
type Side = typeof FOUR;

function connected(side: Side, mtus?: readonly [number, number]): MemoryAppliance {
  const a = new MemoryAppliance(CONFIG, { mtus });
  a.send(udpFrame(side.client, side.vip, sccrq({ assigned: 7 })));
  a.send(udpFrame(side.server, side.client, sccrp({ tunnel: 7, assigned: 99 })), PORT_INSIDE);
  a.send(udpFrame(side.client, side.vip, scccn({ tunnel: 99 })));
  return a;
}
const made = (a: MemoryAppliance): Uint8Array[] =>
  a.shards
    .flatMap((shard) => shard.takeNotices())
    .flatMap((notice: ShardNotice) => (notice.type === 'icmp' ? notice.packets : []));

/** Type, code, bytes 4 … 7, and addresses of a whole packet whose checksums are right. */
function opened(packet: Uint8Array) {
  const view = viewOf(packet);
  const v6 = packet[0] >> 4 === 6;
  const icmp = v6 ? 40 : 20;
  expect(checksum(view, icmp, packet.length, v6 ? pseudoHeaderIpv6(view, 0, 58, packet.length - icmp) : 0)).toBe(0);
  if (!v6) expect(checksum(view, 0, 20)).toBe(0);
  return {
    kind: [packet[icmp], packet[icmp + 1], view.getUint32(icmp + 4)],
    ends: hex(v6 ? packet.subarray(8, 40) : packet.subarray(12, 20)),
    about: hex(packet.subarray(icmp + 8)),
  };
}
const endsOf = (side: Side, from: string, to: string): string => {
  const bytes = udpFrame(from, to, '');
  return hex(side.v6 ? bytes.subarray(22, 54) : bytes.subarray(26, 34));
};

describe.each([
  ['IPv4', FOUR],
  ['IPv6', SIX],
])('%s', (_name, side) => {
  test('time exceeded, to client and server alike', () => {
    const a = connected(side);
    for (const ttl of [1, 0]) {
      const data = udpFrame(side.client, side.vip, l2tpData({ tunnel: 99, session: 1 }), { ip: { ttl } });
      expect(a.send(data).sent).toEqual([]);
      const [packet, ...more] = made(a);
      expect(more).toEqual([]);
      expect(opened(packet)).toEqual({
        kind: [side.v6 ? 3 : 11, 0, 0],
        ends: endsOf(side, side.vip, side.client),
        about: hex(data.subarray(14)),
      });
    }
    const back = udpFrame(side.server, side.client, l2tpData({ tunnel: 7, session: 1 }), { ip: { ttl: 1 } });
    expect(a.send(back, PORT_INSIDE).sent).toEqual([]);
    expect(opened(made(a)[0]).ends).toBe(endsOf(side, side.vip, side.server));
    expect(a.drops()).toEqual({ 'ttl-expired': 3 });
    expect(
      a.send(udpFrame(side.client, side.vip, l2tpData({ tunnel: 99, session: 1 }), { ip: { ttl: 2 } })).sent,
    ).toHaveLength(1);
  });

  test('too big, with the MTU of the link ahead', () => {
    const a = connected(side, [1500, 1400]);
    const header = side.v6 ? 48 : 28;
    const fits = l2tpData({ tunnel: 99, session: 1, payload: '00'.repeat(1400 - header - 6) });
    expect(a.send(udpFrame(side.client, side.vip, fits)).sent).toHaveLength(1);
    const long = l2tpData({ tunnel: 99, session: 1, payload: '00'.repeat(1401 - header - 6) });
    const data = udpFrame(side.client, side.vip, long);
    expect(a.send(data).sent).toEqual([]);
    const packet = opened(made(a)[0]);
    expect(packet.kind).toEqual(side.v6 ? [2, 0, 1400] : [3, 4, 1400]);
    expect(hex(data.subarray(14)).startsWith(packet.about)).toBe(true);
    expect(packet.about.length / 2).toBe((side.v6 ? 1280 : 576) - (side.v6 ? 48 : 28));
    // The other way the link is wide enough.
    const back = l2tpData({ tunnel: 7, session: 1, payload: '00'.repeat(1401 - header - 6) });
    expect(a.send(udpFrame(side.server, side.client, back), PORT_INSIDE).sent).toHaveLength(1);
    expect(a.drops()).toEqual({ 'too-big': 1 });
  });

  test('few to one destination, and time brings more', () => {
    const a = connected(side);
    const data = udpFrame(side.client, side.vip, l2tpData({ tunnel: 99, session: 1 }), { ip: { ttl: 1 } });
    for (let n = 0; n < 30; n++) a.send(data);
    expect(made(a)).toHaveLength(10);
    expect(a.count('icmpWithheld')).toBe(20);
    a.at(a.now + 1);
    a.send(data);
    expect(made(a)).toHaveLength(1);
  });

  test('what is no tunnel’s gets none', () => {
    const a = connected(side);
    a.send(udpFrame(side.client, side.vip, l2tpData({ tunnel: 98, session: 1 }), { ip: { ttl: 1 } }));
    expect(made(a)).toEqual([]);
    expect(a.drops()).toEqual({ 'unknown-tunnel': 1 });
  });
});

test('where there is no raw socket it is said once', () => {
  const errors: unknown[] = [];
  const sender = new ErrorSender(
    (error) => errors.push(error),
    () => {
      throw new Error('no');
    },
  );
  sender.send([new Uint8Array(28)]);
  sender.send([new Uint8Array(28)]);
  expect(errors).toHaveLength(1);
  const sent: number[] = [];
  let closed = 0;
  const icmp = { send: (packet: Uint8Array) => sent.push(packet.length), close: () => closed++ };
  const other = new ErrorSender(
    () => {},
    () => icmp as unknown as RawIcmp,
  );
  other.send([new Uint8Array(28), new Uint8Array(48)]);
  other.close();
  other.send([new Uint8Array(28)]);
  expect([sent, closed]).toEqual([[28, 48], 1]);
});
