/**
 * Empties the shards' event rings into the event log. What a shard says stays in words until somebody reads it; here is
 * what the words mean.
 */
import { ALL_DROP_REASONS } from '../../dataplane/counters.js';
import { CLOSE_REASON, NO_SERVER, SHARD_EVENT, SHARD_EVENT_WORD } from '../../dataplane/event-tap.js';
import type { EventRing } from '../../flow/event-ring.js';
import type { EventFields, EventLog, EventType } from '../../ops/events.js';
import { DESCRIPTORS } from '../../tunnels/index.js';
import { formatEndpoint } from '../../wire/address.js';
import type { Binding } from './binding.js';

/** A look while little happens; a busy ring is looked at more often. */
const POLL_MS = 50;
const BUSY_POLL_MS = 10;
/** Events taken from one ring at a time, so that the main thread's other work goes on. */
const TAKE_LIMIT = 4096;
const TWO_32 = 4294967296;

const W = SHARD_EVENT_WORD;
const TYPES: readonly (EventType | undefined)[] = (() => {
  const types: EventType[] = [];
  types[SHARD_EVENT.request] = 'tunnel-request';
  types[SHARD_EVENT.established] = 'tunnel-established';
  types[SHARD_EVENT.closed] = 'tunnel-closed';
  types[SHARD_EVENT.sessionRequested] = 'session-requested';
  types[SHARD_EVENT.sessionEstablished] = 'session-established';
  types[SHARD_EVENT.sessionClosed] = 'session-closed';
  types[SHARD_EVENT.refused] = 'request-refused';
  return types;
})();

const CLOSE_WORDS: readonly string[] = (() => {
  const words: string[] = [];
  words[CLOSE_REASON.clientStop] = 'client';
  words[CLOSE_REASON.serverStop] = 'server';
  words[CLOSE_REASON.idle] = 'idle-timeout';
  words[CLOSE_REASON.halfOpen] = 'half-open-timeout';
  words[CLOSE_REASON.elsewhere] = 'passed-on';
  words[CLOSE_REASON.command] = 'command';
  words[CLOSE_REASON.serverDown] = 'server-down';
  words[CLOSE_REASON.moved] = 'moved';
  words[CLOSE_REASON.other] = 'other';
  return words;
})();

const PROTOCOLS = new Map([...DESCRIPTORS.values()].map(({ id, name }) => [id, name]));

export class EventPump {
  readonly #refused: number[];
  #timer: NodeJS.Timeout | null = null;
  readonly #teller = (words: Int32Array): EventFields => tell(words, this.binding, this.ruleName);

  /** `monotonic`: CLOCK_MONOTONIC seconds, the clock of the shards. */
  constructor(
    readonly log: EventLog,
    readonly rings: readonly EventRing[],
    readonly binding: Binding,
    readonly monotonic: () => number,
    readonly ruleName: (rule: number) => string | null = () => null,
  ) {
    this.#refused = rings.map((ring) => ring.refused());
  }

  start(): void {
    const look = (): void => {
      this.#timer = setTimeout(look, this.poll() ? BUSY_POLL_MS : POLL_MS);
    };
    this.#timer ??= setTimeout(look, POLL_MS);
  }

  /** Takes what is left, and ends. */
  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    while (this.poll());
  }

  /** Takes what waits; true when there was much of it. */
  poll(): boolean {
    const nowMs = Math.floor(this.monotonic() * 1000);
    const wall = Date.now() - nowMs;
    let busy = false;
    for (let shard = 0; shard < this.rings.length; shard++) {
      const ring = this.rings[shard];
      let taken = 0;
      for (; taken < TAKE_LIMIT; taken++) {
        const words = ring.pop();
        if (words === null) break;
        const type = TYPES[words[W.kind] & 0xff];
        if (type === undefined) continue;
        const age = ((nowMs % TWO_32) - (words[W.time] >>> 0) + TWO_32) % TWO_32;
        // A stamp a little ahead of this thread's clock would look 49 days old.
        this.log.emitWords(type, wall + nowMs - (age > TWO_32 / 2 ? 0 : age), words, this.#teller);
      }
      busy ||= taken > TAKE_LIMIT / 8;
      const refused = ring.refused();
      const lost = (refused - this.#refused[shard] + TWO_32) % TWO_32;
      if (lost > 0) this.log.lost(lost, `shard ${shard}`);
      this.#refused[shard] = refused;
    }
    return busy;
  }
}

/** The fields of an event of a shard. */
export function tell(
  words: Int32Array,
  binding: Pick<Binding, 'vips' | 'servers'>,
  ruleName: (rule: number) => string | null,
): EventFields {
  const kind = words[W.kind] & 0xff;
  const reason = (words[W.kind] >>> 8) & 0xff;
  const result = (words[W.kind] >>> 16) - 1;
  const vip = binding.vips.find(({ index }) => index === words[W.place] >>> 16);
  const server = binding.servers.find(({ index }) => index === (words[W.place] & 0xffff));
  const about = {
    vip: vip?.name ?? null,
    protocol: PROTOCOLS.get(words[W.protocol]) ?? null,
    client: formatEndpoint(words[W.client], words[3], words[4], words[5], words[W.ports] >>> 16),
    clientTunnelId: words[W.clientChannel] >>> 0 || null,
  };
  if (kind === SHARD_EVENT.refused) {
    const rule = words[W.rule] < 0 ? null : ruleName(words[W.rule]);
    return { ...about, reason: ALL_DROP_REASONS[reason]?.[0] ?? null, rule, suppressed: words[W.suppressed] >>> 0 };
  }
  const tunnel = {
    ...about,
    server: (words[W.place] & 0xffff) === NO_SERVER ? null : (server?.name ?? null),
    serverAddress: server?.text ?? null,
    serverPort: words[W.ports] & 0xffff || (server?.port ?? null),
    serverTunnelId: words[W.serverChannel] >>> 0 || null,
    virtualTunnelId: words[W.virtualChannel] >>> 0 || null,
  };
  switch (kind) {
    case SHARD_EVENT.closed:
      return {
        ...tunnel,
        reason: CLOSE_WORDS[reason] ?? 'other',
        resultCode: result < 0 ? null : result,
        durationSeconds: words[W.duration],
        sessions: words[W.sessions],
        packetsIn: wide(words, W.packetsIn),
        packetsOut: wide(words, W.packetsOut),
        bytesIn: wide(words, W.bytesIn),
        bytesOut: wide(words, W.bytesOut),
      };
    case SHARD_EVENT.sessionRequested:
    case SHARD_EVENT.sessionEstablished:
    case SHARD_EVENT.sessionClosed: {
      const session = {
        ...tunnel,
        clientSessionId: words[W.clientSession] >>> 0 || null,
        serverSessionId: words[W.serverSession] >>> 0 || null,
      };
      return kind === SHARD_EVENT.sessionClosed ? { ...session, resultCode: result < 0 ? null : result } : session;
    }
    default:
      return tunnel;
  }
}

function wide(words: Int32Array, at: number): number {
  return (words[at] >>> 0) + (words[at + 1] >>> 0) * TWO_32;
}
