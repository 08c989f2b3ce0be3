/** One group between its port and the clock: the order of a turn, what the role says of itself, another interface, the end. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type GatewayGroupConfig, parseGatewayConfig } from '../../../src/config/gateway.js';
import { DesignatorError } from '../../../src/errors.js';
import type { GatewayEvent } from '../../../src/gateway/types.js';
import type { HostProblem } from '../../../src/io/gateway-types.js';
import { createLogger } from '../../../src/ops/log.js';
import { GroupRunner, type RunnerHooks } from '../../../src/roles/gateway/runner.js';
import { FakeHost, FakeSegment } from '../../helpers/gateway-world.js';

const configOf = (more = ''): GatewayGroupConfig => {
  const { config } = parseGatewayConfig(
    '/f',
    `groups:\n  - name: lan\n    group: 7\n    interface: eth0\n    number: 1\n    addresses: [10.7.0.254]\n    key: { text: sixteen letters! }\n${more}`,
  );
  return (config as NonNullable<typeof config>).groups[0];
};

let segment: FakeSegment;
let host: FakeHost;
let runner: GroupRunner;
let turned = 0;
const events: GatewayEvent[] = [];
const failures: unknown[] = [];
const hooks: RunnerHooks = {
  logger: createLogger('error'),
  event: (_group, event) => events.push(event),
  tracked: () => {},
  trouble: () => {},
  failed: (error) => failures.push(error),
  turned: () => turned++,
};

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
  segment = new FakeSegment();
  host = new FakeHost(segment, [0, 0, 0xffff, 0x0a070001], () => {});
  runner = new GroupRunner(configOf(), host, hooks);
  turned = 0;
  events.length = 0;
  failures.length = 0;
});
afterEach(async () => {
  const stopped = runner.stop();
  await vi.advanceTimersByTimeAsync(1000);
  await stopped;
  vi.useRealTimers();
  expect(failures).toEqual([]);
});
const pass = (milliseconds = 2000): Promise<unknown> => vi.advanceTimersByTimeAsync(milliseconds);
const self = () => runner.group.members(host.now()).find((member) => member.self);

test('a virtual MAC is held before the frames that tell the switches of it', async () => {
  await runner.start();
  await pass();
  const { log } = host.port;
  const held = log.indexOf('hold 1');
  expect(held).toBeGreaterThanOrEqual(0);
  const master = host.port.sent.findIndex((frame) => [...frame.subarray(6, 12)].join() === '2,84,68,0,7,1');
  let frames = 0;
  const sentBefore = log.slice(0, held).reduce((all, line) => all + Number(/^send (\d+)/.exec(line)?.[1] ?? 0), 0);
  for (const line of log.slice(held)) frames += Number(/^send (\d+)/.exec(line)?.[1] ?? 0);
  expect(frames).toBeGreaterThan(0);
  // No frame with the virtual MAC as its source left before the MAC was held.
  expect(master).toBeGreaterThanOrEqual(sentBefore);
  expect(turned).toBeGreaterThan(0);
});

test('devices of other members’ virtual MACs are made before they are needed, two a look, those that are held left alone', async () => {
  await runner.start();
  await pass();
  const rows = runner.group.forwarders(host.now());
  runner.group.forwarders = () => [
    ...rows,
    ...[5, 6, 7].map((number) => ({ ...rows[0], number, held: false, mac: rows[0].mac + number })),
  ];
  const made = () => host.port.log.filter((line) => line.startsWith('let-go'));
  runner.measure();
  expect(made()).toEqual(['let-go 5', 'let-go 6']);
  runner.measure();
  runner.measure();
  expect(made()).toEqual(['let-go 5', 'let-go 6', 'let-go 7']);
  expect(host.port.held).toContain(1);
});

test('what the role says of itself counts beside what is tracked, also before the start', async () => {
  runner.setAble(['the shards do not run']);
  await runner.start();
  await pass();
  expect(self()).toMatchObject({ able: false, reasons: ['the shards do not run'] });
  runner.setAble([]);
  await pass();
  expect(self()).toMatchObject({ able: true, state: 'master' });
  runner.setAble(['drained']);
  await pass();
  expect(self()).toMatchObject({ able: false });
  expect(runner.tracking()).toEqual({ priorityLoss: 0, weightLoss: 0, able: false, reasons: ['drained'] });
});

test('an interface that comes back with another MAC is another station; with the same one it is the same', async () => {
  await runner.start();
  await pass();
  const { group } = runner;
  host.port.setUp(false);
  host.port.setUp(true);
  await pass();
  expect(runner.group).toBe(group);
  host.port.link = { ...host.port.link, mac: Uint8Array.of(2, 0, 0, 0, 9, 9) };
  host.port.setUp(true);
  expect(runner.group).not.toBe(group);
  await pass();
  expect(self()).toMatchObject({ state: 'master' });
});

test('a host that cannot be a gateway is refused with what helps; a doubtful one is only told', async () => {
  const problem = (values: Partial<HostProblem>): HostProblem => ({
    severity: 'fatal',
    text: 'the kernel has no macvlan',
    remedy: 'modprobe macvlan',
    permission: false,
    ...values,
  });
  host.problems = () => [problem({ severity: 'warning', text: 'forwarding is off' })] as never;
  await runner.start();
  expect(runner.running).toBe(true);
  const other = new GroupRunner(configOf(), host, hooks);
  host.problems = () => [problem({})] as never;
  await expect(other.start()).rejects.toMatchObject({
    code: 'TD_UNAVAILABLE',
    message: 'group lan: the kernel has no macvlan: modprobe macvlan',
  });
  host.problems = () => [problem({ permission: true })] as never;
  await expect(other.start()).rejects.toMatchObject({ code: 'TD_NO_PERMISSION' });
  await other.stop();
});

test('GLBP needs an address of its own, and a key that fits', async () => {
  const glbp = '    compatibility: glbp\n';
  host.addressesOf = async () => [];
  const alone = new GroupRunner(configOf(glbp), host, hooks);
  await expect(alone.start()).rejects.toThrow(/GLBP needs an address of this gateway on eth0/);
  host.addressesOf = async () => [[0, 0, 0xffff, 0x0a070001]];
  const fine = new GroupRunner(configOf(glbp), host, hooks);
  await fine.start();
  expect(host.port.options).toMatchObject({ glbp: true, virtualMac: Uint8Array.of(0, 7, 0xb4, 0, 7, 0) });
  await pass(60_000);
  expect(fine.group.status(host.now()).state).toBe('master');
  host.keyOf = () => new Uint8Array(100);
  await expect(new GroupRunner(configOf(glbp), host, hooks).start()).rejects.toBeInstanceOf(DesignatorError);
  const stopped = fine.stop();
  await pass();
  await stopped;
});

test('an error of the engine ends the process, not the turn', async () => {
  await runner.start();
  runner.group.tick = () => {
    throw new Error('a bug');
  };
  await pass();
  expect(failures.length).toBeGreaterThan(0);
  failures.length = 0;
  runner.group.tick = () => {};
});

test('at the end the good-bye leaves while the virtual MACs are still held', async () => {
  await runner.start();
  await pass();
  const { port } = host;
  const sent = port.sent.length;
  const stopped = runner.stop();
  expect(port.sent.length).toBeGreaterThan(sent);
  expect([port.closed, port.held.has(1)]).toEqual([false, true]);
  await pass();
  await stopped;
  expect(port.closed).toBe(true);
  expect(() => port.hear(new Uint8Array(60))).not.toThrow();
});
