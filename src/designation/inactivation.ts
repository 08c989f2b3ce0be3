/**
 * Which servers of a VIP the present load needs (document 001: the cluster master "can inactivate one or more tunnel
 * endpoint devices if they are unnecessary given the level of traffic"). No clock, no I/O: it is told what is, says what
 * is to be done, and is told what came of it. Main thread only.
 *
 * The rule. The load is the sum of what servers say of themselves, each times its capacity. When the servers that would
 * be left could carry it, and what it is expected to become while a server boots, below `below`, for `after` without a
 * break, one is emptied: the one with the fewest tunnels. Empty, it is inactive and powered off. When those that serve
 * are expected to be above `above`, one is brought back: first one that is still being emptied, else the first inactive
 * one. `below` is judged without the server and lies under `above`, so that one step never calls for its opposite.
 *
 * What is not known counts against emptying: while any serving server's load is unknown nobody is emptied, and the load
 * of one that has just gone down is expected to come back to the others.
 */
import { SERVER_STATE } from '../flow/layout.js';
import { Trend } from './trend.js';

/** Seconds. */
export interface InactivationSettings {
  readonly below: number;
  readonly above: number;
  readonly minimum: number;
  readonly after: number;
  readonly deadline: number | null;
  readonly boot: number;
}

/** A server as it is at the moment. */
export interface InactivationServer {
  /** Index of its cell. */
  readonly index: number;
  /** SERVER_STATE */
  readonly state: number;
  /** An operator has ordered something else of it: it is left alone. */
  readonly ordered: boolean;
  /** In any unit, the same for all servers of the VIP. */
  readonly capacity: number;
  /** Part of its capacity in use; null unknown, or known too long ago. */
  readonly load: number | null;
  /** null: not known. */
  readonly tunnels: number | null;
  /** Seconds: when it was last heard to take tunnels; null: never, or it cannot be. */
  readonly heard: number | null;
  /** There is something that it can be heard by: load status messages, or the active check. */
  readonly audible: boolean;
}

export type InactivationKind =
  | 'empty'
  | 'serve'
  | 'withdraw'
  | 'close'
  | 'off'
  | 'retry-off'
  | 'on'
  | 'back'
  | 'failed';
/**
 * empty: no new tunnels from now on. serve: emptying is called off. withdraw: the same of one that is down. close: its deadline has come. off: it is empty, so
 * inactive, and to be powered off (retry-off: once more). on: power it on. back: it takes tunnels again. failed: it was
 * powered on and has not come.
 */
export interface InactivationStep {
  readonly kind: InactivationKind;
  readonly server: number;
  /** Why, in words; '' where the kind says it. */
  readonly detail: string;
}

export type InactivationPhase = 'emptying' | 'inactive' | 'waking';

interface Course {
  phase: InactivationPhase;
  /** By an operator's command: the load neither calls it off nor brings it back. */
  byCommand: boolean;
  since: number;
  /** When what is left is closed; null: never. */
  deadline: number | null;
  isClosed: boolean;
  /** A hook runs. */
  isBusy: boolean;
  failures: number;
  /** A server that failed to come is not tried before this. */
  onAt: number;
  /** The hook `off` is still to be run, and not before this. */
  owesOff: boolean;
  offAt: number;
}

/** A server that was not heard of after so many times `boot` has failed to come. */
const PATIENCE = 2;
/** After its deadline a server is given this long to become empty; then it is off with what is left on it. */
const CLOSING_SECONDS = 40;
const RETRY_FIRST = 30;
const RETRY_MOST = 3600;
/** The trend is foreseen a little longer than a server takes. */
const HORIZON = 1.25;

