/** Whole gateway roles on a segment in memory, under a clock of the test: turns, tables, commands, reload, tracking, end. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type GatewayConfig, parseGatewayConfig } from '../../../src/config/gateway.js';
import { DesignatorError } from '../../../src/errors.js';
import { createLogger } from '../../../src/ops/log.js';
import type { ApplianceEvent } from '../../../src/ops/events.js';
import { IGNORED } from '../../../src/gateway/answers/heard.js';
import { KNOWN_COUNTERS } from '../../../src/roles/gateway/counter-words.js';
import { Gateway } from '../../../src/roles/gateway/gateway.js';
import { FakeHost, FakeSegment } from '../../helpers/gateway-world.js';

/** So long, in milliseconds, that everything that is under way has come to rest. */
const A_WHILE = 2000;

class Site {
  readonly segment = new FakeSegment();
  readonly gateways: Gateway[] = [];
  readonly hosts: FakeHost[] = [];
  readonly failures: Error[] = [];
  readonly texts: string[] = [];

  async add(number: number, more = '', between = ''): Promise<Gateway> {
    const index = this.gateways.length;
    this.texts[index] = text(number, more, between);
    const gateway = new Gateway({
      config: parse(this.texts[index]).config as GatewayConfig,
      logger: createLogger('error'),
      reread: () => parse(this.texts[index]),
      onFatal: (error) => this.failures.push(error),
      world: (onChange) => {
        const host = new FakeHost(this.segment, [0, 0, 0xffff, 0x0a070000 + number], onChange);
        this.hosts.push(host);
        return host;
      },
    });
    this.gateways.push(gateway);
    await gateway.start();
    return gateway;
  }

  async stop(): Promise<void> {
    await Promise.all(this.gateways.map((gateway) => gateway.stop()));
  }
}

const text = (number: number, more = '', between = '') => `groups:
  - name: lan
    group: 7
    interface: eth0
    number: ${number}
    addresses: [10.7.0.254]
    key: { text: sixteen letters! }
${more}${between}${LOG}`;
const LOG = 'log: { level: error }\n';
const two = (other: string): string => text(1).replace(LOG, '') + other + LOG;
const parse = (content: string) => parseGatewayConfig('/etc/gateway.yaml', content);

let site: Site;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date'] });
  site = new Site();
});
afterEach(async () => {
  await soon(site.stop());
  vi.useRealTimers();
  expect(site.failures).toEqual([]);
});
/** What waits for a moment of the clock, as the end of a group does. */
const soon = async <T>(outcome: Promise<T>): Promise<T> => {
  await vi.advanceTimersByTimeAsync(A_WHILE);
  return outcome;
};
const pass = (milliseconds = A_WHILE): Promise<unknown> => vi.advanceTimersByTimeAsync(milliseconds);

type Row = Readonly<Record<string, unknown>>;
function rows(gateway: Gateway, table: string, filter = {}): Row[] {
  const found = gateway.endpoint.tables.get(table);
  if (found === undefined) throw new Error(`no table ${table}`);
  return [...found.rows(filter)].flat() as Row[];
}
const run = (gateway: Gateway, name: string, body = {}) => gateway.endpoint.commands.get(name)?.run(body);
const states = () => site.gateways.map((gateway) => rows(gateway, 'groups')[0]?.state);
const events = (gateway: Gateway): ApplianceEvent[] => gateway.events.recent({ sinceMs: 0 });

/** An ARP request (RFC 826) of a host for the shared address. */
function request(host: number): Uint8Array {
  const mac = [2, 0, 0, 0, 0, host];
  return Uint8Array.from([
    ...[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, ...mac, 8, 6],
    ...[0, 1, 8, 0, 6, 4, 0, 1, ...mac, 10, 7, 0, 100 + host, 0, 0, 0, 0, 0, 0, 10, 7, 0, 254],
  ]);
}
const isReplyTo = (host: number) => (frame: Uint8Array) =>
  frame[12] === 8 && frame[13] === 6 && frame[21] === 2 && frame[5] === host;
const ask = async (host: number): Promise<Uint8Array[]> => {
  for (const { port } of site.hosts) port.sent.length = 0;
  for (const { port } of site.hosts) if (!port.closed) port.hear(request(host));
  await pass(50);
  return site.hosts.flatMap(({ port }) => port.sent.filter(isReplyTo(host)));
};

