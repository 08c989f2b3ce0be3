/**
 * The cluster that a designator is a member of: its bus, who else is there, what this member tells of itself, words to all
 * (notices), and what only one member does. Connection state is shared by whoever attaches itself to it (`attach`).
 */
import { hostname } from 'node:os';
import type { BusChange, BusMember, BusState, ClusterBus } from '../../../cluster/bus.js';
import { monotonicSeconds } from '../../../cluster/drivers/carried-bus.js';
import type { Facts } from '../../../cluster/introductions.js';
import type { StreamRow } from '../../../cluster/replication.js';
import type { ClusterConfig } from '../../../config/cluster.js';
import type { EventLog } from '../../../ops/events.js';
import type { Logger } from '../../../ops/log.js';
import { emitNotice, type NoticeKind, readNotice } from '../../../wire/cluster-notice.js';
import { emitMemberText, type MemberText, readMemberText } from '../../../wire/cluster-member.js';
import { openBus } from '../../cluster/open-bus.js';
import { Duties, type Duty } from './duties.js';
import { hex } from './rows.js';

export interface ClusterDeskParts {
  readonly config: ClusterConfig;
  readonly logger: Logger;
  readonly events: EventLog;
  /** What of this designator all others must have alike, as it is configured now. */
  readonly facts: () => Facts;
  /** What it tells of itself, but for its name. */
  readonly describe: () => Omit<MemberText, 'name'>;
}

/** Whoever shares connection state over the bus. */
export interface SharedState {
  rows(now: number): Iterable<StreamRow>;
  /** Members that are not replicated with, and in what they differ. */
  refused(): Iterable<{ readonly number: number; readonly differences: readonly string[] }>;
  counters(): Readonly<Record<string, number>>;
}

/** `body` is only valid during the call. */
export type NoticeHandler = (from: number, body: Uint8Array) => void;

/** What others see of us is told at most so often when it changes, and at least. */
const TELL_SECONDS = 0.2;
const LEAVE_MS = 1500;

export class ClusterDesk {
  readonly config: ClusterConfig;
  readonly log: Logger;
  readonly name: string;
  readonly duties: Duties;
  readonly counters = { notices: 0, noticesUnknown: 0, noticesTooLong: 0 };
  readonly #parts: ClusterDeskParts;
  readonly #handlers = new Map<NoticeKind, NoticeHandler>();
  readonly #changeListeners: ((change: BusChange) => void)[] = [];
  #bus: ClusterBus | null = null;
  #shared: SharedState | null = null;
  /** Of members, also of those that have left. */
  readonly #names = new Map<number, string>();
  #since = 0;
  #told = '';
  #toldAt = Number.NEGATIVE_INFINITY;

  constructor(parts: ClusterDeskParts) {
    this.#parts = parts;
    this.config = parts.config;
    this.log = parts.logger;
    this.name = parts.config.member ?? hostname();
    this.duties = new Duties({
      number: parts.config.number,
      now: () => this.now(),
      members: () => this.#bus?.members() ?? [],
      ready: () => {
        const { state, part } = parts.describe();
        return state === 'ready' && part !== 'nat';
      },
      events: parts.events,
      onFault: ({ message }) =>
        this.log.warn({ reason: message }, 'no lease can be had from the store of NATS: this member has no duties'),
    });
  }