export class Inactivation {
  /** Index of the server's cell → what is under way with it. */
  readonly #courses = new Map<number, Course>();
  /** What a server that serves carried last, in units of capacity. */
  readonly #carried = new Map<number, number>();
  /** What went with a server that went down, and until when it is expected back. */
  readonly #lost = new Map<number, { load: number; until: number }>();
  #settings: InactivationSettings;
  #trend: Trend;
  /** Since when a server could be spared; null: none can. */
  #spareSince: number | null = null;
  #serving = '';

  constructor(settings: InactivationSettings) {
    this.#settings = settings;
    this.#trend = newTrend(settings);
  }

  setSettings(settings: InactivationSettings): void {
    if (settings.boot !== this.#settings.boot) this.#trend = newTrend(settings);
    this.#settings = settings;
    this.#spareSince = null;
  }

  phase(server: number): InactivationPhase | null {
    return this.#courses.get(server)?.phase ?? null;
  }

  /** It was brought here by an operator's command. */
  isCommanded(server: number): boolean {
    return this.#courses.get(server)?.byCommand ?? false;
  }

  /** Found as it is by a process that has just started. */
  adopt(server: number, phase: 'emptying' | 'inactive', byCommand: boolean, now: number): void {
    const course = newCourse(phase, byCommand, now);
    if (phase === 'emptying') course.deadline = this.#deadline(now);
    this.#courses.set(server, course);
  }

  /** An operator wants something else of it, or it is no longer in the configuration. */
  forget(server: number): void {
    this.#courses.delete(server);
    this.#carried.delete(server);
    this.#lost.delete(server);
  }

  /** An operator's order. `deadline`: seconds; undefined: the settings' own. */
  empty(server: number, now: number, deadline?: number): InactivationStep[] {
    const known = this.#courses.get(server);
    if (known?.phase === 'inactive') {
      known.byCommand = true;
      return [];
    }
    const course = newCourse('emptying', true, now);
    course.deadline = deadline === undefined ? this.#deadline(now) : now + deadline;
    this.#courses.set(server, course);
    return [{ kind: 'empty', server, detail: 'command' }];
  }

  /** An operator's order: what is off comes back, what is being emptied serves on. */
  activate(server: number, now: number): InactivationStep[] {
    const course = this.#courses.get(server);
    if (course === undefined) return [];
    course.byCommand = true;
    if (course.phase === 'waking') return [];
    if (course.phase === 'emptying') return this.#serve(server, 'command');
    return this.#wake(server, course, now, 'command');
  }

  /** What a hook came to. */
  ran(server: number, hook: 'on' | 'off', ok: boolean, now: number): InactivationStep[] {
    const course = this.#courses.get(server);
    if (course === undefined) return [];
    course.isBusy = false;
    if (hook === 'on' && course.phase === 'waking') {
      if (!ok) return this.#failed(server, course, now, 'the command `on` failed');
      course.since = now;
    }
    if (hook === 'off' && course.phase === 'inactive') {
      course.owesOff = !ok;
      if (ok) course.failures = 0;
      else course.offAt = now + pauseAfter(course);
    }
    return [];
  }

  /**
   * What is to be done now, in this order. `decides`: false where another member of the cluster decides; what is under
   * way is then left to it, too.
   */
  tick(servers: readonly InactivationServer[], now: number, decides: boolean): InactivationStep[] {
    this.#follow(servers, now);
    if (!decides) {
      this.#spareSince = null;
      return [];
    }
    const steps = servers.flatMap((server) => this.#advance(server, now));
    steps.push(...this.#weigh(servers, now));
    return steps;
  }

  // ── what is under way ─────────────────────────────────────────────────────────────────────────────────────────────

  #advance(server: InactivationServer, now: number): InactivationStep[] {
    const { index } = server;
    const course = this.#courses.get(index);
    if (course === undefined || course.isBusy) return [];
    switch (course.phase) {
      case 'emptying':
        return this.#empties(server, course, now);
      case 'inactive':
        if (!course.owesOff || now < course.offAt) return [];
        course.isBusy = true;
        return [{ kind: 'retry-off', server: index, detail: '' }];
      case 'waking': {
        const { boot } = this.#settings;
        const isHeard = server.audible
          ? server.heard !== null && server.heard > course.since
          : now - course.since >= boot;
        if (isHeard) {
          this.#courses.delete(index);
          this.#spareSince = null;
          return [
            { kind: 'back', server: index, detail: server.audible ? 'it was heard' : 'its time to boot is over' },
          ];
        }
        if (now - course.since < boot * PATIENCE) return [];
        return this.#failed(index, course, now, `not heard of for ${boot * PATIENCE} s after it was powered on`);
      }
    }
  }

  #empties({ index, state, tunnels }: InactivationServer, course: Course, now: number): InactivationStep[] {
    if (state === SERVER_STATE.down) {
      // Health has it now; whether it was needed is another question when it is back.
      if (course.byCommand) return tunnels === 0 ? this.#off(index, course, now, 'down') : [];
      this.#courses.delete(index);
      return [{ kind: 'withdraw', server: index, detail: '' }];
    }
    if (tunnels === 0) return this.#off(index, course, now, 'empty');
    if (course.deadline === null || now < course.deadline) return [];
    if (!course.isClosed) {
      course.isClosed = true;
      return [{ kind: 'close', server: index, detail: tunnels === null ? '' : `${tunnels} tunnels are left` }];
    }
    if (now < course.deadline + CLOSING_SECONDS) return [];
    return this.#off(index, course, now, 'its deadline has passed');
  }

  #off(server: number, course: Course, now: number, detail: string): InactivationStep[] {
    course.phase = 'inactive';
    course.since = now;
    course.isBusy = true;
    course.owesOff = true;
    course.failures = 0;
    return [{ kind: 'off', server, detail }];
  }

