import { describe, expect, test } from 'vitest';
import { RouterAdvertiser } from '../../../src/gateway/answers/router-advertiser.js';
import type { RouterAdvertisementOptions } from '../../../src/gateway/types.js';
import { type AddressWords, parseAddress } from '../../../src/wire/address.js';
import { neighbour } from '../../helpers/neighbour-frames.js';

const words = (text: string): AddressWords => parseAddress(text) as AddressWords;
const hex = (frame: Uint8Array): string => Buffer.from(frame).toString('hex');
const VMAC = 0x025444000702;
const ADVERTISE: RouterAdvertisementOptions = {
  interval: 60,
  lifetime: 1800,
  managed: false,
  other: true,
  mtu: 1400,
  prefixes: [
    {
      prefix: words('2001:db8:7:5::99'),
      length: 60,
      onLink: true,
      autonomous: true,
      validLifetime: 7200,
      preferredLifetime: 9999,
    },
  ],
  resolvers: [words('2001:db8::53')],
};
const OPTIONS =
  '05010000 00000578' +
  '03043cc0 00001c20 00001c20 00000000 20010db8 00070000 0000000000000000' +
  '19030000 00000708 20010db8000000000000000000000053';

/** What RFC 4861 §4.2 says, built by the tests' own writer: cur hop limit is where others have flags. */
function expected(to: number | undefined, destination: string, lifetime = '0708'): string {
  return hex(
    neighbour({
      type: 134,
      to,
      from: VMAC,
      source: 'fe80::7:fe',
      destination,
      words: `4040${lifetime}0000000000000000`,
      options: OPTIONS,
    }),
  );
}

function advertiser(advertise: RouterAdvertisementOptions | null = ADVERTISE, source: string | null = 'fe80::7:fe') {
  let state = 1;
  return new RouterAdvertiser({
    scheme: 'local',
    group: 7,
    source: source === null ? null : words(source),
    advertise,
    random: (count) =>
      Uint8Array.from({ length: count }, () => {
        state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
        return state >> 16;
      }),
  });
}

/** Times and frames of all that is said until `until`. */
function run(router: RouterAdvertiser, until: number): { at: number; frame: string }[] {
  const said: { at: number; frame: string }[] = [];
  while (router.nextTime <= until) {
    const at = router.nextTime;
    said.push(...router.tick(at).map((frame) => ({ at, frame: hex(frame) })));
  }
  return said;
}

