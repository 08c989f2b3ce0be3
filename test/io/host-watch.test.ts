/** The watch of the host, asked of a kernel that is the test's: links, routes, addresses, and that a change is told. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { HostWatch } from '../../src/io/host-watch.js';
import type { NativeAddon, NetlinkSocket } from '../../src/io/native.js';
import { address, attribute, done, hop, link, message, number, refusal, route } from '../helpers/netlink-builder.js';

const [NEWLINK, DELLINK, GETLINK, NEWADDR, GETADDR, NEWROUTE, GETROUTE] = [16, 17, 18, 20, 22, 24, 26];
const ENODEV = 19;
const DEFAULT = { words: [0, 0, 0xffff, 0], length: 96 };
const TEN = { words: [0, 0, 0xffff, 0x0a000000], length: 104 };
const DEFAULT6 = { words: [0, 0, 0, 0], length: 0 };

/** Answers requests as rtnetlink does; what it knows is plain to see. */
class Kernel {
  links = new Map<string, Uint8Array>();
  routes: Uint8Array[] = [];
  addresses: Uint8Array[] = [];
  monitors: FakeSocket[] = [];
  open = 0;
  dumps = 0;
  asked = 0;
  /** The next dump is refused with this. */
  errno = 0;

  answer(request: Uint8Array): Uint8Array[] {
    const view = new DataView(request.buffer, request.byteOffset, request.byteLength);
    const [type, sequence] = [view.getUint16(4, true), view.getUint32(8, true)];
    if (type === GETLINK) {
      this.asked++;
      const name = Buffer.from(request.subarray(16 + 16 + 4))
        .toString()
        .replace(/\0.*/s, '');
      const found = this.links.get(name);
      return [found === undefined ? refusal(sequence, ENODEV) : message(NEWLINK, found, 0, sequence)];
    }
    this.dumps++;
    if (this.errno !== 0) {
      const { errno } = this;
      this.errno = 0;
      return [refusal(sequence, errno)];
    }
    const [kind, all] = type === GETROUTE ? [NEWROUTE, this.routes] : [NEWADDR, this.addresses];
    expect([GETROUTE, GETADDR]).toContain(type);
    return [...all.map((body) => message(kind, body, 2, sequence)), done(sequence)];
  }

  /** What a monitor hears. */
  tell(body: Uint8Array | Error, type = NEWLINK): void {
    for (const monitor of this.monitors) monitor.hear(body instanceof Error ? body : message(type, body, 0, 0));
  }
}

class FakeSocket {
  readonly queue: (Uint8Array | Error)[] = [];

  constructor(
    readonly kernel: Kernel,
    groups: number,
    readonly readable: () => void,
  ) {
    kernel.open++;
    if (groups !== 0) kernel.monitors.push(this);
  }
  send(request: Uint8Array): void {
    this.queue.push(...this.kernel.answer(request));
    setImmediate(() => this.readable());
  }
  hear(what: Uint8Array | Error): void {
    this.queue.push(what);
    this.readable();
  }
  receive(): Uint8Array | null {
    const next = this.queue.shift() ?? null;
    if (next instanceof Error) throw next;
    return next;
  }
  close(): void {
    this.kernel.open--;
  }
}

let kernel: Kernel;
let watch: HostWatch;
let changes = 0;
beforeEach(() => {
  kernel = new Kernel();
  changes = 0;
  const NetlinkSocket = function (_protocol: number, groups: number, readable: () => void): NetlinkSocket {
    return new FakeSocket(kernel, groups, readable) as unknown as NetlinkSocket;
  } as unknown as NativeAddon['NetlinkSocket'];
  watch = new HostWatch({ NetlinkSocket }, () => changes++);
});
afterEach(() => vi.useRealTimers());

test('an interface is up when it is there, up, and has a carrier', () => {
  kernel.links.set('eth1', link(3, 'eth1'));
  kernel.links.set('eth2', link(4, 'eth2', { up: false }));
  const states = () => ['eth1', 'eth2', 'eth3'].map((device) => watch.interfaceUp(device));
  expect(states()).toEqual([true, false, false]);
  // From here on the kernel tells, and is not asked.
  expect([states(), kernel.asked]).toEqual([[true, false, false], 3]);
  kernel.tell(link(3, 'eth1', { up: false }));
  kernel.tell(link(4, 'eth2'));
  kernel.tell(link(5, 'eth3'));
  expect([states(), kernel.asked]).toEqual([[false, true, true], 3]);
  kernel.tell(link(5, 'eth3'), DELLINK);
  expect([states(), kernel.asked]).toEqual([[false, true, false], 3]);
});

