/** The agent against programs that are the test's: what it says, when it says nothing, and its configuration. */
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type AgentConfig, parseAgentConfig } from '../../../src/config/agent.js';
import { Agent } from '../../../src/roles/agent/agent.js';
import { isAuthentic, type LoadStatus, readLoadStatus } from '../../../src/wire/load-status.js';

const SECRET = 'a secret of some length';
const KEY = Buffer.from(SECRET);
let folder: string;
let closing: (() => unknown)[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'td-agent-'));
  closing = [];
});
afterEach(async () => {
  for (const close of closing) await close();
  rmSync(folder, { recursive: true });
});

function configOf(more: object): AgentConfig {
  const file = { server: 'lns1', designators: '10.10.1.254:7017', secret: SECRET, ...more };
  const { config, problems } = parseAgentConfig('agent.yaml', JSON.stringify(file));
  if (config === null) throw new Error(JSON.stringify(problems));
  return config;
}

class World {
  now = 1_750_000_000_000;
  files: Record<string, string> = {};
  readonly sent: { bytes: Uint8Array; to: string }[] = [];
  readonly lines: { msg: string; reason?: string }[] = [];
  readonly agent: Agent;

  constructor(config: AgentConfig) {
    const logger = pino({ base: null }, { write: (line: string) => void this.lines.push(JSON.parse(line)) });
    this.agent = new Agent(config, KEY, logger, {
      clock: () => this.now,
      read: async (path) => {
        if (this.files[path] === undefined) throw new Error('ENOENT');
        return this.files[path];
      },
      send: async (bytes, host, port) => void this.sent.push({ bytes, to: `${host}:${port}` }),
    });
    closing.push(() => this.agent.close());
  }

  /** Ticks of the processor and bytes of eth0 so far. */
  proc(busy: number, idle: number, bytesIn: number, bytesOut: number): void {
    this.files = {
      '/proc/stat': `cpu  ${busy} 0 0 ${idle} 0 0 0 0 0 0\n`,
      '/proc/meminfo': 'MemTotal: 1000 kB\nMemAvailable: 600 kB\n',
      '/proc/net/dev': `eth0: ${bytesIn} ${bytesIn / 100} 0 0 0 0 0 0 ${bytesOut} ${bytesOut / 100} 0 0 0 0 0 0\n`,
    };
  }

  statuses(): LoadStatus[] {
    return this.sent.map(({ bytes }) => {
      expect(isAuthentic(bytes, KEY)).toBe(true);
      const status = readLoadStatus(bytes);
      if (typeof status === 'string') throw new Error(status);
      return status;
    });
  }
}

test('processor, memory and traffic are what changed between two looks', async () => {
  const world = new World(configOf({ interface: 'eth0', capacity: '1Gbit/s' }));
  world.proc(100, 900, 1000, 0);
  expect(await world.agent.look()).toMatchObject({ cpu: null, memory: 0.4, bitsIn: null, bitCapacity: 1e9 });
  world.proc(150, 950, 251_000, 50_000);
  world.now += 2000;
  expect(await world.agent.look()).toMatchObject({
    cpu: 0.5,
    bitsIn: 1_000_000,
    bitsOut: 200_000,
    packetsIn: 1250,
    packetsOut: 250,
  });
  world.proc(150, 950, 10, 50_000); // another interface of that name
  world.now += 1000;
  expect(await world.agent.look()).toMatchObject({ cpu: null, bitsIn: null, bitsOut: 0 });
});

test('one message for each name to each designator, sequences that only grow, over restarts and set-back clocks', async () => {
  const config = configOf({ server: ['lns1', 'lns1-v6'], designators: ['10.10.1.254:7017', '[2001:db8::1]:7017'] });
  const world = new World(config);
  const report = await world.agent.look();
  if (report === null) throw new Error('nothing to say');
  await world.agent.tell(report);
  world.now -= 5000;
  await world.agent.tell(report);
  const statuses = world.statuses();
  expect(world.sent.map(({ to }) => to).slice(0, 2)).toEqual(['10.10.1.254:7017', '2001:db8::1:7017']);
  expect(statuses.map(({ server }) => server)).toEqual([
    'lns1',
    'lns1',
    'lns1-v6',
    'lns1-v6',
    'lns1',
    'lns1',
    'lns1-v6',
    'lns1-v6',
  ]);
  const own = statuses.map(({ sequence }) => sequence);
  expect(own).toEqual(own.toSorted((a, b) => a - b));
  expect(new Set(own).size).toBe(4);
  expect(own[0]).toBe(1_750_000_000_000);
});

describe('xl2tpd', () => {
  const up = (id: number): string =>
    `xl2tpd[1]: Connection established to 10.0.0.1, 1701.  Local: ${id}, Remote: 1 (ref=0/0).\n`;
  test('its log from the start, as it grows, and anew after a rotation', async () => {
    const log = join(folder, 'xl2tpd.log');
    writeFileSync(log, up(1) + up(2) + up(3).slice(0, 30));
    const { agent } = new World(configOf({ source: { xl2tpd: { log } } }));
    expect(await agent.look()).toMatchObject({ tunnels: 2, sessions: 0 });
    appendFileSync(log, up(3).slice(30));
    expect(await agent.look()).toMatchObject({ tunnels: 3 });
    rmSync(log);
    writeFileSync(log, up(4));
    expect(await agent.look()).toMatchObject({ tunnels: 4 });
  });
  test('no log: nothing is said, and the log says why', async () => {
    const world = new World(configOf({ source: { xl2tpd: { log: join(folder, 'none') } } }));
    expect(await world.agent.look()).toBeNull();
    expect(world.lines[0]).toMatchObject({
      msg: 'the tunnel server cannot be looked at',
      reason: expect.stringContaining('ENOENT'),
    });
  });
});

