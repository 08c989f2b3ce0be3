/** Routes, neighbours and links of a real kernel, as HostNetwork tells them. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

const ROUTER = `hn${process.pid}r`;
const PEERS = `hn${process.pid}p`;
const CHILD = path.resolve(import.meta.dirname, '../helpers/host-network-child.ts');
const PATIENCE_MS = 30_000;
const OUTSIDE_PEER_MAC = '020000000201';

interface Event {
  what: string;
  [key: string]: unknown;
}
interface Row {
  prefix: string;
  port: number;
  gateway: string;
}

const run = (command: string): string => execFileSync('ip', command.split(' '), { encoding: 'utf8', stdio: 'pipe' });
const router = (command: string): string => run(`-n ${ROUTER} ${command}`);
const peers = (command: string): string => run(`-n ${PEERS} ${command}`);

/** A running HostNetwork; `until` looks at events from where the last look ended. */
class Follower {
  readonly events: Event[] = [];
  readonly #child: ChildProcess;
  #seen = 0;
  #wake: () => void = () => {};
  #complaint = '';
  #ended = false;

  constructor(outside: string, inside: string) {
    const words = ['netns', 'exec', ROUTER, process.execPath, '--import', 'tsx', CHILD, outside, inside];
    this.#child = spawn('ip', words, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child.stderr?.on('data', (text: Buffer) => {
      this.#complaint += text.toString();
    });
    this.#child.on('close', () => {
      this.#ended = true;
      this.#wake();
    });
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      this.events.push(JSON.parse(line) as Event);
      this.#wake();
    });
  }

  say(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  async until(what: string, test: (event: Event) => boolean = () => true): Promise<Event> {
    const end = performance.now() + PATIENCE_MS;
    for (;;) {
      while (this.#seen < this.events.length) {
        const event = this.events[this.#seen++];
        if (event.what === what && test(event)) return event;
      }
      const left = end - performance.now();
      if (left <= 0 || this.#ended) {
        throw new Error(`no ${what} as awaited; ${this.#complaint}\n${JSON.stringify(this.events).slice(-3000)}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** A snapshot that has, or has not, a row. */
  async routes(test: (rows: readonly Row[]) => boolean): Promise<readonly Row[]> {
    return (await this.until('routes', (event) => test(event.rows as Row[]))).rows as Row[];
  }

  /** Ends by itself: the process must not be kept alive once it is stopped. */
  async stop(): Promise<void> {
    if (this.#ended) return;
    const closed = new Promise((resolve) => this.#child.on('close', resolve));
    this.say('stop');
    await closed;
  }
}

const row = (rows: readonly Row[], prefix: string): Row | undefined => rows.find((one) => one.prefix === prefix);

let follower: Follower | null = null;
async function follow(outside = 'wan0', inside = 'lan0'): Promise<Follower> {
  follower = new Follower(outside, inside);
  await follower.until('started');
  return follower;
}
/** The first snapshot came before start() resolved. */
function firstRoutes(of: Follower): readonly Row[] {
  const names = of.events.map(({ what }) => what);
  expect(names.indexOf('routes')).toBeGreaterThanOrEqual(0);
  expect(names.indexOf('routes')).toBeLessThan(names.indexOf('started'));
  return of.events.find(({ what }) => what === 'routes')?.rows as Row[];
}

beforeAll(() => {
  run(`netns add ${ROUTER}`);
  run(`netns add ${PEERS}`);
  for (const [device, peer, mac] of [
    ['wan0', 'c0', '02:00:00:00:02:01'],
    ['lan0', 's0', '02:00:00:00:02:02'],
    ['eth9', 'x0', '02:00:00:00:02:03'],
  ]) {
    run(`link add ${device} netns ${ROUTER} type veth peer name ${peer} netns ${PEERS} address ${mac}`);
    router(`link set ${device} up`);
    peers(`link set ${peer} up`);
  }
  run(`netns exec ${PEERS} sysctl -qw net.ipv4.conf.all.arp_ignore=1`);
  router('addr add 198.51.100.1/24 dev wan0');
  router('addr add 10.0.0.1/24 dev lan0');
  router('addr add 192.0.2.1/24 dev eth9');
  router('addr add 2001:db8:2::1/64 dev lan0 nodad');
  peers('addr add 198.51.100.2/24 dev c0');
  peers('addr add 10.0.0.10/24 dev s0');
  peers('addr add 2001:db8:2::10/64 dev s0 nodad');
});
afterEach(async () => {
  await follower?.stop();
  follower = null;
});
afterAll(() => {
  for (const name of [ROUTER, PEERS]) run(`netns del ${name}`);
});

describe('routes', () => {
  test('of both families, with ports, gateways and metrics', async () => {
    router('route add default via 198.51.100.2');
    router('route add 10.2.0.0/16 via 10.0.0.10 metric 20');
    router('route add 10.2.0.0/16 via 198.51.100.2 metric 10');
    router('route add 10.3.0.0/16 via 192.0.2.9');
    router('route add blackhole 10.4.0.0/16');
    router('route add unreachable 10.5.0.0/16');
    router('route add 10.6.0.0/16 nexthop via 192.0.2.9 nexthop via 10.0.0.10');
    router('route add 10.7.0.0/16 via inet6 2001:db8:2::10 dev lan0');
    router('route add 10.8.0.0/16 via 10.0.0.10 table 100');
    router('route add 2001:db8:9::/48 via 2001:db8:2::10');
    const rows = firstRoutes(await follow());
    expect(row(rows, '0.0.0.0/96')).toMatchObject({ port: 0, gateway: '198.51.100.2' });
    expect(row(rows, '198.51.100.0/120')).toMatchObject({ port: 0, gateway: '::' });
    expect(row(rows, '10.0.0.0/120')).toMatchObject({ port: 1, gateway: '::' });
    expect(row(rows, '10.2.0.0/112')).toMatchObject({ port: 0, gateway: '198.51.100.2' });
    expect(row(rows, '10.3.0.0/112')).toMatchObject({ port: 255 });
    expect(row(rows, '10.4.0.0/112')).toMatchObject({ port: 254 });
    expect(row(rows, '10.5.0.0/112')).toMatchObject({ port: 254 });
    expect(row(rows, '10.6.0.0/112')).toMatchObject({ port: 1, gateway: '10.0.0.10' });
    expect(row(rows, '10.7.0.0/112')).toMatchObject({ port: 1, gateway: '2001:db8:2::10' });
    expect(row(rows, '10.8.0.0/112')).toBeUndefined();
    expect(row(rows, '2001:db8:2::/64')).toMatchObject({ port: 1, gateway: '::' });
    expect(row(rows, '2001:db8:9::/48')).toMatchObject({ port: 1, gateway: '2001:db8:2::10' });
    expect(rows.some(({ prefix }) => prefix === '10.0.0.1/128')).toBe(false); // the local table
  });

  test('are told again when they change', async () => {
    const one = await follow();
    router('route add 10.20.0.0/16 via 10.0.0.10');
    await one.routes((rows) => row(rows, '10.20.0.0/112')?.port === 1);
    router('route replace 10.20.0.0/16 via 198.51.100.2');
    await one.routes((rows) => row(rows, '10.20.0.0/112')?.port === 0);
    router('route del 10.20.0.0/16');
    await one.routes((rows) => row(rows, '10.20.0.0/112') === undefined);
  });

  test('that vanish with their link without a word are noticed', async () => {
    const one = await follow();
    router('link set eth9 down');
    await one.routes((rows) => row(rows, '192.0.2.0/120') === undefined && row(rows, '10.3.0.0/112') === undefined);
    router('link set eth9 up');
    await one.routes((rows) => row(rows, '192.0.2.0/120')?.port === 255);
  });

  test('many at once make few snapshots', async () => {
    const one = await follow();
    const before = one.events.length;
    const batch = Array.from(
      { length: 2000 },
      (_, i) => `route add 172.${16 + (i >> 8)}.${i & 255}.0/24 via 10.0.0.10\n`,
    ).join('');
    execFileSync('ip', ['-n', ROUTER, '-batch', '-'], { input: batch });
    const rows = await one.routes((all) => row(all, '172.23.207.0/120') !== undefined);
    expect(rows.filter(({ prefix }) => prefix.startsWith('172.')).length).toBe(2000);
    const snapshots = one.events.slice(before).filter(({ what }) => what === 'routes').length;
    expect(snapshots).toBeLessThan(200);
    router('route flush via 10.0.0.10');
  });

  test('with one arm everything is port 0', async () => {
    const rows = firstRoutes(await follow('lan0', 'lan0'));
    expect(row(rows, '10.0.0.0/120')).toMatchObject({ port: 0 });
    expect(row(rows, '198.51.100.0/120')).toMatchObject({ port: 255 });
  });
});

describe('neighbours', () => {
  test('are resolved on request, told at once when known, and given up when they are gone', async () => {
    const one = await follow();
    one.say('resolve 0 198.51.100.2');
    expect(await one.until('neighbour', ({ mac }) => mac !== null)).toMatchObject({
      port: 0,
      address: '198.51.100.2',
      mac: OUTSIDE_PEER_MAC,
    });
    one.say('neighbours');
    expect((await one.until('neighbours')).rows).toContainEqual({
      port: 0,
      address: '198.51.100.2',
      mac: OUTSIDE_PEER_MAC,
    });
    one.say('resolve 0 198.51.100.2');
    await one.until('neighbour', ({ mac }) => mac === OUTSIDE_PEER_MAC);
    router('neigh replace 198.51.100.2 lladdr 02:00:00:00:09:09 dev wan0 nud permanent');
    await one.until('neighbour', ({ mac }) => mac === '020000000909');
    router('neigh del 198.51.100.2 dev wan0');
    await one.until('neighbour', ({ mac, address }) => mac === null && address === '198.51.100.2');
  });

  test('over IPv6, and those that were there before', async () => {
    router('neigh replace 2001:db8:2::77 lladdr 02:00:00:00:07:07 dev lan0 nud permanent');
    const one = await follow();
    expect(one.events).toContainEqual({ what: 'neighbour', port: 1, address: '2001:db8:2::77', mac: '020000000707' });
    one.say('resolve 1 2001:db8:2::10');
    await one.until('neighbour', ({ address, mac }) => address === '2001:db8:2::10' && mac === '020000000202');
    one.say('addresses');
    expect((await one.until('addresses')).rows).toContain('1 2001:db8:2::1');
  });
});

describe('links', () => {
  test('changes are told; an interface that is down is a warning, not an error', async () => {
    router('link set wan0 down');
    const one = await follow();
    expect(one.events).toContainEqual({ what: 'log', level: 'warn', message: 'the interface is down' });
    router('link set wan0 up');
    await one.until('link', ({ port, up }) => port === 0 && up === true);
    router('link set wan0 mtu 1400');
    await one.until('link', ({ mtu }) => mtu === 1400);
    router('link set wan0 address 02:00:00:00:05:05');
    await one.until('link', ({ mac }) => mac === '02:00:00:00:05:05');
  });

  test('an interface that goes and comes back has its routes again', async () => {
    const one = await follow();
    router('link del wan0');
    await one.until('link', ({ port, up }) => port === 0 && up === false);
    run(`link add wan0 netns ${ROUTER} type veth peer name c0 netns ${PEERS} address 02:00:00:00:02:01`);
    peers('link set c0 up');
    peers('addr add 198.51.100.2/24 dev c0');
    router('link set wan0 up');
    router('addr add 198.51.100.1/24 dev wan0');
    await one.routes((rows) => row(rows, '198.51.100.0/120')?.port === 0);
    one.say('resolve 0 198.51.100.2');
    await one.until('neighbour', ({ mac }) => mac === OUTSIDE_PEER_MAC);
  });

  test('a VLAN without a device has the routes of its parent, and asks by itself', async () => {
    const one = await follow('wan0.100', 'lan0');
    expect(one.events.find(({ what }) => what === 'started')?.own).toEqual([true, false]);
    expect(row(firstRoutes(one), '198.51.100.0/120')).toMatchObject({ port: 0 });
  });

  test('an interface that does not exist is an error of the configuration', async () => {
    follower = new Follower('wan9', 'lan0');
    expect(await follower.until('failed')).toMatchObject({
      code: 'TD_CONFIG',
      message: 'interfaces.outside: no such interface "wan9"',
    });
  });
});