test('an interface with another name, one that left a bridge and lost messages are asked for again', () => {
  kernel.links.set('eth1', link(3, 'eth1'));
  expect(watch.interfaceUp('eth1')).toBe(true);
  kernel.tell(link(3, 'eth1'));
  kernel.links.delete('eth1');
  kernel.tell(link(3, 'wan'));
  expect(watch.interfaceUp('eth1')).toBe(false);
  kernel.links.set('eth1', link(3, 'eth1'));
  kernel.tell(new Error('ENOBUFS'));
  expect(watch.interfaceUp('eth1')).toBe(true);
  const left = link(3, 'eth1');
  left[0] = 7; // AF_BRIDGE
  const { asked } = kernel;
  kernel.tell(left, DELLINK);
  expect([watch.interfaceUp('eth1'), kernel.asked]).toEqual([true, asked + 1]);
});

test('routes are read again only after a change, and not kept when something changes meanwhile', async () => {
  expect(await watch.routesTo([DEFAULT])).toEqual([false]);
  expect(await watch.routesTo([DEFAULT])).toEqual([false]);
  expect(kernel.dumps).toBe(1);
  kernel.routes = [route({ length: 0, attributes: [number(4, 3)] })];
  kernel.tell(link(3, 'eth1'));
  const asked = watch.routesTo([DEFAULT]);
  kernel.tell(link(3, 'eth1'));
  expect(await asked).toEqual([true]);
  const { dumps } = kernel;
  expect(await watch.routesTo([DEFAULT])).toEqual([true]);
  expect(await watch.routesTo([DEFAULT])).toEqual([true]);
  expect(kernel.dumps).toBe(dumps + 1);
});

test('a route counts by its exact prefix, in the main table, when it leads somewhere', async () => {
  const out = [number(4, 3)];
  kernel.routes = [
    route({ length: 0, attributes: out }),
    route({ length: 8, destination: [10, 0, 0, 0], table: 100, attributes: out }),
    route({ length: 16, destination: [10, 0, 0, 0], attributes: out }),
    route({ length: 8, destination: [10, 0, 0, 0], type: 7 }),
    route({ family: 10, length: 0, flags: 1, attributes: out }),
  ];
  expect(await watch.routesTo([DEFAULT, TEN, DEFAULT6])).toEqual([true, false, false]);
  kernel.routes = [
    route({ length: 8, destination: [10, 0, 0, 0], attributes: [attribute(9, hop(3, []))] }),
    route({ family: 10, length: 0, attributes: out }),
  ];
  kernel.tell(link(3, 'eth1'));
  expect(await watch.routesTo([DEFAULT, TEN, DEFAULT6])).toEqual([false, true, true]);
});

test('questions that are asked at one time are answered one after the other', async () => {
  kernel.routes = [route({ length: 0, attributes: [number(4, 3)] })];
  kernel.addresses = [
    address(2, [attribute(2, [10, 7, 0, 1])]),
    address(3, [attribute(2, [10, 6, 0, 1])]),
    address(2, [attribute(1, [0xfe, 0x80, ...new Array(13).fill(0), 1])], 10),
  ];
  const [first, second, mine] = await Promise.all([
    watch.routesTo([DEFAULT]),
    watch.routesTo([TEN]),
    watch.addressesOf(2),
  ]);
  expect([first, second]).toEqual([[true], [false]]);
  expect(mine).toEqual([
    [0, 0, 0xffff, 0x0a070001],
    [0xfe800000, 0, 0, 1],
  ]);
  expect(kernel.dumps).toBe(3);
});

test('a kernel that refuses is an error of that question alone', async () => {
  kernel.errno = 12;
  await expect(watch.routesTo([DEFAULT])).rejects.toMatchObject({ code: 'TD_UNAVAILABLE' });
  expect(await watch.routesTo([DEFAULT])).toEqual([false]);
});

test('a swarm of changes is told once, soon; lost messages are a change; after the end nothing is told', () => {
  vi.useFakeTimers();
  for (let n = 0; n < 50; n++) kernel.tell(link(3, 'eth1'));
  expect(changes).toBe(0);
  vi.advanceTimersByTime(20);
  expect(changes).toBe(1);
  kernel.tell(new Error('ENOBUFS'));
  vi.advanceTimersByTime(20);
  expect(changes).toBe(2);
  kernel.tell(link(3, 'eth1'));
  watch.close();
  vi.advanceTimersByTime(1000);
  expect([changes, kernel.open]).toEqual([2, 0]);
});
