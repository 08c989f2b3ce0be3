/** Addresses and subscribers that are taken over, on a host that is a list of what was asked of it. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { AddressTakeOver, type AddressHost } from '../../../src/roles/take-over/addresses.js';
import { type AttractionHost, SubscriberAttraction, type Subscriber } from '../../../src/roles/take-over/attraction.js';
import { rangesOf } from '../../../src/roles/take-over/ranges.js';
import { type AddressWords, formatWords, parseAddress } from '../../../src/wire/address.js';

const words = (text: string): AddressWords => parseAddress(text) as AddressWords;

class Host implements AddressHost, AttractionHost {
  readonly asked: string[] = [];
  readonly there = new Set<string>();
  /** What is refused, by a beginning of its line. */
  refuse: string | null = null;
  runs: Promise<void> = Promise.resolve();

  #do(line: string, answer = true): boolean {
    this.asked.push(line);
    if (this.refuse !== null && line.startsWith(this.refuse)) throw new Error(`refused: ${line}`);
    return answer;
  }
  indexOf(device: string): number {
    if (device === 'none') throw new Error('no such interface: none');
    return device.length;
  }
  addAddress(index: number, address: AddressWords, length: number): boolean {
    return this.#do(`address + ${formatWords(address)}/${length} ${index}`, !this.there.has(formatWords(address)));
  }
  removeAddress(index: number, address: AddressWords, length: number): boolean {
    return this.#do(`address - ${formatWords(address)}/${length} ${index}`);
  }
  addProxy(index: number, address: AddressWords): boolean {
    return this.#do(`proxy + ${formatWords(address)} ${index}`);
  }
  removeProxy(index: number, address: AddressWords): boolean {
    return this.#do(`proxy - ${formatWords(address)} ${index}`);
  }
  addRoute(route: { words: AddressWords; length: number; index: number; metric: number }): boolean {
    return this.#do(`route + ${formatWords(route.words)}/${route.length} ${route.index} ${route.metric}`);
  }
  removeRoute(route: { words: AddressWords; length: number; index: number; metric: number }): boolean {
    return this.#do(`route - ${formatWords(route.words)}/${route.length} ${route.index} ${route.metric}`);
  }
  announce(device: string, addresses: readonly AddressWords[]): number {
    this.#do(`announce ${device} ${addresses.map((address) => formatWords(address)).join(' ')}`);
    return addresses.length;
  }
  async run(command: readonly string[]): Promise<void> {
    await this.runs;
    this.#do(`run ${command.join(' ')}`);
  }
}

test('tunnel ids as ranges, and no more in a message than it has room for', () => {
  expect(rangesOf([])).toEqual([]);
  expect(rangesOf([5, 3, 4, 9, 4])).toEqual([
    [
      { low: 3, high: 5 },
      { low: 9, high: 9 },
    ],
  ]);
  const odd = Array.from({ length: 130 }, (_, i) => 2 * i + 1);
  expect(rangesOf(odd).map(({ length }) => length)).toEqual([64, 64, 2]);
});

describe('addresses', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });
  const ADDRESS = { words: words('192.0.2.11'), length: 24, device: 'lan0' };

  test('are added, announced at once, again soon, and then for ever, until they are released', () => {
    const host = new Host();
    const taken = new AddressTakeOver(host, 10_000);
    expect(taken.take([ADDRESS])).toEqual([{ address: '192.0.2.11', device: 'lan0', state: 'taken', reason: null }]);
    expect(host.asked).toEqual(['address + 192.0.2.11/24 4', 'announce lan0 192.0.2.11']);
    vi.advanceTimersByTime(3000);
    expect(taken.announced).toBe(5);
    vi.advanceTimersByTime(27_000);
    expect(taken.announced).toBe(8);
    expect(taken.held).toEqual(['192.0.2.11']);
    expect(taken.release()).toEqual([{ address: '192.0.2.11', device: 'lan0', state: 'taken', reason: null }]);
    expect(host.asked.at(-1)).toBe('address - 192.0.2.11/24 4');
    vi.advanceTimersByTime(60_000);
    expect(taken.announced).toBe(8);
  });

  test('that are there already are announced and stay', () => {
    const host = new Host();
    host.there.add('192.0.2.11');
    const taken = new AddressTakeOver(host, 10_000);
    expect(taken.take([ADDRESS])[0].state).toBe('held');
    expect(taken.announced).toBe(1);
    taken.release();
    expect(host.asked.filter((line) => line.startsWith('address -'))).toEqual([]);
  });

  test('that the kernel refuses do not keep the others', () => {
    const host = new Host();
    const taken = new AddressTakeOver(host, 10_000);
    const results = taken.take([{ ...ADDRESS, device: 'none' }, ADDRESS, ADDRESS]);
    expect(results.map(({ state }) => state)).toEqual(['failed', 'taken', 'held']);
    expect(results[0].reason).toBe('no such interface: none');
    expect(taken.held).toEqual(['192.0.2.11']);
    taken.release();
    expect(host.asked.filter((line) => line.startsWith('address -'))).toHaveLength(1);
  });

  test('an interface that is down for a moment is announced on later', () => {
    const host = new Host();
    host.refuse = 'announce';
    const taken = new AddressTakeOver(host, 10_000);
    taken.take([ADDRESS]);
    expect([taken.announced, taken.unsent]).toEqual([0, 1]);
    host.refuse = null;
    vi.advanceTimersByTime(100);
    expect(taken.announced).toBe(1);
    taken.release();
  });
});