test('one gateway alone becomes master, holds its virtual MAC and answers; the tables say so', async () => {
  const gateway = await site.add(1);
  await pass();
  expect(states()).toEqual(['master']);
  expect(site.hosts[0].port.held).toContain(1);
  const replies = await ask(7);
  expect(replies).toHaveLength(1);
  // The Ethernet source and the sender of the reply are the virtual MAC.
  expect([...replies[0].slice(6, 12)]).toEqual([2, 0x54, 0x44, 0, 7, 1]);
  expect([...replies[0].slice(22, 28)]).toEqual([2, 0x54, 0x44, 0, 7, 1]);
  expect(rows(gateway, 'groups')).toMatchObject([
    {
      group: 'lan',
      number: 7,
      interface: 'eth0',
      gateway: 1,
      addresses: '10.7.0.254',
      state: 'master',
      master: 1,
      hosts: 1,
    },
  ]);
  expect(rows(gateway, 'gateways')).toMatchObject([
    {
      group: 'lan',
      gateway: 1,
      self: true,
      state: 'master',
      master: true,
      alive: true,
      able: true,
      address: '10.7.0.1',
      virtualMac: '02:54:44:00:07:01',
      serves: '1',
      hosts: 1,
    },
  ]);
  expect(rows(gateway, 'forwarders')).toMatchObject([
    { forwarder: 1, virtualMac: '02:54:44:00:07:01', state: 'active', server: 1, held: true, served: true, hosts: 1 },
  ]);
  expect(rows(gateway, 'hosts')).toMatchObject([
    { host: '02:00:00:00:00:07', addresses: '10.7.0.107', gateway: 1, server: 1, virtualMac: '02:54:44:00:07:01' },
  ]);
  expect(gateway.unhealthy()).toBeNull();
});

test('three gateways have one master, share the hosts, and each host has one row', async () => {
  for (const number of [1, 2, 3]) await site.add(number);
  await pass();
  expect(states().filter((state) => state === 'master')).toHaveLength(1);
  for (let host = 1; host <= 6; host++) expect(await ask(host), `host ${host}`).toHaveLength(1);
  await pass();
  for (const gateway of site.gateways) {
    const hosts = rows(gateway, 'hosts');
    expect(hosts).toHaveLength(6);
    expect([1, 2, 3].map((number) => hosts.filter((row) => row.gateway === number).length)).toEqual([2, 2, 2]);
    expect(rows(gateway, 'hosts', { gateway: 2 })).toHaveLength(2);
    expect(rows(gateway, 'hosts', { host: '10.7.0.103' })).toMatchObject([{ host: '02:00:00:00:00:03' }]);
    expect(rows(gateway, 'hosts', { host: '02:00:00:00:00:04' })).toMatchObject([{ addresses: '10.7.0.104' }]);
    expect(rows(gateway, 'hosts', { group: 'other' })).toEqual([]);
  }
  expect(() => rows(site.gateways[0], 'hosts', { host: 'x' })).toThrow(/no MAC or IP address/);
});

test('a clean end hands office and virtual MACs over, says good-bye and lets go of the host', async () => {
  for (const [number, priority] of [
    [1, 200],
    [2, 100],
  ])
    await site.add(number, `    priority: ${priority}\n`);
  await pass(A_WHILE * 4);
  expect(states()).toEqual(['master', 'backup']);
  await ask(7);
  const stopped = site.gateways[0].stop();
  await pass(20);
  // Far less than it takes to notice a death.
  expect(states()[1]).toBe('master');
  expect([...site.hosts[1].port.held].sort()).toEqual([1, 2]);
  // Until the switches know better the kernel of the one that left goes on forwarding.
  expect(site.hosts[0]).toMatchObject({ closed: false, port: { closed: false } });
  await soon(stopped);
  expect(site.hosts[0]).toMatchObject({ closed: true, port: { closed: true } });
  expect(await ask(8)).toHaveLength(1);
  expect(events(site.gateways[1]).map(({ type }) => type)).toContain('gateway-state');
});

test('resign, move and redistribute', async () => {
  for (const number of [1, 2, 3]) await site.add(number);
  await pass();
  const master = site.gateways[states().indexOf('master')];
  const number = Number(rows(master, 'groups')[0].gateway);
  for (const host of [1, 2, 3]) await ask(host);
  await pass();
  expect(await run(master, 'move', { host: '10.7.0.101', gateway: (number % 3) + 1 })).toMatchObject({ group: 'lan' });
  await pass();
  expect(rows(master, 'hosts', { host: '10.7.0.101' })).toMatchObject([{ gateway: (number % 3) + 1 }]);
  expect(() => run(master, 'move', { host: '10.7.0.9', gateway: 1 })).toThrow(/no host has the address/);
  expect(() => run(master, 'move', { host: 'x', gateway: 1 })).toThrow(/no MAC address, IP address/);
  expect(() => run(master, 'move', { host: 'all', gateway: 9 })).toThrow(DesignatorError);
  expect(() => run(master, 'resign', { group: 'other' })).toThrow(/no group "other"; there are lan/);
  await run(master, 'resign');
  await pass(200);
  expect(states().filter((state) => state === 'master')).toHaveLength(1);
  expect(rows(master, 'groups')[0].state).not.toBe('master');
  // A dead one's hosts are redistributed on command, long before its time.
  const dead = site.gateways.indexOf(master);
  site.hosts[dead].port.link = { ...site.hosts[dead].port.link, up: false };
  await pass();
  const successor = site.gateways[states().findIndex((state, index) => state === 'master' && index !== dead)];
  await run(successor, 'redistribute', { gateway: number });
  await pass();
  expect(rows(successor, 'hosts', { gateway: number })).toEqual([]);
  expect(rows(successor, 'hosts')).toHaveLength(3);
});

