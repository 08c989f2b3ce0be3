import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { eventText } from '../../src/cli/event-text.js';
import { register } from '../../src/cli/events.js';
import { EVENT_TYPES, EventLog, type EventType } from '../../src/ops/events.js';
import { FakeAppliance } from '../helpers/fake-appliance.js';
import { type Running, startApi } from '../ops/http.js';
import { runCli } from './run.js';

let appliance: FakeAppliance;
let running: Running;
beforeEach(async () => {
  appliance = new FakeAppliance();
  running = await startApi(appliance);
});
afterEach(() => running[Symbol.asyncDispose]());

const events = (args: string[], world = {}) =>
  runCli([register], ['events', ...args, '--socket', running.socket], world);

async function watched(): Promise<void> {
  while (!appliance.events.watched) await new Promise((resolve) => setImmediate(resolve));
}

const CLOSED = {
  vip: 'access',
  client: '192.128.10.5:1701',
  clientTunnelId: 7,
  server: 'lns2',
  serverTunnelId: 99,
  reason: 'server',
  resultCode: 6,
  durationSeconds: 12,
  packetsIn: 6,
  packetsOut: 3,
};

test('JSON lines for a program, from now on', async () => {
  appliance.events.emit('reload', { n: 0 });
  const run = events(['--count', '1']);
  await watched();
  appliance.events.emit('tunnel-closed', CLOSED);
  const { status, stdout } = await run;
  expect(status).toBe(0);
  expect(stdout.split('\n')).toHaveLength(2);
  expect(JSON.parse(stdout)).toMatchObject({ seq: 2, type: 'tunnel-closed', ...CLOSED });
});

test('sentences on a terminal, JSON there if asked for', async () => {
  appliance.events.emit('tunnel-closed', CLOSED);
  const { stdout } = await events(['--no-follow'], { isTty: true });
  expect(stdout).toMatch(
    /^\d\d:\d\d:\d\d\.\d{3} {2}tunnel-closed {9}192\.128\.10\.5:1701 tunnel 7\/99 → lns2 \(access\): by server, result 6 after 12s, 6 packets in, 3 out\n$/,
  );
  expect(JSON.parse((await events(['--no-follow', '--json'], { isTty: true })).stdout).type).toBe('tunnel-closed');
});

test('what is remembered, narrowed', async () => {
  appliance.events.emit('reload', { ok: true });
  appliance.events.emit('server-state', { server: 'lns1', from: 'up', to: 'down', reason: 'silent' });
  const { stdout } = await events(['--no-follow', '--since', '5m', '--type', 'server-state', '--server', 'lns1']);
  expect(JSON.parse(stdout)).toMatchObject({ seq: 2, server: 'lns1' });
});

test('an interrupt is an ordinary end', async () => {
  const signals = new EventEmitter();
  const run = events([], { signals });
  await watched();
  signals.emit('SIGINT');
  expect(await run).toMatchObject({ status: 0, stdout: '', error: null });
});

test('the end of the designator is said', async () => {
  const run = events([], { isTty: true });
  await watched();
  await running.api.close();
  expect((await run).status).toBe(0);
});

test('an unknown type is a usage error before anything is asked', async () => {
  expect((await events(['--type', 'tunnel-request,nope'])).status).toBe(64);
});

test('every type has a sentence, and nothing from the network moves the cursor', () => {
  const log = new EventLog();
  for (const type of Object.keys(EVENT_TYPES) as EventType[])
    log.emit(type, {
      ...CLOSED,
      from: 'up',
      to: 'down',
      count: 3,
      where: 'shard 0',
      detail: 'a\u001b[2Jb',
      error: '\n',
    });
  for (const event of log.recent()) {
    const text = eventText(event, false);
    expect(text).toContain(event.type);
    expect(text).not.toMatch(/[\u0000-\u001f]/);
    expect(text).not.toContain('undefined');
  }
  expect(eventText(log.recent()[0], true)).not.toContain('\u001b[2J');
});