describe('subscribers', () => {
  const ALL = { device: 'core0', route: 'tun0', metric: 5, hook: ['/bin/hook', '-x'], hookTimeout: 1 };
  const ONE: Subscriber = { words: words('10.64.0.7'), length: 32 };
  const NET: Subscriber = { words: words('2001:db8:1::'), length: 56 };

  test('every way that is configured, and back', async () => {
    const host = new Host();
    const attraction = new SubscriberAttraction(host, ALL);
    expect(await attraction.attract([ONE, NET])).toEqual({ done: 2, failed: 0, reason: null });
    expect(host.asked).toEqual([
      'proxy + 10.64.0.7 5',
      'route + 10.64.0.7/32 4 5',
      'route + 2001:db8:1::/56 4 5',
      'announce core0 10.64.0.7',
      'run /bin/hook -x attract 10.64.0.7 2001:db8:1::/56',
    ]);
    expect(attraction.held).toBe(2);
    host.asked.length = 0;
    expect(await attraction.release([ONE])).toEqual({ done: 1, failed: 0, reason: null });
    expect(host.asked).toEqual([
      'proxy - 10.64.0.7 5',
      'route - 10.64.0.7/32 4 5',
      'run /bin/hook -x release 10.64.0.7',
    ]);
    await attraction.releaseAll();
    expect(attraction.held).toBe(0);
    expect(host.asked.at(-1)).toBe('run /bin/hook -x release 2001:db8:1::/56');
  });

  test('nothing configured: nothing is asked', async () => {
    const host = new Host();
    const attraction = new SubscriberAttraction(host, { ...ALL, device: null, route: null, hook: null });
    expect(attraction.idle).toBe(true);
    expect((await attraction.attract([ONE])).done).toBe(1);
    expect(host.asked).toEqual([]);
  });

  test('a release does not overtake the attraction that it takes back', async () => {
    const host = new Host();
    let go = (): void => {};
    host.runs = new Promise((resolve) => {
      go = resolve;
    });
    const attraction = new SubscriberAttraction(host, ALL);
    const attracted = attraction.attract([ONE]);
    const released = attraction.releaseAll();
    go();
    await attracted;
    await released;
    expect(host.asked.filter((line) => line.startsWith('run'))).toEqual([
      'run /bin/hook -x attract 10.64.0.7',
      'run /bin/hook -x release 10.64.0.7',
    ]);
  });

  test('one that the kernel refuses is counted, the others are done', async () => {
    const host = new Host();
    host.refuse = 'route + 10.64.0.7';
    const attraction = new SubscriberAttraction(host, ALL);
    const result = await attraction.attract([ONE, NET]);
    expect(result).toEqual({ done: 1, failed: 1, reason: 'refused: route + 10.64.0.7/32 4 5' });
    expect(attraction.failures).toBe(1);
  });

  test('many in slices: the hook never gets more than 256', async () => {
    const host = new Host();
    const attraction = new SubscriberAttraction(host, { ...ALL, route: null });
    const many = Array.from({ length: 600 }, (_, i) => ({ words: words(`10.64.${i >> 8}.${i & 255}`), length: 32 }));
    expect((await attraction.attract(many)).done).toBe(600);
    const runs = host.asked.filter((line) => line.startsWith('run')).map((line) => line.split(' ').length - 4);
    expect(runs).toEqual([256, 256, 88]);
  });
});