  #wake(server: number, course: Course, now: number, detail: string): InactivationStep[] {
    course.phase = 'waking';
    course.since = now;
    course.isBusy = true;
    course.owesOff = false;
    return [{ kind: 'on', server, detail }];
  }

  #serve(server: number, detail: string): InactivationStep[] {
    this.#courses.delete(server);
    this.#spareSince = null;
    return [{ kind: 'serve', server, detail }];
  }

  #failed(server: number, course: Course, now: number, detail: string): InactivationStep[] {
    course.phase = 'inactive';
    course.since = now;
    course.onAt = now + pauseAfter(course);
    return [{ kind: 'failed', server, detail }];
  }

  #deadline(now: number): number | null {
    const { deadline } = this.#settings;
    return deadline === null ? null : now + deadline;
  }

  // ── the load ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Who serves, and what they carry. */
  #follow(servers: readonly InactivationServer[], now: number): void {
    for (const { index, state, load, capacity } of servers) {
      if (isServing(state) || this.#courses.get(index)?.phase === 'emptying') {
        if (load !== null) this.#carried.set(index, load * capacity);
        this.#lost.delete(index);
        continue;
      }
      const carried = this.#carried.get(index);
      if (carried === undefined) continue;
      this.#carried.delete(index);
      const until = now + Math.max(this.#settings.after, this.#settings.boot);
      if (isGone(state)) this.#lost.set(index, { load: carried, until });
    }
    for (const [index, { until }] of this.#lost) if (now >= until) this.#lost.delete(index);
    const serving = servers.filter(({ state }) => isServing(state)).map(({ index }) => index);
    if (serving.join() !== this.#serving) {
      this.#serving = serving.join();
      this.#spareSince = null;
    }
  }

  #weigh(servers: readonly InactivationServer[], now: number): InactivationStep[] {
    const { above, minimum, boot } = this.#settings;
    const serving = servers.filter(({ index, state }) => isServing(state) && !this.#courses.has(index));
    const coming = servers.filter(({ index }) => this.#courses.get(index)?.phase === 'waking');
    let load = 0;
    for (const carried of this.#carried.values()) load += carried;
    for (const lost of this.#lost.values()) load += lost.load;
    this.#trend.add(now, load);
    const expected = load + Math.max(0, this.#trend.slope) * boot * HORIZON;
    const capacity = sum(serving) + sum(coming);
    const isShort = expected > above * capacity || serving.length + coming.length < minimum;
    if (isShort) {
      this.#spareSince = null;
      const why = serving.length + coming.length < minimum ? `fewer than ${minimum} serve` : loads(expected, capacity);
      return this.#bringBack(servers, now, why);
    }
    return this.#spare(serving, coming.length, expected, now);
  }

  /** The cheapest first: one that still serves those that it has. */
  #bringBack(servers: readonly InactivationServer[], now: number, why: string): InactivationStep[] {
    for (const { index } of servers) {
      const course = this.#courses.get(index);
      if (course?.phase === 'emptying' && !course.byCommand) return this.#serve(index, why);
    }
    for (const { index } of servers) {
      const course = this.#courses.get(index);
      if (course?.phase !== 'inactive' || course.byCommand || course.isBusy || now < course.onAt) continue;
      return this.#wake(index, course, now, why);
    }
    return [];
  }

  #spare(serving: readonly InactivationServer[], coming: number, expected: number, now: number): InactivationStep[] {
    const { below, minimum, after } = this.#settings;
    const isKnown = serving.every(({ load }) => load !== null);
    const isQuiet = coming === 0 && ![...this.#courses.values()].some(({ phase }) => phase === 'emptying');
    const all = sum(serving);
    const candidates = serving.filter(
      ({ state, ordered, capacity }) => state === SERVER_STATE.up && !ordered && expected < below * (all - capacity),
    );
    if (!isKnown || !isQuiet || serving.length <= minimum || candidates.length === 0) {
      this.#spareSince = null;
      return [];
    }
    this.#spareSince ??= now;
    if (now - this.#spareSince < after) return [];
    // The last of the file among those that are alike.
    const chosen = candidates.reduce((best, one) => (cost(one) <= cost(best) ? one : best));
    const course = newCourse('emptying', false, now);
    course.deadline = this.#deadline(now);
    this.#courses.set(chosen.index, course);
    this.#spareSince = null;
    return [{ kind: 'empty', server: chosen.index, detail: loads(expected, all - chosen.capacity) }];
  }
}

function newTrend({ boot }: InactivationSettings): Trend {
  return new Trend(Math.min(1800, Math.max(4, boot * 2)));
}

function newCourse(phase: InactivationPhase, byCommand: boolean, now: number): Course {
  return {
    phase,
    byCommand,
    since: now,
    deadline: null,
    isClosed: false,
    isBusy: false,
    failures: 0,
    onAt: 0,
    owesOff: false,
    offAt: 0,
  };
}

/** Seconds until something is tried again that has failed once more. */
function pauseAfter(course: Course): number {
  const pause = Math.min(RETRY_MOST, RETRY_FIRST * 2 ** course.failures);
  course.failures = Math.min(course.failures + 1, 16);
  return pause;
}

function isServing(state: number): boolean {
  return state === SERVER_STATE.up || state === SERVER_STATE.slowStart;
}

/** It has lost its tunnels, or soon will, and they come back to the others. */
function isGone(state: number): boolean {
  return state === SERVER_STATE.down || state === SERVER_STATE.suspect || state === SERVER_STATE.disabled;
}

const sum = (servers: readonly InactivationServer[]): number =>
  servers.reduce((total, { capacity }) => total + capacity, 0);

/** What emptying a server costs: tunnels, or else its load. */
const cost = ({ tunnels, load, capacity }: InactivationServer): number => tunnels ?? (load ?? 1) * capacity * 1e6;

function loads(expected: number, capacity: number): string {
  return `a load of ${Math.round((100 * expected) / Math.max(capacity, 1e-9))} % is expected`;
}
