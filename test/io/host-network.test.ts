/** HostNetwork over a made-up kernel: what a real one does rarely. The rest is in test/e2e/host-network.test.ts. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { RouteSnapshot } from '../../src/flow/route-table.js';
import { HostNetwork, type HostNetworkOptions, type LinkFacts, type Neighbour } from '../../src/io/host-network.js';
import type { NetlinkSocket } from '../../src/io/native.js';
import * as build from '../helpers/netlink-builder.js';

const MAC = [2, 0, 0, 0, 0, 9];
const INTERRUPTED = 0x10;

class FakeSocket implements NetlinkSocket {
  readonly queue: (Uint8Array | Error)[] = [];
  closed = false;

  constructor(
    readonly kernel: FakeKernel,
    readonly monitor: boolean,
    readonly onReadable: () => void,
  ) {}

  send(message: Uint8Array): void {
    this.kernel.asked(this, message);
  }

  receive(): Uint8Array | null {
    const next = this.closed ? undefined : this.queue.shift();
    if (next instanceof Error) throw next;
    return next ?? null;
  }

  put(...items: (Uint8Array | Error)[]): void {
    this.queue.push(...items);
    this.onReadable();
  }

  close(): void {
    this.closed = true;
  }
}

/** Answers dumps out of its tables; `before` may disturb an answer. */
class FakeKernel {
  readonly sockets: FakeSocket[] = [];
  links = [build.link(2, 'wan0'), build.link(3, 'lan0')];
  routes = [build.route({ length: 8, destination: [10, 0, 0, 0], attributes: [build.number(4, 3)] })];
  neighbours = [build.neighbour(3, [10, 0, 0, 1], MAC)];
  readonly requests: { type: number; family: number }[] = [];
  readonly used: Uint8Array[] = [];
  before: ((type: number, sequence: number) => Uint8Array[] | null) | null = null;
  /** It is slow, and as a real one busy meanwhile: another dump on the same socket is refused (EBUSY). */
  delayMs = 0;
  #busy = false;

  readonly open = (_protocol: number, groups: number, onReadable: () => void): NetlinkSocket => {
    const socket = new FakeSocket(this, groups !== 0, onReadable);
    this.sockets.push(socket);
    return socket;
  };

  get monitor(): FakeSocket {
    return this.sockets.find(({ monitor }) => monitor) as FakeSocket;
  }

