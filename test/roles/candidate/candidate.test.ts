/** The master part that an endpoint carries, under a clock and with processes of the test. */
import { beforeEach, describe, expect, test } from 'vitest';
import {
  Candidate,
  type CandidateRow,
  type CandidateWorld,
  type CarriedListener,
} from '../../../src/roles/candidate/candidate.js';

class FakeWorld implements CandidateWorld {
  time = 100;
  readonly started: CarriedListener[] = [];
  readonly files: string[] = [];
  signals: string[] = [];
  /** Ends by themselves at once. */
  refuses = false;
  #timers: { at: number; run: () => void }[] = [];

  spawn(file: string, listener: CarriedListener) {
    this.files.push(file);
    this.started.push(listener);
    if (this.refuses) listener.ended(null, 'it cannot be started: no such file');
    return { pid: 1000 + this.started.length, signal: (name: string) => void this.signals.push(name) };
  }

  now(): number {
    return this.time;
  }

  after(seconds: number, run: () => void): () => void {
    const timer = { at: this.time + seconds, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((one) => one !== timer);
    };
  }

  pass(seconds: number): void {
    const until = this.time + seconds;
    for (;;) {
      const due = this.#timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#timers = this.#timers.filter((one) => one !== due);
      this.time = due.at;
      due.run();
    }
    this.time = until;
  }

  get waiting(): number {
    return this.#timers.length;
  }

  get last(): CarriedListener {
    return this.started[this.started.length - 1];
  }
}

let world: FakeWorld;
let logged: [string, Readonly<Record<string, unknown>>, string][];
let changes: CandidateRow[];
let candidate: Candidate;

beforeEach(() => {
  world = new FakeWorld();
  logged = [];
  changes = [];
  candidate = new Candidate('/etc/master.yaml', world, {
    log: (level, fields, message) => logged.push([level, fields, message]),
    changed: (row) => changes.push(row),
  });
});

const READY = '{"level":"info","time":"2026-01-01T00:00:00Z","vips":1,"msg":"ready"}';
const states = (): string[] => changes.map(({ state }) => state);

test('it is started, and runs from its ready line on', () => {
  expect(candidate.row()).toMatchObject({ state: 'stopped', process: null, restarts: 0 });
  candidate.start();
  candidate.start();
  expect(world.files).toEqual(['/etc/master.yaml']);
  world.last.line(READY);
  world.pass(5);
  expect(states()).toEqual(['starting', 'running']);
  expect(candidate.row()).toEqual({
    config: '/etc/master.yaml',
    state: 'running',
    process: 1001,
    restarts: 0,
    reason: null,
    sinceSeconds: 5,
  });
});

test('its log goes through the endpoint’s, marked, and its ready line is not the endpoint’s', () => {
  candidate.start();
  world.last.line(READY);
  world.last.line('{"level":"error","msg":"no route","device":"lan0"}');
  world.last.line('{"level":"fatal","msg":"cannot go on"}');
  world.last.line('TypeError: something of Node');
  world.last.line('[1,2]');
  world.last.line('{"level":"info"}');
  expect(logged).toEqual([
    ['info', { part: 'master', vips: 1 }, 'master part ready'],
    ['error', { part: 'master', device: 'lan0' }, 'no route'],
    ['error', { part: 'master' }, 'cannot go on'],
    ['warn', { part: 'master' }, 'TypeError: something of Node'],
    ['warn', { part: 'master' }, '[1,2]'],
    ['info', { part: 'master' }, ''],
  ]);
});

describe('one that dies', () => {
  test('is started again, later each time, and soon again once it has run for a while', () => {
    candidate.start();
    const pauses: number[] = [];
    for (let turn = 0; turn < 10; turn++) {
      world.last.ended(70, 'it ended with status 70');
      const before = world.time;
      const count = world.started.length;
      while (world.started.length === count) world.pass(0.25);
      pauses.push(world.time - before);
    }
    expect(pauses).toEqual([0.25, 0.5, 1, 2, 4, 8, 16, 30, 30, 30]);
    world.pass(60);
    world.last.ended(null, 'it was ended by SIGKILL');
    expect(candidate.row()).toMatchObject({ state: 'waiting', process: null, reason: 'it was ended by SIGKILL' });
    world.pass(0.25);
    expect(candidate.row()).toMatchObject({ state: 'starting', restarts: 11, reason: null });
  });

  test('for its configuration or its command line is not started again before a reload', () => {
    for (const status of [78, 64]) {
      candidate.start();
      world.last.ended(status, `it ended with status ${status}`);
      const count = world.started.length;
      world.pass(1000);
      expect(world.started).toHaveLength(count);
      expect(candidate.row()).toMatchObject({ state: 'refused', reason: `it ended with status ${status}` });
      candidate.reload();
      expect(world.started).toHaveLength(count + 1);
      expect(candidate.row().state).toBe('starting');
    }
  });

  test('before it was there is one that dies, too', () => {
    world.refuses = true;
    candidate.start();
    expect(candidate.row()).toMatchObject({ state: 'waiting', process: null });
    world.refuses = false;
    world.pass(1);
    expect(candidate.row()).toMatchObject({ state: 'starting', process: 1002 });
  });
});

describe('a reload', () => {
  test('is the running process’s', () => {
    candidate.start();
    world.last.line(READY);
    candidate.reload();
    expect(world.signals).toEqual(['SIGHUP']);
    expect(world.started).toHaveLength(1);
  });

  test('does not wait for the end of a pause, and begins with short ones', () => {
    candidate.start();
    for (let turn = 0; turn < 6; turn++) {
      world.last.ended(70, 'it ended');
      world.pass(30);
    }
    world.last.ended(70, 'it ended');
    candidate.reload();
    expect(candidate.row().state).toBe('starting');
    expect(world.waiting).toBe(0);
    world.last.ended(70, 'it ended');
    world.pass(0.25);
    expect(candidate.row().state).toBe('starting');
  });

  test('of one that was stopped starts nothing', () => {
    candidate.reload();
    expect(world.started).toEqual([]);
  });
});

describe('the end', () => {
  test('is told, waited for, and final', async () => {
    candidate.start();
    const stopped = candidate.stop();
    expect(world.signals).toEqual(['SIGTERM']);
    world.last.ended(0, 'it ended with status 0');
    await stopped;
    world.pass(100);
    expect(world.signals).toEqual(['SIGTERM']);
    expect(world.started).toHaveLength(1);
    expect(candidate.row()).toMatchObject({ state: 'stopped', process: null, reason: null });
  });

  test('comes by force after eight seconds', async () => {
    candidate.start();
    const stopped = candidate.stop();
    world.pass(7.9);
    expect(world.signals).toEqual(['SIGTERM']);
    world.pass(0.1);
    expect(world.signals).toEqual(['SIGTERM', 'SIGKILL']);
    world.last.ended(null, 'it was ended by SIGKILL');
    await stopped;
  });

  test('of one that waits for its next start needs no waiting', async () => {
    candidate.start();
    world.last.ended(70, 'it ended');
    await candidate.stop();
    world.pass(100);
    expect(world.started).toHaveLength(1);
  });
});