describe('Router Advertisements of the group', () => {
  test('say what is configured, from the shared address, without a MAC', () => {
    const router = advertiser();
    router.start(2, 0);
    expect(run(router, 0.5)).toEqual([{ at: expect.any(Number), frame: expected(undefined, 'ff02::1') }]);
  });

  test('are soon at first, then at random times within the interval (§6.2.4)', () => {
    const router = advertiser();
    router.start(2, 0);
    const times = run(router, 6000).map(({ at }) => at);
    const gaps = times.slice(1).map((at, i) => at - times[i]);
    expect(times[0]).toBeLessThanOrEqual(0.5);
    expect(Math.max(...gaps.slice(0, 3))).toBeLessThanOrEqual(16);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(3);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(60);
    expect(Math.max(...gaps.slice(3)) - Math.min(...gaps.slice(3))).toBeGreaterThan(20);
  });

  test('a host that asks is answered alone, within half a second, once', () => {
    const router = advertiser();
    router.start(2, 0);
    run(router, 20);
    router.solicited(0x020000000011, words('fe80::11'), 21);
    router.solicited(0x020000000011, words('fe80::11'), 21.01);
    expect(run(router, 21.5)).toEqual([{ at: expect.any(Number), frame: expected(0x020000000011, 'fe80::11') }]);
    expect(router.counters()).toMatchObject({ solicited: 2, unicast: 1 });
  });

  test('without an address it is answered to all, at most every three seconds', () => {
    const router = advertiser();
    router.start(2, 0);
    const [first] = run(router, 0.5);
    for (let i = 0; i < 10; i++) router.solicited(0x020000000011, null, 0.6 + i / 100);
    const [second] = run(router, 4);
    expect(second.at - first.at).toBeGreaterThanOrEqual(3);
    expect(second.frame).toBe(expected(undefined, 'ff02::1'));
    expect(second.at).toBeLessThan(4);
  });

  test('a crowd is answered together', () => {
    const router = advertiser();
    router.start(2, 0);
    run(router, 30);
    for (let i = 1; i <= 200; i++) router.solicited(i, words('fe80::11'), 31);
    const said = run(router, 31.6);
    expect(said.length).toBeLessThanOrEqual(33);
    expect(said.map(({ frame }) => frame)).toContain(expected(undefined, 'ff02::1'));
    expect(router.counters().crowds).toBe(168);
  });

  test('end with a lifetime of zero when the last gateway ends (§6.2.5)', () => {
    const router = advertiser();
    expect(router.farewell()).toEqual([]);
    router.start(2, 0);
    expect(router.farewell().map(hex)).toEqual([expected(undefined, 'ff02::1', '0000')]);
  });

  test('are taken back while the group leads nowhere, to all who ask too', () => {
    const router = advertiser();
    router.start(2, 0);
    run(router, 100);
    expect(router.setOpen(true, 100)).toEqual([]);
    expect(router.setOpen(false, 100).map(hex)).toEqual([expected(undefined, 'ff02::1', '0000')]);
    expect(router.setOpen(false, 101)).toEqual([]);
    router.solicited(0x020000000011, words('fe80::11'), 102);
    const said = run(router, 200);
    expect(said.length).toBeGreaterThan(2);
    expect(said.map(({ frame }) => frame)).toContain(expected(0x020000000011, 'fe80::11', '0000'));
    for (const { frame } of said) expect(frame).not.toContain('4040 0708'.replace(' ', ''));
    expect(router.setOpen(true, 200)).toEqual([]);
    expect(run(router, 200.5).map(({ frame }) => frame)).toEqual([expected(undefined, 'ff02::1')]);
  });

  test('a master of a group whose gateways may be just starting waits before it says that there is no router', () => {
    const router = advertiser();
    expect(router.setOpen(false, 0)).toEqual([]);
    router.start(2, 0);
    expect(run(router, 4)).toEqual([]);
    expect(run(router, 6).map(({ frame }) => frame)).toEqual([expected(undefined, 'ff02::1', '0000')]);
  });

  test.each([
    [1800, 1800],
    [0, 180],
  ])('routes of a router with lifetime %i hold %i s, and end with the way out (RFC 4191)', (lifetime, holds) => {
    const routes = [{ prefix: words('2001:db8:ff::'), length: 40 }];
    const router = advertiser({ ...ADVERTISE, mtu: 0, prefixes: [], resolvers: [], lifetime, routes });
    router.start(2, 0);
    const route = (frame: string | undefined, seconds: number): void =>
      expect(frame?.endsWith(`18032800${seconds.toString(16).padStart(8, '0')}20010db8000000000000000000000000`)).toBe(
        true,
      );
    route(run(router, 1)[0].frame, holds);
    route(router.setOpen(false, 2).map(hex)[0], 0);
  });

  test('stop with the office, and do not begin without a shared link-local address or a configuration', () => {
    const router = advertiser();
    router.start(2, 0);
    router.stop();
    router.solicited(1, null, 1);
    for (const silent of [router, advertiser(null), advertiser(ADVERTISE, null)]) {
      if (silent !== router) silent.start(2, 0);
      expect(silent.nextTime).toBe(Number.POSITIVE_INFINITY);
      expect(silent.tick(1000)).toEqual([]);
      expect(silent.farewell()).toEqual([]);
    }
  });

  test('a reload changes what is said, or says that there is no router', () => {
    const router = advertiser();
    router.start(2, 0);
    run(router, 100);
    expect(router.configure({ ...ADVERTISE, lifetime: 0x0708 * 2, interval: 10 }, 100)).toEqual([]);
    const [next] = run(router, 100.5);
    expect(next.frame).not.toBe(expected(undefined, 'ff02::1'));
    expect(router.configure(null, 101)).toHaveLength(1);
    expect(router.nextTime).toBe(Number.POSITIVE_INFINITY);
    expect(router.farewell()).toEqual([]);
    router.configure(ADVERTISE, 102);
    expect(run(router, 102.5)).toHaveLength(1);
  });
});
