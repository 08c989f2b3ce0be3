/** Load status messages on their way to a decision: believed, refused, stale. Clocks are the test's. */
import { createSocket } from 'node:dgram';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { afterEach, describe, expect, test } from 'vitest';
import { parseConfig } from '../../../src/config/load.js';
import type { CompiledConfig } from '../../../src/config/compiled.js';
import { Designator } from '../../../src/designation/designate.js';
import { EventLog } from '../../../src/ops/events.js';
import { Binding } from '../../../src/roles/designator/binding.js';
import { LoadKeeper } from '../../../src/roles/designator/load-keeper.js';
import { Rows } from '../../../src/roles/designator/rows.js';
import { buildLoadStatus, type LoadReport, type LoadStatus, NOTHING_KNOWN } from '../../../src/wire/load-status.js';
import { newMemory } from '../../flow/memory.js';

const SECRET = 'a secret of some length';
const OWN_SECRET = 'another secret of lns2';
const EPOCH = 1_750_000_000_000;

const configOf = (loadStatus: object, algorithm = 'least-load', more: object = {}): CompiledConfig => {
  const servers = [1, 2, 3].map((n) => ({ name: `lns${n}`, address: `10.10.1.${n}`, ...(n === 2 ? more : {}) }));
  const file = {
    interfaces: { outside: 'wan0', inside: 'lan0' },
    vips: [{ name: 'access', address: '200.200.100.1', algorithm, servers }],
    loadStatus: { listen: '127.0.0.1:7017', secret: SECRET, ...loadStatus },
  };
  const { config, problems } = parseConfig('test.yaml', JSON.stringify(file));
  if (config === null) throw new Error(JSON.stringify(problems));
  return { ...config, loadStatus: { ...config.loadStatus, listen: { host: '127.0.0.1', port: 0 } } };
};

class Scene {
  readonly memory = newMemory(64);
  readonly binding = new Binding(this.memory);
  readonly designator = new Designator(this.memory);
  readonly lines: { msg: string; fault?: string; suppressed?: number }[] = [];
  readonly heard: number[] = [];
  readonly events = new EventLog();
  now = 1000;
  sequence = 0;
  readonly keeper: LoadKeeper;
  readonly rows = new Rows(this.memory, this.binding, () => this.now);

  constructor(public config: CompiledConfig) {
    this.designator.setPlan(this.binding.bind(config, 0));
    this.keeper = new LoadKeeper({
      designator: this.designator,
      binding: this.binding,
      logger: pino({ base: null }, { write: (line: string) => void this.lines.push(JSON.parse(line)) }),
      events: this.events,
      now: () => this.now,
      clock: () => this.clock(),
      onHeard: (server) => this.heard.push(server),
    });
  }

  clock(): number {
    return EPOCH + this.now * 1000;
  }

  message(server: string, report: Partial<LoadReport>, over: Partial<LoadStatus> = {}, secret = SECRET): Uint8Array {
    const sequence = ++this.sequence;
    const status = { ...NOTHING_KNOWN, ...report, server, sequence, timeMs: this.clock(), ...over };
    return buildLoadStatus(status, Buffer.from(secret));
  }

  /** A server says that it carries so much of a link of 10 Gbit/s. */
  load(server: string, load: number, more: Partial<LoadReport> = {}): void {
    this.keeper.receive(this.message(server, { bitsIn: load * 1e10, bitCapacity: 1e10, tunnels: 10, ...more }));
  }

  next(count = 1): string[] {
    return Array.from({ length: count }, (_, i) => this.nameOf(this.designator.designate(0, 0, 0, 0xffff, i, 1)));
  }

  nameOf(server: number): string {
    return this.binding.servers.find(({ index }) => index === server)?.name ?? String(server);
  }

  refused(): Record<string, number> {
    const rows = this.keeper.drops().filter(({ packets }) => packets > 0);
    return Object.fromEntries(rows.map(({ reason, packets }) => [reason, packets]));
  }
}

const scenes: Scene[] = [];
async function begin(loadStatus: object = {}, algorithm?: string, more?: object): Promise<Scene> {
  const scene = new Scene(configOf(loadStatus, algorithm, more));
  scenes.push(scene);
  await scene.keeper.start(scene.config);
  return scene;
}
afterEach(() => {
  for (const scene of scenes.splice(0)) scene.keeper.stop();
});

