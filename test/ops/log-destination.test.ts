/** A log whose reader stands still, whose disk is full, or whose reader has gone: none of it stops who logs. */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { createLogger, flushLogger, logTrouble } from '../../src/ops/log.js';
import { LogDestination } from '../../src/ops/log-destination.js';

/** A disk with room for `room` bytes. */
class Disk {
  room = Number.POSITIVE_INFINITY;
  code = 'ENOSPC';
  text = '';
  tries = 0;
  readonly #waiting: (() => void)[] = [];

  readonly writeSync = (_fd: number, bytes: Uint8Array): number => {
    this.tries++;
    const count = Math.min(bytes.length, this.room);
    if (count === 0) throw Object.assign(new Error(`${this.code}: refused, write`), { code: this.code });
    this.room -= count;
    this.text += Buffer.from(bytes.subarray(0, count)).toString();
    return count;
  };

  readonly write = (
    fd: number,
    bytes: Uint8Array,
    done: (error: NodeJS.ErrnoException | null, n: number) => void,
  ): void =>
    void this.#waiting.push(() => {
      let count = 0;
      let failure: NodeJS.ErrnoException | null = null;
      try {
        count = this.writeSync(fd, bytes);
      } catch (error) {
        failure = error as NodeJS.ErrnoException;
      }
      done(failure, count);
    });

  /** Everything that is under way gets its end. */
  turn(): void {
    for (let act = this.#waiting.shift(); act !== undefined; act = this.#waiting.shift()) act();
  }
}

function open(backlog = 1000): { disk: Disk; log: LogDestination } {
  const disk = new Disk();
  return { disk, log: new LogDestination({ fd: 9, backlog, write: disk.write, writeSync: disk.writeSync }) };
}

afterEach(() => void vi.useRealTimers());

test('lines go out in order, in as few writes as the disk takes', () => {
  const { disk, log } = open();
  for (let n = 0; n < 50; n++) log.write(`line ${n}\n`);
  disk.turn();
  expect(disk.text).toBe(Array.from({ length: 50 }, (_, n) => `line ${n}\n`).join(''));
  expect(disk.tries).toBe(2);
  expect(log).toMatchObject({ lost: 0, refused: 0, trouble: null });
});

test('a full disk: lines wait up to the limit, later ones are lost and counted; when there is room it goes on', () => {
  vi.useFakeTimers();
  const { disk, log } = open(40);
  disk.room = 4;
  for (let n = 0; n < 9; n++) log.write(`line ${n}\n`);
  disk.turn();
  expect(disk.text).toBe('line');
  expect(log.trouble).toBe('ENOSPC: refused, write');
  expect(log.lost).toBeGreaterThan(0);
  vi.advanceTimersByTime(250);
  disk.turn();
  expect(log.refused).toBeGreaterThan(0);
  disk.room = Number.POSITIVE_INFINITY;
  vi.advanceTimersByTime(150);
  disk.turn();
  expect(disk.text.startsWith('line 0\nline 1\n')).toBe(true);
  expect(log.trouble).toBeNull();
  log.write('after\n');
  disk.turn();
  expect(disk.text.endsWith('after\n')).toBe(true);
});

test('the last flush ends, whatever the disk says', () => {
  const { disk, log } = open();
  log.write('first\n');
  log.write('second\n');
  disk.room = 0;
  log.flushSync();
  expect(disk.tries).toBe(1);
  expect(log.trouble).toBe('ENOSPC: refused, write');
  disk.room = 1000;
  log.flushSync();
  // The first was under way already.
  expect(disk.text).toBe('second\n');
  disk.turn();
  expect(disk.text).toBe('second\nfirst\n');
});

test('a reader that is slow is waited for; one that has gone ends the log without a word', () => {
  vi.useFakeTimers();
  const { disk, log } = open();
  disk.room = 0;
  disk.code = 'EAGAIN';
  log.write('a\n');
  disk.turn();
  expect(log).toMatchObject({ trouble: null, refused: 0 });
  disk.code = 'EPIPE';
  vi.advanceTimersByTime(150);
  disk.turn();
  disk.room = 100;
  log.write('b\n');
  vi.advanceTimersByTime(1000);
  disk.turn();
  log.flushSync();
  expect(disk.text).toBe('');
  expect(log).toMatchObject({ trouble: null, refused: 0 });
});

test('a logger says what ails it, and writes to a true file', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'td-log-'));
  const fd = openSync(join(folder, 'log'), 'w');
  try {
    const logger = createLogger('info', new LogDestination({ fd, backlog: 10_000 }));
    logger.info('one');
    await vi.waitFor(() => expect(readFileSync(join(folder, 'log'), 'utf8')).toContain('"msg":"one"'));
    logger.fatal('two');
    flushLogger(logger);
    await vi.waitFor(() => expect(readFileSync(join(folder, 'log'), 'utf8')).toContain('"msg":"two"'));
    expect(logTrouble(logger)).toBeNull();
  } finally {
    closeSync(fd);
    rmSync(folder, { recursive: true });
  }
  const full = openSync('/dev/full', 'w');
  try {
    const logger = createLogger('info', new LogDestination({ fd: full, backlog: 10_000 }));
    logger.info('one');
    await vi.waitFor(() => expect(logTrouble(logger)).toMatch(/^the log cannot be written, 0 lines are lost: ENOSPC/));
    logger.fatal('two');
    flushLogger(logger);
  } finally {
    closeSync(full);
  }
  expect(logTrouble(createLogger('info', { write: () => undefined }))).toBeNull();
});