/** A command line that says `greeting`, and `answer` to every line; null: it closes. */
async function commandLine(greeting: string, ending: string, answer: (line: string) => string | null): Promise<string> {
  const server: Server = createServer((socket) => {
    socket.on('error', () => {});
    socket.write(greeting, 'latin1');
    socket.on('data', (bytes) => {
      for (const line of bytes.toString().split(ending).filter(Boolean)) {
        const words = answer(line);
        if (words === null) socket.end();
        else socket.write(words);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => new Promise((resolve) => server.close(resolve)));
  return `127.0.0.1:${(server.address() as { port: number }).port}`;
}

describe('command lines', () => {
  test('l2tpns, with telnet negotiation and a login', async () => {
    const heard: string[] = [];
    const cli = await commandLine('\xff\xfb\x03Username: ', '\r\n', (line) => {
      heard.push(line);
      return line === 'show tunnels'
        ? ' TID  Hostname  IP  State Sessions\r\n   2  lac  10.0.0.1  Open  5\r\n\r\nvm> '
        : 'Password: \r\n';
    });
    const { agent } = new World(configOf({ source: { l2tpns: { cli, username: 'me', password: 'pw' } } }));
    expect(await agent.look()).toMatchObject({ tunnels: 1, sessions: 5 });
    expect(heard).toEqual(['me', 'pw', 'show tunnels']);
  });
  test('accel-ppp', async () => {
    const cli = await commandLine('', '\n', (line) => {
      if (line !== 'show stat') return line === 'pw' ? '' : null;
      return 'sessions:\r\n  active: 9\r\nl2tp:\r\n  starting: 0\r\n  active: 2\r\n';
    });
    const { agent } = new World(configOf({ source: { accelPpp: { cli, password: 'pw' } } }));
    expect(await agent.look()).toMatchObject({ tunnels: 2, sessions: 9 });
  });
  test('nobody there', async () => {
    const world = new World(configOf({ source: { l2tpns: { cli: '127.0.0.1:1' } } }));
    expect(await world.agent.look()).toBeNull();
    expect(world.lines[0].reason).toBe('127.0.0.1:1 ECONNREFUSED');
  });
});

describe('a command', () => {
  const source = (script: string, timeout = '2s') => ({
    source: { command: { run: ['/bin/sh', '-c', script], timeout } },
  });
  test('its fields over what the kernel says, and limits that make it refuse', async () => {
    const config = configOf({ ...source('echo \'{"tunnels": 5, "cpu": 0.9}\''), refuseAbove: { tunnels: 5, cpu: 95 } });
    expect(await new World(config).agent.look()).toMatchObject({ tunnels: 5, cpu: 0.9, accepting: true });
    const full = { ...config, refuseAbove: { ...config.refuseAbove, tunnels: 4 } };
    expect(await new World(full).agent.look()).toMatchObject({ accepting: false });
  });
  test.each([
    ['exit 3', 'Command failed'],
    ['echo no', 'JSON'],
    ['sleep 5', 'took longer than 0.2 s'],
  ])('%s', async (script, reason) => {
    const world = new World(configOf(source(script, '200ms')));
    expect(await world.agent.look()).toBeNull();
    expect(world.lines[0].reason).toContain(reason);
  });
});

describe('configuration', () => {
  const problemsOf = (text: string): string[] =>
    parseAgentConfig('agent.yaml', text).problems.map((p) => `${p.line}:${p.column}: ${p.path}: ${p.message}`);
  test('every error at once, with line and column', () => {
    const text = [
      'server: [lns1, "bad name"]',
      'designators: 10.0.0.1',
      'secret: short',
      'evry: 1s',
      'source: { l2tpns: { cli: 127.0.0.1:23, pasword: x } }',
    ].join('\n');
    expect(problemsOf(text)).toEqual([
      '1:16: server.1: a name has 1 to 63 letters, digits, dots, hyphens or underscores, and begins and ends with a letter or digit',
      '2:14: designators: "10.0.0.1" is no address with a port: write 127.0.0.1:8701 or [::1]:8701',
      '3:9: secret: it needs at least 16 characters',
      expect.stringMatching(/^4:1: evry: unknown key \(did you mean every\?\)/),
      expect.stringMatching(/^5:40: source\.l2tpns\.pasword: unknown key \(did you mean password\?\)/),
    ]);
  });
  test('what more than one value tells', () => {
    const base = 'server: lns1\ndesignators: [10.0.0.1:7017]\n';
    expect(problemsOf(base)).toEqual([expect.stringContaining('write either secret or secretFile')]);
    expect(problemsOf(`${base}secretFile: /s\nsource: { l2tpns: {}, xl2tpd: { log: /l } }`)).toEqual([
      expect.stringContaining('one of xl2tpd, l2tpns, not all'),
    ]);
    expect(problemsOf(`${base}secretFile: /s\nsource: { command: { run: [ls] } }`)).toEqual([
      expect.stringContaining('"ls" is no absolute path'),
    ]);
    expect(problemsOf(`${base}secretFile: /s\ninterface: eth0\nrefuseAbove: { tunnels: 3 }`)).toHaveLength(2);
  });
});