test('what is tracked decides who is master and who forwards', async () => {
  const more = (priority: number) =>
    `    priority: ${priority}\n    preempt: { delay: 0s }\n    track: [{ interface: eth1, forward: false }]\n`;
  await site.add(1, more(200));
  await site.add(2, more(100));
  await pass(A_WHILE * 4);
  expect(states()).toEqual(['master', 'backup']);
  site.hosts[0].up.clear();
  site.hosts[0].onChange();
  await pass(500);
  expect(states()).not.toContain(undefined);
  expect(states()[1]).toBe('master');
  expect(rows(site.gateways[1], 'forwarders')).toMatchObject([
    { forwarder: 1, server: 2 },
    { forwarder: 2, server: 2 },
  ]);
  expect(rows(site.gateways[1], 'gateways')).toMatchObject([
    { gateway: 1, able: false, reasons: 'interface eth1: down' },
    {},
  ]);
  expect(rows(site.gateways[0], 'tracks')).toEqual([
    { group: 'lan', tracked: 'interface eth1', good: false, reason: 'down' },
  ]);
  expect(
    events(site.gateways[0])
      .filter(({ type }) => type === 'gateway-tracking')
      .at(-1),
  ).toMatchObject({
    tracked: 'interface eth1',
    good: false,
    able: false,
  });
  site.hosts[0].up.add('eth1');
  await pass(A_WHILE * 4);
  expect(states()[0]).toBe('master');
});

test('a reload changes what can change while the group runs, and begins anew where it must', async () => {
  const gateway = await site.add(1);
  await pass();
  const [first] = site.hosts[0].ports;
  site.texts[0] = text(1, '    priority: 150\n    weight: 20\n');
  expect(await soon(gateway.reload())).toEqual({ ok: true, problems: [], changes: ['group lan: priority, weight'] });
  expect(rows(gateway, 'gateways')).toMatchObject([{ priority: 150, weight: 20, state: 'master' }]);
  expect(first.closed).toBe(false);
  // Another interval is another group as far as its members can know.
  site.texts[0] = text(1, '    adverts: { interval: 50ms }\n');
  expect((await soon(gateway.reload())).ok).toBe(true);
  expect(first.closed).toBe(true);
  expect(site.hosts[0].ports).toHaveLength(2);
  await pass();
  expect(states()).toEqual(['master']);
  site.texts[0] = text(1, '    priority: 0\n');
  expect(await soon(gateway.reload())).toMatchObject({ ok: false, problems: [{ path: 'groups.0.priority' }] });
  site.texts[0] = `${text(1)}control: { socket: /run/other.sock }\n`;
  expect(await soon(gateway.reload())).toMatchObject({ ok: false, problems: [{ path: 'control' }] });
  expect(states()).toEqual(['master']);
});

test('a key that has another content begins the group anew; one that cannot be read changes nothing', async () => {
  const gateway = await site.add(1);
  await pass();
  const [host] = site.hosts;
  host.keyOf = () => new TextEncoder().encode('another sixteen!');
  expect(await soon(gateway.reload())).toMatchObject({ ok: true, changes: ['group lan: another key'] });
  expect(host.ports).toHaveLength(2);
  expect(await soon(gateway.reload())).toMatchObject({ ok: true, changes: [] });
  host.keyOf = () => {
    throw new DesignatorError('TD_CONFIG', 'the secret file cannot be read');
  };
  expect(await soon(gateway.reload())).toMatchObject({
    ok: false,
    problems: [{ message: 'the secret file cannot be read' }],
  });
  await pass();
  expect([states(), host.ports.length]).toEqual([['master'], 2]);
});