describe('document 000', () => {
  test('claim 6: the request goes to the server that currently has the lowest load as its load status messages indicate', async () => {
    const s = await begin();
    for (const [server, load] of [
      ['lns1', 0.5],
      ['lns2', 0.2],
      ['lns3', 0.4],
    ] as const)
      s.load(server, load);
    expect(s.next()).toEqual(['lns2']);
    for (const [server, load] of [
      ['lns1', 0.5],
      ['lns2', 0.6],
      ['lns3', 0.4999],
    ] as const)
      s.load(server, load);
    expect(s.next()).toEqual(['lns3']);
    s.load('lns1', 0.49980001); // a hair is enough
    expect(s.next()).toEqual(['lns1']);
  });

  test('claim 12: between messages, without assignments, it is exactly the lowest, asked as often as one likes', async () => {
    const s = await begin();
    for (const [server, load] of [
      ['lns1', 0.31],
      ['lns2', 0.3],
      ['lns3', 0.32],
    ] as const)
      s.load(server, load);
    for (let i = 0; i < 50; i++) {
      s.now += 0.05;
      s.keeper.tick();
      const { server, reason } = s.designator.peek(0, 0, 0, 0xffff, i, 1);
      expect([s.nameOf(server), reason]).toEqual(['lns2', 'least load: it reported 0.3, the lowest of 3']);
    }
  });

  test('claims 3, 5, 11, 13, 17, 18 and 19: every new round of messages decides anew, tunnels of before or not', async () => {
    const s = await begin();
    for (let round = 0; round < 30; round++) {
      const lowest = `lns${(round % 3) + 1}`;
      for (const name of ['lns1', 'lns2', 'lns3']) s.load(name, name === lowest ? 0.1 : 0.9, { tunnels: 500 });
      expect(s.next(3)).toEqual([lowest, lowest, lowest]); // 0.001 each: still by far the lowest
    }
  });
});

describe('prediction', () => {
  test('a flood of requests is spread by what each is expected to add, and the next message ends that', async () => {
    const s = await begin();
    s.load('lns1', 0.1, { tunnels: 10 }); // 0.01 a tunnel
    s.load('lns2', 0.3, { tunnels: 10 });
    s.load('lns3', 0.9, { tunnels: 10 });
    expect(s.next(20)).toEqual(new Array(20).fill('lns1'));
    const then = s.next(24);
    expect(then.filter((name) => name === 'lns1').length).toBeGreaterThan(
      then.filter((name) => name === 'lns2').length,
    );
    expect(new Set(then)).toEqual(new Set(['lns1', 'lns2']));
    expect(s.designator.peek(0, 0, 0, 0xffff, 1, 1).reason).toMatch(
      /it reported 0\.\d+ and 0\.\d+ for tunnels designated since/,
    );
    s.load('lns1', 0.2);
    expect(s.designator.peek(0, 0, 0, 0xffff, 1, 1).reason).toBe('least load: it reported 0.2, the lowest of 3');
  });

  test('idle servers that report nothing at all get a flood in turns', async () => {
    const s = await begin();
    for (const name of ['lns1', 'lns2', 'lns3']) s.load(name, 0, { tunnels: 0 });
    const given = s.next(300);
    for (const name of ['lns1', 'lns2', 'lns3']) expect(given.filter((one) => one === name)).toHaveLength(100);
  });
});