  /** Waits for nobody. Errors: see `openBus`. */
  async open(): Promise<void> {
    const { bus, store } = await openBus(this.config);
    this.#bus = bus;
    this.#since = this.now();
    bus.onChange((change) => this.#changed(change));
    bus.onState((state) => this.#stateChanged(state));
    bus.subscribe('notice', (from, _incarnation, body) => this.#notice(from, body));
    this.tick();
    this.duties.start(store);
    const { name, number } = this.config;
    this.log.info({ cluster: name, number, driver: bus.driver, state: bus.state.state }, 'member of a cluster');
  }

  /** The bus, once `open` has ended. `state` is for connection state: one subscriber. */
  get bus(): ClusterBus {
    if (this.#bus === null) throw new TypeError('the bus is not open yet');
    return this.#bus;
  }

  get number(): number {
    return this.config.number;
  }

  /** Seconds, of the bus's clock. */
  now(): number {
    return monotonicSeconds();
  }

  facts(): Facts {
    return this.#parts.facts();
  }

  get state(): BusState {
    return this.#bus?.state ?? { state: 'degraded', reason: 'the bus is not open' };
  }

  /** Of this life, as others see it. */
  get incarnation(): string {
    return hex(this.#bus?.incarnation ?? 0);
  }

  get memberSeconds(): number {
    return this.#bus === null ? 0 : this.now() - this.#since;
  }

  busCounters(): Readonly<Record<string, number>> {
    return this.#bus?.counters() ?? {};
  }

  /** Its streams are shown, and its refusals. */
  attach(shared: SharedState): void {
    this.#shared = shared;
  }

  get shared(): SharedState | null {
    return this.#shared;
  }

  /** One handler a kind. */
  onNotice(kind: NoticeKind, handler: NoticeHandler): void {
    this.#handlers.set(kind, handler);
  }

  /** To all, or to one. False: it is too long, or there is no bus yet. It may be lost on its way. */
  notify(kind: NoticeKind, body: Uint8Array, target = 0): boolean {
    if (this.#bus === null) return false;
    try {
      this.#bus.publish('notice', emitNotice(kind, body), target);
      return true;
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.counters.noticesTooLong++;
      return false;
    }
  }

  /** A member came or went. */
  onChange(listener: (change: BusChange) => void): void {
    this.#changeListeners.push(listener);
  }

  /** Something that only one designator of the cluster does: `isHeld` says whether it is this one. */
  duty(name: string, changed?: (held: boolean) => void): Duty {
    return this.duties.take(name, changed);
  }

  members(): readonly (BusMember & { readonly told: MemberText })[] {
    return (this.#bus?.members() ?? []).map((member) => ({ ...member, told: readMemberText(member.text) }));
  }

  /** As the others see this one. */
  self(): MemberText {
    return { ...this.#parts.describe(), name: this.name };
  }

  /** Why the cluster does not work as it should, or null; the designator forwards whatever it is. */
  degraded(): string | null {
    const { state } = this;
    if (state.state === 'degraded') return `cluster: ${state.reason}`;
    for (const { number, differences } of this.#shared?.refused() ?? [])
      return `cluster: member ${number} is refused: ${differences.join('; ')}`;
    return null;
  }

  /** Several times a second. */
  tick(): void {
    if (this.#bus === null) return;
    this.duties.tick();
    const now = this.now();
    if (now < this.#toldAt + TELL_SECONDS) return;
    const text = emitMemberText(this.self());
    const told = Buffer.from(text).toString('latin1');
    if (told === this.#told) return;
    this.#told = told;
    this.#toldAt = now;
    this.#bus.tell(text);
  }

  /** Tells the others that this member leaves, and gives the bus back. */
  async close(): Promise<void> {
    const bus = this.#bus;
    if (bus === null) return;
    const end = async (): Promise<void> => {
      await this.duties.close();
      await bus.close();
    };
    let timer: NodeJS.Timeout | undefined;
    // A server that is away must not keep the process from ending.
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, LEAVE_MS);
    });
    await Promise.race([end(), late]);
    clearTimeout(timer);
  }

  #changed(change: BusChange): void {
    const { kind, number, reason } = change;
    const now = this.members().find((known) => known.number === number)?.told.name ?? null;
    if (now !== null) this.#names.set(number, now);
    const member = this.#names.get(number);
    this.#parts.events.emit('cluster-member', { what: kind, number, member, reason });
    this.log.info({ number, member, reason }, `a member has ${kind}`);
    for (const listener of this.#changeListeners) listener(change);
  }

  #stateChanged(state: BusState): void {
    const reason = state.state === 'up' ? undefined : state.reason;
    this.#parts.events.emit('cluster-bus', { state: state.state, reason });
    if (state.state === 'up') this.log.info({}, 'the cluster’s bus is up');
    else this.log.warn({ reason }, 'the cluster’s bus is degraded; forwarding goes on');
  }

  #notice(from: number, bytes: Uint8Array): void {
    const notice = readNotice(bytes);
    const handler = notice === null ? undefined : this.#handlers.get(notice.kind);
    if (notice === null || handler === undefined) {
      this.counters.noticesUnknown++;
      return;
    }
    this.counters.notices++;
    handler(from, notice.body);
  }
}