  asked(socket: FakeSocket, message: Uint8Array): void {
    const view = new DataView(message.buffer, message.byteOffset);
    const type = view.getUint16(4, true);
    const sequence = view.getUint32(8, true);
    const family = message[16];
    if (type === 28) {
      this.used.push(message);
      return;
    }
    this.requests.push({ type, family });
    const special = this.before?.(type, sequence) ?? null;
    const reply = (kind: number, bodies: readonly Uint8Array[]): Uint8Array[] =>
      bodies.map((body) => build.message(kind, body, 2, sequence));
    const answer =
      type === 18
        ? reply(16, this.links)
        : type === 26 && family === 2
          ? reply(24, this.routes)
          : type === 30
            ? reply(28, this.neighbours)
            : [];
    const put = (): void => {
      this.#busy = false;
      socket.put(...(special ?? [...answer, build.done(sequence)]));
    };
    if (this.#busy) return void setImmediate(() => socket.put(build.refusal(sequence, 16)));
    this.#busy = true;
    if (this.delayMs === 0) setImmediate(put);
    else setTimeout(put, this.delayMs);
  }
}

const open: HostNetwork[] = [];
afterEach(() => {
  for (const network of open.splice(0)) network.stop();
});

function make(kernel: FakeKernel, options: Partial<HostNetworkOptions> = {}) {
  const logger = { info: vi.fn(), warn: vi.fn(), error: vi.fn() };
  const network = new HostNetwork({
    outside: { name: 'wan0', device: 'wan0', vlan: 0 },
    inside: { name: 'lan0', device: 'lan0', vlan: 0 },
    logger,
    openNetlink: kernel.open,
    ...options,
  });
  open.push(network);
  const routes: RouteSnapshot[] = [];
  const neighbours: Neighbour[] = [];
  const links: LinkFacts[] = [];
  network.on('routes', (snapshot) => routes.push(snapshot));
  network.on('neighbour', (neighbour) => neighbours.push(neighbour));
  network.on('link', (link) => links.push(link));
  return { network, logger, routes, neighbours, links };
}

describe('dumps', () => {
  test('that a change disturbed are asked for again, and only the second answer counts', async () => {
    const kernel = new FakeKernel();
    const { network, routes } = make(kernel);
    let disturbed = 0;
    kernel.before = (type, sequence) => {
      if (type !== 26 || disturbed++ > 0) return null;
      return [build.message(24, kernel.routes[0], 2 | INTERRUPTED, sequence), build.done(sequence, 2 | INTERRUPTED)];
    };
    await network.start();
    expect(disturbed).toBeGreaterThan(1);
    expect(routes.length).toBe(1);
    expect(routes[0].lengths.length).toBe(1);
  });

  test('that the kernel is too busy for are asked for again, and not for ever', async () => {
    const kernel = new FakeKernel();
    const { network, routes } = make(kernel);
    let refused = 0;
    kernel.before = (type, sequence) => (type === 26 && refused++ < 2 ? [build.refusal(sequence, 16)] : null);
    await network.start();
    expect(routes.length).toBe(1);
    kernel.before = (type, sequence) => (type === 26 ? [build.refusal(sequence, 16)] : null);
    await expect(make(kernel).network.start()).rejects.toMatchObject({ context: { errno: 16 } });
  });

  test('at the start are not disturbed by changes that come meanwhile: those are read afterwards', async () => {
    const kernel = new FakeKernel();
    const { network, routes, logger } = make(kernel);
    kernel.delayMs = 40;
    const started = network.start();
    kernel.monitor.put(build.message(24, kernel.routes[0]));
    await started;
    kernel.monitor.put(build.message(24, kernel.routes[0]));
    await vi.waitFor(() => expect(routes.length).toBeGreaterThan(1), 5000);
    expect(logger.error).not.toHaveBeenCalled();
  });

  test('that are disturbed for ever are taken as they are', async () => {
    const kernel = new FakeKernel();
    const { network, routes } = make(kernel);
    kernel.before = (type, sequence) =>
      type === 26
        ? [build.message(24, kernel.routes[0], 2 | INTERRUPTED, sequence), build.done(sequence, 2 | INTERRUPTED)]
        : null;
    await network.start();
    expect(routes.length).toBe(1);
  });

  test('that the kernel refuses are an error, and nothing stays open', async () => {
    const kernel = new FakeKernel();
    const { network } = make(kernel);
    kernel.before = (type, sequence) => (type === 26 ? [build.refusal(sequence, 12)] : null);
    await expect(network.start()).rejects.toMatchObject({ code: 'TD_UNAVAILABLE', context: { errno: 12 } });
    expect(kernel.sockets.every(({ closed }) => closed)).toBe(true);
  });

  test("answers to nobody's question are not counted", async () => {
    const kernel = new FakeKernel();
    const { network, routes } = make(kernel);
    kernel.before = (type, sequence) =>
      type === 26
        ? [
            build.message(24, kernel.routes[0], 2, sequence + 1000),
            build.refusal(sequence + 1000, 1),
            build.done(sequence),
          ]
        : null;
    await network.start();
    expect(routes[0].lengths.length).toBe(0);
  });

  test('a silent kernel is an error in the end', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const kernel = new FakeKernel();
      const { network } = make(kernel);
      kernel.before = () => [];
      const failed = expect(network.start()).rejects.toMatchObject({ code: 'TD_UNAVAILABLE' });
      await vi.advanceTimersByTimeAsync(10_000);
      await failed;
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('changes', () => {
  test('lost messages (ENOBUFS) make everything be read again', async () => {
    const kernel = new FakeKernel();
    const { network, routes, neighbours } = make(kernel);
    await network.start();
    kernel.routes.push(build.route({ length: 16, destination: [10, 9, 0, 0], attributes: [build.number(4, 2)] }));
    kernel.neighbours = [];
    kernel.monitor.put(Object.assign(new Error('recv'), { code: 'ENOBUFS' }));
    await vi.waitFor(() => expect(routes.length).toBe(2), 10_000);
    expect(routes[1].lengths.length).toBe(2);
    expect(neighbours.at(-1)).toMatchObject({ port: 1, mac: null });
    expect(network.neighbours()).toEqual([]);
  });

  test('a message that comes during a dump is newer than the dump', async () => {
    const kernel = new FakeKernel();
    const { network } = make(kernel);
    kernel.before = (type) => {
      if (type === 30) kernel.monitor.put(build.message(28, build.neighbour(3, [10, 0, 0, 1], [2, 0, 0, 0, 0, 77])));
      return null;
    };
    await network.start();
    expect(network.neighbours().map(({ mac }) => mac)).toEqual([Uint8Array.of(2, 0, 0, 0, 0, 77)]);
  });

  test("routes of other tables, and neighbours of other interfaces, are nobody's news", async () => {
    const kernel = new FakeKernel();
    const { network, neighbours } = make(kernel);
    await network.start();
    const told = neighbours.length;
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const routeIn = (table: number): Uint8Array =>
        build.message(
          24,
          build.route({ table, length: 8, destination: [10, 0, 0, 0], attributes: [build.number(4, 3)] }),
        );
      kernel.monitor.put(
        routeIn(255),
        build.message(28, build.neighbour(9, [10, 0, 0, 1], MAC)),
        build.message(28, build.neighbour(3, [10, 0, 0, 44], null, 0x20)),
      );
      expect(neighbours.length).toBe(told);
      expect(vi.getTimerCount()).toBe(0); // nothing will be read again
      kernel.monitor.put(routeIn(254));
      expect(vi.getTimerCount()).toBe(1);
    } finally {
      vi.useRealTimers();
    }
  });

  test('another device under the same name: its neighbours are others', async () => {
    const kernel = new FakeKernel();
    const { network, neighbours, links } = make(kernel);
    await network.start();
    kernel.links = [build.link(2, 'wan0'), build.link(7, 'lan0', { mac: [2, 0, 0, 0, 0, 7] })];
    kernel.neighbours = [];
    kernel.monitor.put(build.message(16, kernel.links[1]));
    await vi.waitFor(() => expect(links.length).toBe(1), 10_000);
    expect(links[0]).toMatchObject({ port: 1, name: 'lan0', up: true, mac: '02:00:00:00:00:07' });
    expect(neighbours.at(-1)).toMatchObject({ port: 1, mac: null });
  });

  test('after stop nothing is told', async () => {
    const kernel = new FakeKernel();
    const { network, routes, neighbours } = make(kernel);
    await network.start();
    const told = [routes.length, neighbours.length];
    kernel.monitor.queue.push(build.message(28, build.neighbour(3, [10, 0, 0, 45], MAC)));
    network.stop();
    kernel.monitor.onReadable();
    network.resolve(1, [0, 0, 0xffff, 0x0a000001]);
    expect([routes.length, neighbours.length]).toEqual(told);
    expect(kernel.used).toEqual([]);
  });
});

describe('resolving', () => {
  test('the kernel is asked, and what it knows is told at once', async () => {
    const kernel = new FakeKernel();
    const { network, neighbours } = make(kernel);
    await network.start();
    neighbours.length = 0;
    network.resolve(1, [0, 0, 0xffff, 0x0a000001]);
    expect(neighbours).toEqual([{ port: 1, words: [0, 0, 0xffff, 0x0a000001], mac: Uint8Array.from(MAC) }]);
    network.resolve(1, [0, 0, -1 & 0xffff, 0xc0000201 | 0]); // signed words, as an Int32Array gives them
    expect(neighbours.length).toBe(1);
    expect(kernel.used.map((message) => [...message.subarray(20, 24), ...message.subarray(32)])).toEqual([
      [3, 0, 0, 0, 10, 0, 0, 1],
      [3, 0, 0, 0, 192, 0, 2, 1],
    ]);
  });

  test('on a VLAN without a device the host cannot, and is not asked', async () => {
    const kernel = new FakeKernel();
    const { network } = make(kernel, { inside: { name: 'lan0.200', device: 'lan0', vlan: 200 } });
    await network.start();
    expect([network.needsOwnResolution(0), network.needsOwnResolution(1)]).toEqual([false, true]);
    network.resolve(1, [0, 0, 0xffff, 0x0a000001]);
    expect(kernel.used).toEqual([]);
    network.resolve(0, [0, 0, 0xffff, 0x0a000001]);
    expect(kernel.used.length).toBe(1);
  });

  describe('two VLANs of one parent', () => {
    const sides = {
      outside: { name: 'lan0.100', device: 'lan0', vlan: 100 },
      inside: { name: 'lan0.200', device: 'lan0', vlan: 200 },
    };
    const SERVER: [number, number, number, number] = [0, 0, 0xffff, 0x0a000005];

    test('without devices: the servers are inside, and a new one brings a new snapshot', async () => {
      const { network, routes } = make(new FakeKernel(), sides);
      network.setServers([SERVER]);
      await network.start();
      expect([...routes[0].ports]).toEqual([1, 0]);
      expect([...routes[0].lengths]).toEqual([128, 104]);
      network.setServers([SERVER, [0, 0, 0xffff, 0x0a000006]]);
      await vi.waitFor(() => expect([...routes.at(-1)!.ports]).toEqual([1, 1, 0]));
      expect([network.needsOwnResolution(0), network.needsOwnResolution(1)]).toEqual([true, true]);
    });

    test("with devices: the host's routes tell", async () => {
      const kernel = new FakeKernel();
      kernel.links.push(build.link(4, 'lan0.100'), build.link(5, 'lan0.200'));
      const { network, routes } = make(kernel, sides);
      network.setServers([SERVER]);
      await network.start();
      expect([...routes[0].ports]).toEqual([255]); // the route is the parent's
    });
  });

  test("with its device the VLAN is the host's", async () => {
    const kernel = new FakeKernel();
    kernel.links.push(build.link(4, 'lan0.200'));
    kernel.neighbours = [build.neighbour(3, [10, 0, 0, 1], MAC), build.neighbour(4, [10, 0, 0, 2], MAC)];
    const { network } = make(kernel, { inside: { name: 'lan0.200', device: 'lan0', vlan: 200 } });
    await network.start();
    expect(network.needsOwnResolution(1)).toBe(false);
    expect(network.neighbours().map(({ words }) => words[3])).toEqual([0x0a000002]);
  });

  test('a link that is down is not asked through', async () => {
    const kernel = new FakeKernel();
    kernel.links = [build.link(2, 'wan0'), build.link(3, 'lan0', { up: false })];
    const { network, logger } = make(kernel);
    await network.start();
    expect(logger.warn).toHaveBeenCalledWith({ interface: 'lan0' }, 'the interface is down');
    network.resolve(1, [0, 0, 0xffff, 0x0a000063]);
    expect(kernel.used).toEqual([]);
  });
});