describe('servers without a fresh status', () => {
  test('come after those with room and before those that are full; the fewest tunnels decide among them', async () => {
    const s = await begin();
    s.load('lns1', 0.9, { tunnels: 500 });
    expect(s.next(3)).toEqual(['lns1', 'lns1', 'lns1']);
    s.load('lns1', 1.01);
    s.designator.cells.addEstablished(s.binding.servers[1].index, 1);
    expect(s.next()).toEqual(['lns3']);
    s.load('lns2', 1.0);
    s.load('lns3', 1.2);
    expect(s.next()).toEqual(['lns2']);
  });

  test('a load ages out: unknown after staleAfter, known again with the next message', async () => {
    const s = await begin({ staleAfter: '3s' });
    for (const name of ['lns1', 'lns2', 'lns3']) s.load(name, name === 'lns2' ? 0.1 : 0.5);
    s.now += 2;
    s.load('lns1', 0.5);
    s.keeper.tick();
    expect(s.rows.servers().map(({ load }) => load)).toEqual([0.5, 0.1, 0.5]);
    s.now += 1.5;
    s.keeper.tick();
    expect(s.rows.servers().map(({ load }) => load)).toEqual([0.5, null, null]);
    expect(s.next()).toEqual(['lns1']);
    s.load('lns2', 0.2);
    expect(s.next()).toEqual(['lns2']);
    expect(s.lines.filter(({ msg }) => msg.includes('no load status'))).toHaveLength(2);
  });

  test('fallback none: they get nothing, and a VIP of them has no server', async () => {
    const s = await begin({ fallback: 'none' });
    expect(s.next()).toEqual(['-1']);
    s.load('lns3', 0.999);
    expect(s.next(2)).toEqual(['lns3', 'lns3']);
    s.now += 10;
    s.keeper.tick();
    expect(s.next()).toEqual(['-1']);
  });

  test('what an earlier process was told is forgotten', async () => {
    const s = await begin();
    s.load('lns1', 0.2);
    s.keeper.stop();
    await s.keeper.start(s.config);
    expect(s.rows.servers()[0].load).toBeNull();
  });
});

describe('accepting', () => {
  test.each(['least-load', 'round-robin', 'maglev', 'power-of-two'])(
    '%s: who does not, gets no new tunnel and the reason is told',
    async (algorithm) => {
      const s = await begin({ staleAfter: '5s' }, algorithm);
      for (const name of ['lns1', 'lns2', 'lns3']) s.load(name, 0.1, { accepting: name === 'lns3' });
      expect(s.next(5)).toEqual(new Array(5).fill('lns3'));
      expect(s.rows.servers().map(({ reason }) => reason)).toEqual([
        'its load status says: not accepting',
        'its load status says: not accepting',
        null,
      ]);
      s.now += 6;
      s.keeper.tick();
      expect(new Set(s.next(50)).size).toBe(3); // nobody knows any more
    },
  );
});

describe('not believed, each by its name', () => {
  test('forged, replayed, late, early, unknown, malformed, another version, and with nothing to count', async () => {
    const s = await begin({ clockSkew: '10s' });
    const genuine = s.message('lns1', { bitsIn: 5e9, bitCapacity: 1e10 });
    s.keeper.receive(genuine);
    s.keeper.receive(genuine);
    s.keeper.receive(s.message('lns1', { bitsIn: 0 }, {}, 'a secret that is wrong'));
    s.keeper.receive(s.message('lns1', { bitsIn: 0 }, { timeMs: s.clock() - 10_001 }));
    s.keeper.receive(s.message('lns1', { bitsIn: 0 }, { timeMs: s.clock() + 10_001 }));
    s.keeper.receive(s.message('lns9', { bitsIn: 0 }));
    s.keeper.receive(genuine.slice(0, 50));
    const later = s.message('lns1', {});
    later[4] = 2;
    s.keeper.receive(later);
    expect(s.rows.servers()[0].load).toBe(0.5);
    expect(s.keeper.accepted).toBe(1);
    s.keeper.receive(s.message('lns1', { cpu: 0.5 }));
    expect(s.rows.servers()[0].load).toBeNull();
    expect(s.refused()).toEqual({
      'load-status-replayed': 1,
      'load-status-bad-hmac': 1,
      'load-status-late': 1,
      'load-status-early': 1,
      'load-status-unknown-server': 1,
      'load-status-malformed': 1,
      'load-status-version': 1,
      'load-status-incomplete': 1,
    });
    expect(s.heard).toEqual([s.binding.servers[0].index, s.binding.servers[0].index]);
  });

  test('one server’s secret is not another’s', async () => {
    const s = await begin({}, 'least-load', { loadStatus: { secret: OWN_SECRET, capacity: '1Gbit/s' } });
    s.load('lns2', 0.1);
    expect(s.refused()).toEqual({ 'load-status-bad-hmac': 1 });
    s.keeper.receive(s.message('lns2', { bitsIn: 5e8 }, {}, OWN_SECRET));
    expect(s.rows.servers()[1].load).toBe(0.5);
  });

  test('a flood of them fills neither the log nor the events', async () => {
    const s = await begin();
    for (let i = 0; i < 1000; i++) s.keeper.receive(Buffer.from('nothing of the kind'));
    expect(s.refused()).toEqual({ 'load-status-malformed': 1000 });
    expect(s.lines.filter(({ msg }) => msg === 'load status not believed').length).toBeLessThan(20);
  });
});

