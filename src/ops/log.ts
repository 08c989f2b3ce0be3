/** Logs: JSON lines, one object a line, for journald or any collector. */
import { type DestinationStream, type Logger, pino, symbols } from 'pino';
import { LogDestination } from './log-destination.js';

export type { Logger };
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error';

/** What may wait for a reader of the log that stands still; lines beyond it are lost rather than the process stopped. */
const BACKLOG_LIMIT_BYTES = 1024 * 1024;
/** Different message ids that `limited` tells apart for one logger; all beyond share one budget. */
const LIMITED_IDS_MAX = 256;

/**
 * The process's logger. Lines carry `level` (a word), `time` (ISO 8601, UTC) and `msg`; errors stand in `err` with
 * their code and context. Writes to stdout unless a destination is given; never blocks on a reader that does not read, and
 * outlives a disk that is full.
 */
export function createLogger(level: LogLevel, destination?: DestinationStream): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination ?? new LogDestination({ fd: 1, backlog: BACKLOG_LIMIT_BYTES }),
  );
}

/** The line that `designator run` prints when traffic flows: scripts and tests wait for `"msg":"ready"`. */
export function logReady(logger: Logger, facts: Record<string, unknown>): void {
  logger.info(facts, 'ready');
}

/** Why the log cannot be written now, with what is lost of it; null: it can. */
export function logTrouble(logger: Logger): string | null {
  const stream = (logger as unknown as Record<symbol, unknown>)[symbols.streamSym];
  if (!(stream instanceof LogDestination) || stream.trouble === null) return null;
  return `the log cannot be written, ${stream.lost} lines are lost: ${stream.trouble}`;
}

/** Writes what waits, now. For the last words before a hard end; an ordinary exit does it by itself. */
export function flushLogger(logger: Logger): void {
  const stream = (logger as unknown as Record<symbol, { flushSync?: () => void }>)[symbols.streamSym];
  try {
    stream.flushSync?.();
  } catch {
    // Nothing can be logged about a log that cannot be written.
  }
}

export interface LimitedLogger {
  info(facts: Record<string, unknown>, message: string): void;
  warn(facts: Record<string, unknown>, message: string): void;
  error(facts: Record<string, unknown>, message: string): void;
  /** Lines held back since the last one that was written. */
  readonly suppressed: number;
}

class Budget implements LimitedLogger {
  suppressed = 0;
  readonly #logger: Logger;
  readonly #id: string;
  #perSecond: number;
  readonly #clock: () => number;
  #second = Number.NaN;
  #written = 0;

  constructor(logger: Logger, id: string, perSecond: number, clock: () => number) {
    this.#logger = logger;
    this.#id = id;
    this.#perSecond = perSecond;
    this.#clock = clock;
  }

  set perSecond(value: number) {
    this.#perSecond = value;
  }

  info(facts: Record<string, unknown>, message: string): void {
    this.#write('info', facts, message);
  }

  warn(facts: Record<string, unknown>, message: string): void {
    this.#write('warn', facts, message);
  }

  error(facts: Record<string, unknown>, message: string): void {
    this.#write('error', facts, message);
  }

  #write(level: 'info' | 'warn' | 'error', facts: Record<string, unknown>, message: string): void {
    const second = Math.floor(this.#clock() / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#written = 0;
    }
    if (this.#written >= this.#perSecond) {
      this.suppressed++;
      return;
    }
    this.#written++;
    const line =
      this.suppressed === 0 ? { id: this.#id, ...facts } : { id: this.#id, suppressed: this.suppressed, ...facts };
    this.suppressed = 0;
    this.#logger[level](line, message);
  }
}

const budgets = new WeakMap<Logger, Map<string, Budget>>();

/**
 * A logger for one kind of message that writes at most `perSecond` lines in each second of the clock. The next line
 * that is written says in `suppressed` how many were not. The same logger and id share one budget, wherever they call from.
 * `clock` gives milliseconds; only the first call for an id may choose it.
 */
export function limited(logger: Logger, id: string, perSecond: number, clock: () => number = Date.now): LimitedLogger {
  let ids = budgets.get(logger);
  if (ids === undefined) budgets.set(logger, (ids = new Map()));
  const key = ids.has(id) || ids.size < LIMITED_IDS_MAX ? id : 'other';
  let budget = ids.get(key);
  if (budget === undefined) ids.set(key, (budget = new Budget(logger, key, perSecond, clock)));
  else budget.perSecond = perSecond;
  return budget;
}
