import { EventEmitter } from 'node:events';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { register } from '../../src/cli/capture.js';
import { pcapHeader, pcapRecord } from '../../src/ops/capture.js';
import { FakeAppliance } from '../helpers/fake-appliance.js';
import { type Running, startApi } from '../ops/http.js';
import { runCli } from './run.js';

let appliance: FakeAppliance;
let running: Running;
const frame = (byte: number) => new Uint8Array(64).fill(byte);
const capture = (args: string[], world = {}) =>
  runCli([register], ['capture', ...args, '--socket', running.socket], world);

beforeEach(async () => {
  appliance = new FakeAppliance();
  running = await startApi(appliance);
});
afterEach(() => running[Symbol.asyncDispose]());

async function capturing(count = 1): Promise<void> {
  while (appliance.hub.captures().length < count) await new Promise((resolve) => setImmediate(resolve));
}

test('-w FILE with --count: that many frames, for the owner only, and the filter goes to the designator', async () => {
  const file = join(running.directory, 'out.pcap');
  const run = capture(['-w', file, '--tunnel', '11', '--client', '[2001:DB8::5]:1701', '--count', '2']);
  await capturing();
  for (let i = 0; i < 4; i++) appliance.hub.publish(frame(i), 100 + i);
  expect(await run).toMatchObject({ status: 0, stdout: '', stderr: '2 frames captured\n' });
  expect(readFileSync(file)).toEqual(
    Buffer.concat([pcapHeader(), pcapRecord(frame(0), 100), pcapRecord(frame(1), 101)]),
  );
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(appliance.captureFilters).toEqual([{ tunnel: 11, client: '[2001:db8::5]:1701' }]);
});

test('-w -: the bytes on stdout, the words on stderr', async () => {
  const run = capture(['-w', '-', '--format', 'pcap', '--count', '1']);
  await capturing();
  appliance.hub.publish(frame(7), 1);
  const result = await run;
  expect(result.bytes).toEqual(Buffer.concat([pcapHeader(), pcapRecord(frame(7), 1)]));
  expect(result.stderr).toBe('1 frames captured\n');
});

test('two captures at once get the same frames', async () => {
  const runs = ['a', 'b'].map((name) =>
    capture(['-w', join(running.directory, name), '--count', '3', '--format', 'pcap']),
  );
  await capturing(2);
  for (let i = 0; i < 3; i++) appliance.hub.publish(frame(i), i);
  await Promise.all(runs);
  const [a, b] = ['a', 'b'].map((name) => readFileSync(join(running.directory, name)));
  expect(a).toEqual(b);
  expect(a.length).toBe(24 + 3 * 80);
});

test('frames that were lost are told', async () => {
  const run = capture(['-w', '-', '--format', 'pcap', '--count', '1']);
  await capturing();
  appliance.hub.lost(5);
  appliance.hub.publish(frame(7), 1);
  expect((await run).stderr).toBe('1 frames captured, 5 more were lost because the reader was too slow\n');
});

test('--seconds ends a capture without traffic: an empty pcap that is valid', async () => {
  const run = await capture(['-w', '-', '--format', 'pcap', '--seconds', '0.01']);
  expect(run).toMatchObject({ status: 0, stderr: '0 frames captured\n' });
  expect(run.bytes).toEqual(Buffer.from(pcapHeader()));
});

test('an interrupt ends it in order: the file holds what came, and the designator is told', async () => {
  const file = join(running.directory, 'out.pcap');
  const signals = new EventEmitter();
  const run = capture(['-w', file], { signals });
  await capturing();
  appliance.hub.publish(frame(1), 1);
  while (!existsSync(file) || statSync(file).size < 24 + 80) await new Promise((resolve) => setImmediate(resolve));
  signals.emit('SIGINT');
  expect(await run).toMatchObject({ status: 0, stderr: '1 frames captured\n' });
  expect(readFileSync(file).length).toBe(24 + 80);
  while (appliance.hub.active) await new Promise((resolve) => setImmediate(resolve));
  expect(signals.listenerCount('SIGINT') + signals.listenerCount('SIGTERM')).toBe(0);
});

test('an end of the designator is an orderly end of the capture', async () => {
  const run = capture(['-w', '-']);
  await capturing();
  appliance.hub.publish(frame(1), 1);
  await running.api.close();
  expect(await run).toMatchObject({ status: 0, stderr: '1 frames captured\n' });
});

test('a terminal is no place for a pcap, and a path must be writable: exit 64', async () => {
  expect(await capture(['-w', '-'], { isTty: true })).toMatchObject({ status: 64, error: { message: /binary/ } });
  const run = await capture(['-w', join(running.directory, 'none', 'x.pcap')]);
  expect(run).toMatchObject({ status: 64, error: { message: expect.stringMatching(/^cannot write .*: ENOENT$/) } });
  while (appliance.hub.active) await new Promise((resolve) => setImmediate(resolve));
});

test.each([
  [['--count', '1']],
  [['-w', '-', '--format', 'pcap', '--count', '0']],
  [['-w', '-', '--format', 'pcap', '--seconds', 'x']],
])('%j: exit 64', async (args) => {
  expect((await capture(args)).status).toBe(64);
});

test('pcapng is the default, classic pcap what is named so; --format decides otherwise', async () => {
  const magic = async (name: string, ...more: string[]) => {
    const run = capture(['-w', join(running.directory, name), '--count', '1', ...more]);
    await capturing();
    appliance.hub.publish(frame(1), 1, 1, 64, () => ({ port: 0, outbound: false, comment: 'side=before' }));
    expect(await run).toMatchObject({ status: 0, stderr: '1 frames captured\n' });
    return readFileSync(join(running.directory, name)).readUInt32LE(0);
  };
  expect(await magic('a.pcap')).toBe(0xa1b2c3d4);
  expect(await magic('b.pcapng')).toBe(0x0a0d0d0a);
  expect(await magic('c')).toBe(0x0a0d0d0a);
  expect(await magic('d.pcap', '--format', 'pcapng')).toBe(0x0a0d0d0a);
  expect(await magic('e', '--format', 'pcap')).toBe(0xa1b2c3d4);
});
