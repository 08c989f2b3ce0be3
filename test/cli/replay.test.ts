import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { register as replay } from '../../src/cli/replay.js';
import { register as run } from '../../src/cli/run.js';
import { readPcap } from '../../src/wire/pcap.js';
import { runCli } from './run.js';

const CAPTURE = join(import.meta.dirname, '..', 'fixtures', 'pcaps', 'l2tp-5-tunnels-one-client-socket.pcap');
const CONFIG = `interfaces: { outside: wan0, inside: lan0 }
vips: [{ name: access, address: 10.9.0.2, servers: [{ name: a, address: 10.9.7.1 }, { name: b, address: 10.9.7.2, weight: 2 }] }]
`;
let cwd: string;
beforeAll(() => {
  cwd = mkdtempSync(join(tmpdir(), 'cli-replay-'));
  writeFileSync(join(cwd, 'good.yaml'), CONFIG);
  writeFileSync(join(cwd, 'bad.yaml'), `${CONFIG}workers: none\nlog: { level: loud }\n`);
});
afterAll(() => rmSync(cwd, { recursive: true }));
const designator = (...args: string[]) => runCli([replay, run], args, { cwd });

describe('replay', () => {
  test('five tunnels of one socket, captured before one server, are spread over two', async () => {
    const { status, stdout } = await designator('replay', CAPTURE, '-c', 'good.yaml', '--out', 'out.pcap', '--json');
    expect(status).toBe(0);
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({ frames: 145, sent: 145, passed: 0, requests: 5, drops: [] });
    expect(result.tunnels.map((row: { server: string }) => row.server).sort()).toEqual(['a', 'a', 'b', 'b', 'b']);
    expect(readPcap(readFileSync(join(cwd, 'out.pcap')))).toHaveLength(145);
  });

  test('for people: a line for the frames and a line for each tunnel', async () => {
    const { stdout } = await designator('replay', CAPTURE, '-c', 'good.yaml', '--out', 'out.pcap');
    expect(stdout).toMatch(/^145 frames: 145 sent, 0 for the host, 0 answered, 5 new tunnels\n/);
    expect(stdout.match(/^10\.9\.0\.1:\d+ tunnel \d+ ⇄ /gm)).toHaveLength(5);
  });

  test('no such capture is 64, a bad configuration 78, and neither leaves an output', async () => {
    const missing = await designator('replay', 'none.pcap', '-c', 'good.yaml', '--out', 'none-out.pcap');
    expect([missing.status, missing.error?.message]).toEqual([64, expect.stringContaining('none.pcap')]);
    expect((await designator('replay', CAPTURE, '-c', 'bad.yaml', '--out', 'none-out.pcap')).status).toBe(78);
    expect(existsSync(join(cwd, 'none-out.pcap'))).toBe(false);
  });
});

describe('run', () => {
  test('a bad configuration ends with 78 and all its problems before anything is touched', async () => {
    const { status, error } = await designator('run', '-c', 'bad.yaml');
    expect(status).toBe(78);
    const { problems } = (error as unknown as { context: { problems: { path: string }[] } }).context;
    expect(problems.map(({ path }) => path)).toEqual(['workers', 'log.level']);
  });

  test('a configuration that is not there ends with 78', async () => {
    const { status, error } = await designator('run', '-c', 'none.yaml');
    expect([status, error?.message]).toEqual([78, expect.stringContaining('none.yaml')]);
  });
});
