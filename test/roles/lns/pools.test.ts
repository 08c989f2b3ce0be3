import { describe, expect, test } from 'vitest';
import { parseLnsConfig } from '../../../src/config/lns.js';
import { type Lease, type Pool, Pools } from '../../../src/roles/lns/pools.js';
import { formatWords, parseAddress } from '../../../src/wire/address.js';

function poolsOf(text: string): Pools {
  const { config, problems } = parseLnsConfig('f', `name: l\nlisten: 10.0.0.1\nusers: {file: /u}\npools: ${text}\n`);
  expect(problems).toEqual([]);
  return new Pools(config?.pools ?? []);
}
const words = (text: string) => parseAddress(text) as NonNullable<ReturnType<typeof parseAddress>>;
const textOf = (lease: Lease | null): string | null => (lease === null ? null : formatWords(lease.words));
const first = (pools: Pools, family: 4 | 6, name: string | null = null) => pools.find(family, name) as Pool;

describe('IPv4', () => {
  test('a prefix gives its hosts, a range all of it; what was given back last comes last', () => {
    const pools = poolsOf('[{name: a, ipv4: [10.64.0.0/30, 10.9.9.9-10.9.9.10]}]');
    const pool = first(pools, 4);
    expect(pool.size).toBe(4);
    const leases = [1, 2, 3, 4].map(() => pools.allocate(pool) as Lease);
    expect(leases.map(textOf)).toEqual(['10.64.0.1', '10.64.0.2', '10.9.9.9', '10.9.9.10']);
    expect(pools.allocate(pool)).toBeNull();
    expect([pool.used, pool.exhausted]).toEqual([4, 1]);
    pools.release(leases[2]);
    pools.release(leases[0]);
    pools.release(leases[0]);
    expect([textOf(pools.allocate(pool)), textOf(pools.allocate(pool)), textOf(pools.allocate(pool))]).toEqual([
      '10.9.9.9',
      '10.64.0.1',
      null,
    ]);
  });

  test('a particular address is taken out of its pool, and one of no pool once', () => {
    const pools = poolsOf('[{name: a, ipv4: 10.64.0.0/30}]');
    const pool = first(pools, 4);
    const mine = pools.take(words('10.64.0.1')) as Lease;
    expect(mine.pool).toBe(pool);
    expect(pools.take(words('10.64.0.1'))).toBeNull();
    expect(textOf(pools.allocate(pool))).toBe('10.64.0.2');
    expect(pools.allocate(pool)).toBeNull();
    pools.release(mine);
    expect(textOf(pools.allocate(pool))).toBe('10.64.0.1');
    const other = pools.take(words('192.0.2.1')) as Lease;
    expect(other.pool).toBeNull();
    expect(pools.take(words('192.0.2.1'))).toBeNull();
    pools.release(other);
    expect(pools.take(words('192.0.2.1'))).not.toBeNull();
  });

  test('agrees with a set through many steps by a seed', () => {
    const pools = poolsOf('[{name: a, ipv4: 10.64.0.1-10.64.0.40}]');
    const pool = first(pools, 4);
    const held = new Map<string, Lease>();
    let state = 12345;
    const next = (limit: number) => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return (state >>> 8) % limit;
    };
    for (let step = 0; step < 5000; step++) {
      const what = next(3);
      if (what === 2 && held.size > 0) {
        const key = [...held.keys()][next(held.size)];
        pools.release(held.get(key) as Lease);
        held.delete(key);
        continue;
      }
      const wanted = words(`10.64.0.${1 + next(40)}`);
      const lease = what === 0 ? pools.allocate(pool) : pools.take(wanted);
      const free = what === 0 ? held.size < 40 : !held.has(formatWords(wanted));
      expect(lease !== null).toBe(free);
      if (lease === null) continue;
      expect(held.has(formatWords(lease.words))).toBe(false);
      held.set(formatWords(lease.words), lease);
      expect(pool.used).toBe(held.size);
    }
  });
});

describe('IPv6', () => {
  test.each([
    ['2001:db8::/48', 64, ['2001:db8::', '2001:db8:0:1::', '2001:db8:0:2::']],
    ['2001:db8:ff00::/40', 56, ['2001:db8:ff00::', '2001:db8:ff00:100::', '2001:db8:ff00:200::']],
    ['2001:db8:7::/48', 48, ['2001:db8:7::', null, null]],
    ['2001::/24', 40, ['2001::', '2001:0:100::', '2001:0:200::']],
    ['2001::/28', 32, ['2001::', '2001:1::', '2001:2::']],
  ])('%s in pieces of %i', (prefix, length, expected) => {
    const pools = poolsOf(`[{name: six, ipv6: '${prefix}', length: ${length}}]`);
    const pool = first(pools, 6, 'six');
    const leases = [1, 2, 3].map(() => pools.allocate(pool));
    expect(leases.map(textOf)).toEqual(expected);
    for (const lease of leases) {
      if (lease !== null) expect(pool.indexOf(lease.words)).toBe(lease.index);
    }
  });

  test('the last of a pool lies where the arithmetic crosses a word', () => {
    const pools = poolsOf(`[{name: six, ipv6: '2001:db0::/28', length: 48}]`);
    const pool = first(pools, 6);
    expect(pool.size).toBe(2 ** 20);
    expect(formatWords(pool.wordsOf(pool.size - 1))).toBe('2001:dbf:ffff::');
    expect(pool.indexOf(words('2001:dbf:ffff::'))).toBe(2 ** 20 - 1);
    expect(pool.indexOf(words('2001:dc0::'))).toBe(-1);
    expect(pool.indexOf(words('2001:db8:0:1::'))).toBe(-1);
  });
});