describe('settings', () => {
  test('secrets in files, read again at a reload; one that cannot be read leaves things as they were', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'td-load-'));
    const file = join(folder, 'secret');
    writeFileSync(file, `${SECRET}\n`);
    const s = await begin({ secret: undefined, secretFile: file });
    s.load('lns1', 0.3);
    expect(s.keeper.accepted).toBe(1);
    rmSync(folder, { recursive: true });
    await s.keeper.apply(s.config);
    s.load('lns1', 0.4);
    expect(s.keeper.accepted).toBe(2);
    expect(s.lines.some(({ msg }) => msg.includes('the old settings stay'))).toBe(true);
    await expect(new Scene(s.config).keeper.start(s.config)).rejects.toMatchObject({ code: 'TD_CONFIG' });
  });

  test('over a real socket; a port that is taken is an error with its address', async () => {
    const s = await begin();
    const socket = createSocket('udp4');
    socket.send(s.message('lns1', { bitsIn: 2e9, bitCapacity: 1e10 }), s.keeper.port ?? 0, '127.0.0.1');
    socket.send(Buffer.alloc(2000), s.keeper.port ?? 0, '127.0.0.1');
    while (s.keeper.accepted < 1 || s.refused()['load-status-malformed'] !== 1) await sleep(5);
    socket.close();
    const taken = {
      ...s.config,
      loadStatus: { ...s.config.loadStatus, listen: { host: '127.0.0.1', port: s.keeper.port ?? 0 } },
    };
    await expect(new Scene(taken).keeper.start(taken)).rejects.toMatchObject({
      code: 'TD_CONFLICT',
      message: `cannot take load status messages on 127.0.0.1:${s.keeper.port}: EADDRINUSE`,
    });
  });
});

test('over the bus of a cluster: as if it had come straight, not told on, and its copy is neither news nor an attack', async () => {
  const { designator, binding, events, now, ...scene } = new Scene(configOf({}));
  const keeper = new LoadKeeper({
    designator,
    binding,
    logger: pino({ level: 'silent' }),
    events,
    now: () => now,
    clock: () => EPOCH,
    isMember: true,
  });
  let told = 0;
  keeper.onDirect = () => void told++;
  await keeper.start({ ...scene.config, loadStatus: { ...scene.config.loadStatus, listen: null } });
  const status = (sequence: number): Uint8Array =>
    buildLoadStatus(
      { ...NOTHING_KNOWN, server: 'lns1', sequence, timeMs: EPOCH, bitsIn: 1, bitCapacity: 4 },
      Buffer.from(SECRET),
    );
  keeper.relayed(status(7), 'member 2');
  expect(keeper.said(binding.servers[0].index)).toMatchObject({ bitsIn: 1 });
  // So inactivation waits for its word, not for its time to boot.
  expect(keeper.hears(binding.servers[0].index)).toBe(true);
  expect([keeper.relays, keeper.accepted, keeper.twice, told]).toEqual([1, 1, 0, 0]);
  // Whoever waits for a server to come back may wait for its messages.
  expect(keeper.hears(binding.servers[0].index)).toBe(true);
  keeper.relayed(status(7), 'member 3');
  keeper.receive(status(7), '10.10.1.1');
  expect([keeper.relays, keeper.accepted, keeper.twice, told]).toEqual([1, 1, 2, 0]);
  keeper.receive(status(8), '10.10.1.1');
  expect([keeper.accepted, told]).toEqual([2, 1]);
  keeper.relayed(status(8), 'member 2');
  expect(keeper.twice).toBe(3);
  expect(keeper.drops().filter(({ packets }) => packets > 0)).toEqual([]);
  keeper.receive(status(8), '10.10.1.1');
  keeper.relayed(Buffer.from(status(9)).fill(0, 30, 34), 'member 2');
  keeper.relayed(new Uint8Array(3), 'member 2');
  const dropped = Object.fromEntries(keeper.drops().map(({ reason, packets }) => [reason, packets]));
  expect(dropped).toMatchObject({
    'load-status-replayed': 1,
    'load-status-bad-hmac': 1,
    'load-status-malformed': 1,
  });
});
