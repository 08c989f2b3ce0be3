import { expect, test } from 'vitest';
import { DesignatorError } from '../../src/errors.js';
import { createLogger, limited, logReady } from '../../src/ops/log.js';

function record(level: 'debug' | 'info' | 'warn' = 'debug') {
  const lines: string[] = [];
  const logger = createLogger(level, { write: (line) => void lines.push(line) });
  return { logger, lines, rows: () => lines.map((line) => JSON.parse(line)) };
}

test('a line is one JSON object with level word, ISO time and message; nothing of the machine', () => {
  const { logger, lines, rows } = record();
  logReady(logger, { io: 'packet', shards: 2 });
  expect(lines[0]).toMatch(/^\{.*"msg":"ready".*\}\n$/);
  expect(rows()[0]).toEqual({
    level: 'info',
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    io: 'packet',
    shards: 2,
    msg: 'ready',
  });
});

test('levels below the set one are not written', () => {
  const { logger, rows } = record('warn');
  logger.info('no');
  logger.warn('yes');
  expect(rows().map(({ msg }) => msg)).toEqual(['yes']);
});

test('an error stands with its code and facts', () => {
  const { logger, rows } = record();
  logger.error({ err: new DesignatorError('TD_CONFLICT', 'a sentence', { path: 'x' }) }, 'could not start');
  expect(rows()[0].err).toMatchObject({ code: 'TD_CONFLICT', message: 'a sentence', context: { path: 'x' } });
});

test('limited: so many lines in a second, the next one tells how many were held back', () => {
  const { logger, rows } = record();
  let now = 5000;
  const log = limited(logger, 'no-server', 2, () => now);
  for (let i = 0; i < 10; i++) log.warn({ vip: 'access' }, 'no server');
  expect(rows().length).toBe(2);
  expect(log.suppressed).toBe(8);
  now = 6000;
  log.warn({ vip: 'access' }, 'no server');
  log.warn({ vip: 'access' }, 'no server');
  expect(rows().slice(2)).toMatchObject([{ id: 'no-server', suppressed: 8, vip: 'access' }, { id: 'no-server' }]);
  expect(rows()[3].suppressed).toBeUndefined();
});

test('limited: one budget for an id, another for another id or logger', () => {
  const [first, second] = [record(), record()];
  const clock = () => 1000;
  limited(first.logger, 'a', 1, clock).info({}, '1');
  limited(first.logger, 'a', 1).info({}, '2');
  limited(first.logger, 'b', 1, clock).info({}, '3');
  limited(second.logger, 'a', 1, clock).info({}, '4');
  expect(first.rows().map(({ msg }) => msg)).toEqual(['1', '3']);
  expect(second.rows().length).toBe(1);
});

test('limited: ids without end share one budget instead of memory without end', () => {
  const { logger, rows } = record();
  for (let i = 0; i < 1000; i++) limited(logger, `client ${i}`, 1, () => 0).warn({}, 'x');
  expect(rows().length).toBe(257);
  expect(rows()[256].id).toBe('other');
});
