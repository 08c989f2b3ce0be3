import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { parseConfig } from '../../../src/config/load.js';
import type { AnnounceConfig } from '../../../src/config/announce.js';
import type { HostRoute } from '../../../src/io/host-changes.js';
import { NetlinkRefusal } from '../../../src/io/netlink-request.js';
import { EventLog } from '../../../src/ops/events.js';
import { Announcer, ROUTE_PROTOCOL, type RouteHost } from '../../../src/roles/designator/announcer.js';
import { formatWords } from '../../../src/wire/address.js';

function configOf(announce: object): AnnounceConfig {
  const file = {
    interfaces: { outside: 'wan0', inside: 'lan0' },
    vips: [
      { name: 'access', address: '200.200.100.1', servers: [{ name: 'lns1', address: '10.10.1.1' }] },
      { name: 'access6', address: '2001:db8::100', servers: [{ name: 'lns2', address: '2001:db8:1::1' }] },
    ],
    announce: { settle: '1s', linger: '0s', ...announce },
  };
  const { config, problems } = parseConfig('test.yaml', JSON.stringify(file));
  if (config?.announce === null || config?.announce === undefined) throw new Error(JSON.stringify(problems));
  return config.announce;
}

class Kernel implements RouteHost {
  readonly routes = new Set<string>();
  refuses = false;
  device: string | null = null;

  open(device: string): Promise<number> {
    this.device = device;
    return Promise.resolve(17);
  }
  add(route: HostRoute): boolean {
    this.#check(route);
    const text = this.#text(route);
    const isNew = !this.routes.has(text);
    this.routes.add(text);
    return isNew;
  }
  remove(route: HostRoute): boolean {
    this.#check(route);
    return this.routes.delete(this.#text(route));
  }
  close(): void {
    this.device = null;
    this.routes.clear();
  }
  #check({ index, protocol, metric }: HostRoute): void {
    expect([index, protocol, metric]).toEqual([17, ROUTE_PROTOCOL, 0]);
    if (this.refuses) throw new NetlinkRefusal('route', 1, 'EPERM');
  }
  #text({ words, length, table }: HostRoute): string {
    return `${formatWords(words)}/${length} table ${table}`;
  }
}

class Scene {
  readonly kernel = new Kernel();
  readonly events = new EventLog();
  now = 100;
  reasons: string[] = [];
  insideReasons: string[] = [];
  readonly announcer: Announcer;

  constructor(announce: object = {}) {
    this.announcer = new Announcer({
      config: configOf(announce),
      host: this.kernel,
      logger: pino({ level: 'silent' }),
      events: this.events,
      reasons: () => this.reasons,
      insideReasons: () => this.insideReasons,
      now: () => this.now,
    });
  }

  after(seconds: number): string[] {
    this.now += seconds;
    this.announcer.look();
    return [...this.kernel.routes].sort();
  }
}

const VIPS = ['200.200.100.1/32 table 1701', '2001:db8::100/128 table 1701'];

describe('routes of a designator', () => {
  test('stand once it has been able for a while, and go at once when it is not', async () => {
    const scene = new Scene();
    expect(scene.after(10)).toEqual([]);
    await scene.announcer.start();
    expect(scene.kernel.device).toBe('designator0');
    expect(scene.after(0)).toEqual([]);
    expect(scene.after(0.9)).toEqual([]);
    expect(scene.after(0.2)).toEqual(VIPS);
    expect(scene.announcer.announced()).toEqual(['200.200.100.1/32', '2001:db8::100/128']);
    scene.reasons = ['lan0 is down', 'no server takes tunnels'];
    expect(scene.after(0)).toEqual([]);
    scene.reasons = [];
    expect(scene.after(0.5)).toEqual([]);
    scene.reasons = ['lan0 is down'];
    expect(scene.after(0.2)).toEqual([]);
    scene.reasons = [];
    expect(scene.after(0.9)).toEqual([]);
    expect(scene.after(1)).toEqual(VIPS);
    const said = scene.events.recent().map(({ type, what, reason }) => [type, what, reason]);
    expect(said).toEqual([
      ['announced', 'put', undefined],
      ['announced', 'withdrawn', 'lan0 is down; no server takes tunnels'],
      ['announced', 'put', undefined],
    ]);
  });

  test('to the inside depend on the way out alone', async () => {
    const scene = new Scene({ addresses: ['200.200.100.1'], inside: ['0.0.0.0/0', '2001:db8:f::/48'], settle: '0s' });
    await scene.announcer.start();
    scene.reasons = ['no server takes tunnels'];
    const inside = ['0.0.0.0/0 table 1702', '2001:db8:f::/48 table 1702'];
    expect(scene.after(0)).toEqual(inside);
    scene.reasons = [];
    expect(scene.after(0)).toEqual([...inside, VIPS[0]].sort());
    scene.reasons = scene.insideReasons = ['wan0 is down'];
    expect(scene.after(0)).toEqual([]);
  });

  test('that somebody takes away come again', async () => {
    const scene = new Scene({ settle: '0s' });
    await scene.announcer.start();
    expect(scene.after(0)).toEqual(VIPS);
    scene.kernel.routes.delete(VIPS[0]);
    expect(scene.after(1)).toEqual([VIPS[1]]);
    expect(scene.after(5)).toEqual(VIPS);
    expect(scene.announcer.counters).toMatchObject({ put: 1, restored: 1 });
  });

  test('that the kernel refuses are tried again, and nothing is said to stand that does not', async () => {
    const scene = new Scene({ settle: '0s' });
    await scene.announcer.start();
    scene.kernel.refuses = true;
    scene.after(0);
    expect(scene.announcer.announced()).toEqual([]);
    scene.kernel.refuses = false;
    expect(scene.after(0.2)).toEqual(VIPS);
    scene.kernel.refuses = true;
    scene.reasons = ['lan0 is down'];
    expect(scene.after(0.2)).toEqual(VIPS);
    expect(scene.announcer.announced()).toHaveLength(2);
    scene.kernel.refuses = false;
    expect(scene.after(0.2)).toEqual([]);
    expect(scene.announcer.announced()).toEqual([]);
  });

  test('are gone before anything else ends, and stay gone', async () => {
    const scene = new Scene({ settle: '0s' });
    await scene.announcer.start();
    scene.after(0);
    await scene.announcer.retreat();
    expect(scene.after(10)).toEqual([]);
    expect(scene.events.recent().at(-1)).toMatchObject({ what: 'withdrawn', reason: 'this designator ends' });
    scene.announcer.close();
    expect(scene.kernel.device).toBeNull();
  });
});
