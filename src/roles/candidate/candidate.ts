/**
 * The master part that a tunnel endpoint carries (document 001: the cluster master may be one of the tunnel endpoints):
 * `designator run` as a process of its own, started, watched and started again by the endpoint. A process and no thread,
 * so that either may die without the other: tunnels at this endpoint outlive its master part, and another endpoint is
 * elected when only that is gone. It ends with the endpoint, whatever ended that, because its standard input ends.
 */
import { EXIT } from '../../errors.js';

/** A child process, as the candidate needs it. */
export interface CarriedProcess {
  readonly pid: number | null;
  signal(name: 'SIGTERM' | 'SIGHUP' | 'SIGKILL'): void;
}

export interface CarriedListener {
  /** One line of its log. */
  line(text: string): void;
  /** Called once. `status`: null when a signal ended it; `why`: for people. */
  ended(status: number | null, why: string): void;
}

export interface CandidateWorld {
  /** Starts `designator run --attached -c FILE`. A program that cannot be started has `ended` called. */
  spawn(file: string, listener: CarriedListener): CarriedProcess;
  /** Seconds, monotonic. */
  now(): number;
  /** Calls `run` later; the answer forgets it. */
  after(seconds: number, run: () => void): () => void;
}

/** Where the candidate tells what happens. */
export interface CandidateReports {
  /** A line of the carried process. `fields`: as it wrote them, without level, time and message. */
  log(level: 'info' | 'warn' | 'error', fields: Readonly<Record<string, unknown>>, message: string): void;
  changed(row: CandidateRow): void;
}

/**
 * starting: not ready yet. running: ready. waiting: it ended, and is started again after a pause. refused: its
 * configuration does not permit a start; a reload tries again. stopped: by us.
 */
export type CandidateState = 'starting' | 'running' | 'waiting' | 'refused' | 'stopped';

/** `show master` of an endpoint. */
export interface CandidateRow {
  readonly config: string;
  readonly state: CandidateState;
  readonly process: number | null;
  /** Starts after the first. */
  readonly restarts: number;
  /** Why it is not running. */
  readonly reason: string | null;
  readonly sinceSeconds: number;
}

/** Pause before a start: twice as long each time, until it has run for STEADY. */
const PAUSE_FIRST = 0.25;
const PAUSE_MAX = 30;
const STEADY = 60;
/** An orderly end has this long. */
const STOP_SECONDS = 8;
/** Ends by which a process says that another start would end like this one (sysexits). */
const FINAL: ReadonlySet<number | null> = new Set([EXIT.usage, EXIT.config]);
const READY = 'ready';
const LEVELS: Readonly<Record<string, 'info' | 'warn' | 'error'>> = { warn: 'warn', error: 'error', fatal: 'error' };

export class Candidate {
  readonly #file: string;
  readonly #world: CandidateWorld;
  readonly #reports: CandidateReports;
  /** Started and not stopped. */
  #wanted = false;
  #state: CandidateState = 'stopped';
  #reason: string | null = null;
  #since: number;
  #process: CarriedProcess | null = null;
  #starts = 0;
  #startedAt = 0;
  #pause = PAUSE_FIRST;
  #forget: () => void = () => {};
  #ended: () => void = () => {};

  constructor(file: string, world: CandidateWorld, reports: CandidateReports) {
    this.#file = file;
    this.#world = world;
    this.#reports = reports;
    this.#since = world.now();
  }

  start(): void {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#launch();
  }

  /** Its configuration is read again: by the running process, or by a new one where the last did not want to start. */
  reload(): void {
    if (this.#process !== null) return this.#process.signal('SIGHUP');
    if (!this.#wanted) return;
    this.#forget();
    this.#pause = PAUSE_FIRST;
    this.#launch();
  }

  /** Resolves when it has ended. It is told first, and given some seconds. */
  stop(): Promise<void> {
    this.#wanted = false;
    this.#forget();
    const carried = this.#process;
    this.#enter('stopped', null);
    if (carried === null) return Promise.resolve();
    return new Promise((resolve) => {
      this.#ended = resolve;
      this.#forget = this.#world.after(STOP_SECONDS, () => carried.signal('SIGKILL'));
      carried.signal('SIGTERM');
    });
  }

  row(): CandidateRow {
    return {
      config: this.#file,
      state: this.#state,
      process: this.#process?.pid ?? null,
      restarts: Math.max(0, this.#starts - 1),
      reason: this.#reason,
      sinceSeconds: Math.max(0, this.#world.now() - this.#since),
    };
  }

  #launch(): void {
    this.#starts++;
    this.#startedAt = this.#world.now();
    let over = false;
    const carried = this.#world.spawn(this.#file, {
      line: (text) => this.#line(text),
      ended: (status, why) => {
        over = true;
        this.#over(status, why);
      },
    });
    // One that could not be started at all may have said so already.
    if (over) return;
    this.#process = carried;
    this.#enter('starting', null);
  }

  #line(text: string): void {
    const { level, msg, fields } = readLine(text);
    if (msg === READY && this.#state === 'starting') this.#enter('running', null);
    // The endpoint's own ready line is for those who wait for it: this one has another message.
    this.#reports.log(level, { part: 'master', ...fields }, msg === READY ? 'master part ready' : msg);
  }

  #over(status: number | null, why: string): void {
    this.#process = null;
    this.#forget();
    if (!this.#wanted) return this.#ended();
    if (FINAL.has(status)) return this.#enter('refused', why);
    if (this.#world.now() - this.#startedAt >= STEADY) this.#pause = PAUSE_FIRST;
    const pause = this.#pause;
    this.#pause = Math.min(PAUSE_MAX, pause * 2);
    this.#forget = this.#world.after(pause, () => this.#launch());
    this.#enter('waiting', why);
  }

  #enter(state: CandidateState, reason: string | null): void {
    if (state === this.#state && reason === this.#reason) return;
    this.#state = state;
    this.#reason = reason;
    this.#since = this.#world.now();
    this.#reports.changed(this.row());
  }
}

interface LogLine {
  readonly level: 'info' | 'warn' | 'error';
  readonly msg: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A line of our log; anything else is a sentence of somebody's, as an error of Node. */
function readLine(text: string): LogLine {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return { level: 'warn', msg: text, fields: {} };
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    return { level: 'warn', msg: text, fields: {} };
  const { level, time: _time, msg, ...fields } = parsed as Record<string, unknown>;
  return { level: LEVELS[String(level)] ?? 'info', msg: typeof msg === 'string' ? msg : '', fields };
}