test('a reload adds and removes groups; one that cannot be had leaves everything as it was', async () => {
  const gateway = await site.add(1);
  await pass();
  const other = text(1)
    .replace(LOG, '')
    .replace('groups:\n', '')
    .replace('lan', 'guests')
    .replace('group: 7', 'group: 8')
    .replace('eth0', 'eth2');
  site.texts[0] = two(other);
  expect((await soon(gateway.reload())).changes).toEqual(['group guests added']);
  await pass();
  expect(rows(gateway, 'groups')).toMatchObject([
    { group: 'lan', state: 'master' },
    { group: 'guests', state: 'master' },
  ]);
  expect(() => run(gateway, 'resign')).toThrow(/say which group: lan, guests/);
  site.segment.refuse = new DesignatorError('TD_CONFIG', 'there is no interface eth3');
  site.texts[0] = two(other.replace('eth2', 'eth3'));
  expect(await soon(gateway.reload())).toMatchObject({
    ok: false,
    problems: [{ message: 'there is no interface eth3' }],
  });
  await pass();
  expect(rows(gateway, 'groups')).toMatchObject([{ state: 'master' }, { interface: 'eth2', state: 'master' }]);
  site.texts[0] = text(1);
  expect((await soon(gateway.reload())).changes).toEqual(['group guests removed']);
  expect(rows(gateway, 'groups')).toHaveLength(1);
});

test('every counter has its words; what ended here and what was done are apart', async () => {
  const gateway = await site.add(1);
  await site.add(2);
  await pass();
  await ask(7);
  // A frame that means nothing to the group is counted by its reason.
  site.hosts[0].port.hear(request(7).subarray(0, 20));
  const [drops, counters] = ['drops', 'counters'].map((table) => rows(gateway, table));
  const names = [...drops.map(({ reason }) => reason), ...counters.map(({ counter }) => counter)] as string[];
  expect(names.filter((name) => !KNOWN_COUNTERS.has(name))).toEqual([]);
  expect(new Set(names).size).toBe(names.length);
  expect(drops).toContainEqual({ reason: 'ignored-arp-form', packets: 1, description: IGNORED['arp-form'] });
  expect(counters.map(({ counter }) => counter)).toEqual(expect.arrayContaining(['asked', 'hosts-added', 'port-sent']));
  expect(drops.map(({ reason }) => reason)).toEqual(expect.arrayContaining(['messages-forged', 'limited-per-source']));
});

test('metrics have fixed labels and say what the tables say', async () => {
  for (const number of [1, 2]) await site.add(number);
  await pass();
  await ask(7);
  site.hosts[0].port.counts.set(1, { bytes: 5000, packets: 50 });
  const read = (gateway: Gateway) => new Map(gateway.endpoint.metrics().map(({ name, value }) => [name, value]));
  const [one, two] = site.gateways.map(read);
  expect([one.get('gateway_masters'), two.get('gateway_masters')].sort()).toEqual([0, 1]);
  expect(Object.fromEntries(one)).toMatchObject({
    ready: 1,
    healthy: 1,
    gateway_groups: 1,
    gateway_groups_without_master: 0,
    gateway_members: 2,
    gateway_members_dead: 0,
    gateway_hosts: 1,
    gateway_received_bytes_total: 5000,
    gateway_received_packets_total: 50,
  });
  expect((one.get('gateway_hosts_served') ?? 0) + (two.get('gateway_hosts_served') ?? 0)).toBe(1);
});

test('load and traffic are told to the others once a second', async () => {
  for (const number of [1, 2]) await site.add(number, '    capacity: 1Mbit/s\n');
  await pass();
  for (let second = 1; second <= 3; second++) {
    site.hosts[0].port.counts.set(1, { bytes: second * 50_000, packets: second * 100 });
    await pass(1000);
  }
  await pass(500);
  const [row] = rows(site.gateways[1], 'gateways');
  expect(Number(row.load)).toBeCloseTo(0.4, 1);
  expect(Number(row.bitsPerSecond)).toBeGreaterThan(390_000);
});

test('trouble of the host makes the gateway unhealthy until it is over', async () => {
  const gateway = await site.add(1);
  const { onTrouble } = site.hosts[0].port.options;
  onTrouble({ what: 'guard', ok: false, text: 'the rule is gone' });
  expect(gateway.unhealthy()).toBe('group lan: the rule is gone');
  onTrouble({ what: 'guard', ok: true, text: 'the rule is there again' });
  expect(gateway.unhealthy()).toBeNull();
  expect(events(gateway).filter(({ type }) => type === 'gateway-host')).toHaveLength(2);
});

test('a host that cannot be had ends the start with its reason, and the end frees what was taken', async () => {
  site.segment.refuse = new DesignatorError('TD_NO_PERMISSION', 'CAP_NET_RAW is missing');
  await expect(site.add(1)).rejects.toMatchObject({ code: 'TD_NO_PERMISSION' });
  await soon(site.gateways[0].stop());
  expect(site.hosts[0].closed).toBe(true);
});
