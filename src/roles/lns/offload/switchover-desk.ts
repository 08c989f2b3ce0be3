/**
 * The primary's switchover (document 002, FIG. 2, steps 224 to 234): on command or when it is heavily loaded. LACs that
 * can move are asked with an STPLRQ; tunnels of others are handed to the peer, which takes them unchanged.
 */
import type { CompiledOffload } from '../../../config/lns-offload.js';
import { DesignatorError } from '../../../errors.js';
import type { EndpointCommand } from '../../../ops/endpoint.js';
import type { Logger } from '../../../ops/log.js';
import type { L2tpTunnel } from '../../../protocol/l2tp/tunnel.js';
import { type LoadDemand, LoadTrigger } from '../../../protocol/offload/load-trigger.js';
import type { OffloadPair } from '../../../protocol/offload/pair.js';
import { type SwitchoverOutcome, SwitchoverRequests } from '../../../protocol/offload/switchover.js';
import {
  CAPABILITY,
  findVendorAvp,
  OFFLOAD_AVP,
  OFFLOAD_MESSAGE,
  OFFLOAD_VERSION,
  readCapability,
} from '../../../tunnels/l2tp/offload-avps.js';
import {
  type SwitchoverRequest,
  type SwitchoverResponse,
  type SwitchoverType,
  writeSwitchoverRequest,
} from '../../../tunnels/l2tp/offload-messages.js';
import { parseAddress, writeAddress } from '../../../wire/address.js';
import type { NetworkTakeOver } from '../../take-over/network-take-over.js';
import type { OffloadHost } from '../offload-face.js';
import type { Adoption } from './adoption.js';

const L2TP_PORT = 1701;
const LOOK_SECONDS = 1;
/** Of an LNS's sessions, when memory or processor time is short: so many leave at a time. */
const SHARE = 0.1;
/** A command waits so long for the peer to have everything. */
const SYNC_SECONDS = 5;
const SYNC_POLL_MS = 10;
/** Session ids in one STPLRQ. */
const IDS_MAX = 2000;

export interface SwitchoverDeskOptions {
  readonly settings: CompiledOffload;
  readonly network: NetworkTakeOver | null;
  readonly logger: Logger;
}

interface Waiting {
  readonly tunnels: Set<number>;
  readonly outcomes: SwitchoverOutcome[];
  readonly done: (outcomes: SwitchoverOutcome[]) => void;
}

export class SwitchoverDesk {
  readonly commands: ReadonlyMap<string, EndpointCommand>;
  readonly #host: OffloadHost;
  readonly #pair: OffloadPair;
  readonly #adoption: Adoption;
  readonly #o: SwitchoverDeskOptions;
  readonly #requests = new SwitchoverRequests();
  readonly #trigger: LoadTrigger;
  readonly #handed = new Set<number>();
  #waiting: Waiting[] = [];
  #lookAt = 0;

  constructor(host: OffloadHost, pair: OffloadPair, adoption: Adoption, options: SwitchoverDeskOptions) {
    this.#host = host;
    this.#pair = pair;
    this.#adoption = adoption;
    this.#o = options;
    this.#trigger = new LoadTrigger(options.settings.overload);
    this.commands = new Map([
      [
        'switchover',
        {
          description: 'Asks the LACs to move tunnels to the peer LNS, and hands over those of LACs that cannot.',
          body: {
            type: 'object',
            additionalProperties: false,
            properties: {
              tunnel: { type: 'integer', minimum: 1, maximum: 65_535 },
              type: { enum: ['all', 'new', 'some'] },
              sessions: { type: 'array', items: { type: 'integer', minimum: 1, maximum: 65_535 }, maxItems: IDS_MAX },
            },
          },
          run: (body) => this.#command(body, () => true),
        },
      ],
      [
        'failback',
        {
          description: 'Gives back to the peer LNS what was taken over from it.',
          body: {
            type: 'object',
            additionalProperties: false,
            properties: { tunnel: { type: 'integer', minimum: 1, maximum: 65_535 } },
          },
          run: (body) => this.#command(body, (id) => this.#adoption.origins.has(id)),
        },
      ],
    ]);
  }

  isPending(tunnel: number): boolean {
    return this.#requests.isPending(tunnel);
  }

  isHandedOver(tunnel: number): boolean {
    return this.#handed.has(tunnel);
  }

  async #command(body: Readonly<Record<string, unknown>>, eligible: (tunnel: number) => boolean): Promise<object> {
    const { tunnel: wanted, sessions = [] } = body as { tunnel?: number; sessions?: number[] };
    const type = (body.type ?? (sessions.length > 0 ? 'some' : 'all')) as SwitchoverType;
    if ((type === 'some') !== sessions.length > 0)
      throw new DesignatorError('TD_USAGE', 'session ids go with the type some, and only with it');
    if (type === 'some' && wanted === undefined)
      throw new DesignatorError('TD_USAGE', 'say which tunnel the sessions are in');
    if (!this.#pair.connected) throw new DesignatorError('TD_CONFLICT', 'the peer LNS is not connected');
    if (!(await this.#synchronised()))
      throw new DesignatorError('TD_CONFLICT', 'the peer LNS does not have the whole state yet');
    const tunnels = this.#tunnels().filter(({ localId }) => wanted === undefined || localId === wanted);
    const chosen = tunnels.filter(({ localId }) => eligible(localId));
    if (wanted !== undefined && chosen.length === 0)
      throw new DesignatorError('TD_NOT_FOUND', `there is no such tunnel to move: ${wanted}`);
    const outcomes = await this.#move(chosen, type, sessions);
    return { outcomes };
  }

  /** Changes are under way all the time: what was told last may lack its answer. */
  async #synchronised(): Promise<boolean> {
    const until = this.#host.now() + SYNC_SECONDS;
    while (!this.#pair.source.synchronised && this.#pair.connected && this.#host.now() < until)
      await new Promise((resolve) => setTimeout(resolve, SYNC_POLL_MS));
    return this.#pair.connected && this.#pair.source.synchronised;
  }

  /** Tunnels to LACs. */
  #tunnels(): L2tpTunnel[] {
    const found: L2tpTunnel[] = [];
    for (const id of this.#host.tunnelIds()) {
      const tunnel = this.#host.endpoint.tunnels.get(id);
      if (tunnel !== undefined && !this.#isLink(tunnel)) found.push(tunnel);
    }
    return found;
  }

  #flags(tunnel: L2tpTunnel): number {
    const { vendor } = this.#o.settings;
    const capability = findVendorAvp(tunnel.peerAvps, vendor, OFFLOAD_AVP.capability, readCapability);
    return capability?.version === OFFLOAD_VERSION ? capability.flags : 0;
  }

  #isLink(tunnel: L2tpTunnel): boolean {
    return (this.#flags(tunnel) & CAPABILITY.offload) !== 0;
  }

  #move(
    tunnels: readonly L2tpTunnel[],
    type: SwitchoverType,
    sessions: readonly number[],
  ): Promise<SwitchoverOutcome[]> {
    const outcomes: SwitchoverOutcome[] = [];
    const asked = new Set<number>();
    for (const tunnel of tunnels) {
      const refusal = this.#ask(tunnel, type, sessions);
      if (refusal === null) asked.add(tunnel.localId);
      else outcomes.push({ tunnel: tunnel.localId, type, outcome: 'denied', reason: refusal });
    }
    this.#host.wake();
    if (asked.size === 0) return Promise.resolve(outcomes);
    return new Promise((done) => this.#waiting.push({ tunnels: asked, outcomes, done }));
  }

  /** Null: it is under way. */
  #ask(tunnel: L2tpTunnel, type: SwitchoverType, sessions: readonly number[]): string | null {
    const { settings, network } = this.#o;
    const { vendor, announce } = settings;
    const id = tunnel.localId;
    const now = this.#host.now();
    const port = announce.port === L2TP_PORT ? 0 : announce.port;
    const generation = this.#pair.generationOf(id);
    const request: SwitchoverRequest = { address: bytesOf(announce.host), port, type, sessions, generation };
    if (this.#requests.isPending(id)) return 'a switchover of this tunnel is under way';
    if ((this.#flags(tunnel) & CAPABILITY.switchover) !== 0) {
      const avps = writeSwitchoverRequest(vendor, request);
      if (!tunnel.sendVendor({ vendor, type: OFFLOAD_MESSAGE.STPLRQ, avps })) return 'the LAC does not take messages';
      this.#requests.asked(id, request, now);
      return null;
    }
    if (type !== 'all') return 'the LAC cannot move sessions';
    if (network === null) return 'the LAC cannot move its tunnel, and takeOver is not configured';
    this.#requests.asked(id, request, now);
    this.#requests.answered(id, { ...request, granted: true, reason: 0, message: '' }, now);
    this.#handed.add(id);
    this.#pair.handOver([id]);
    return null;
  }

  answered(tunnel: number, response: SwitchoverResponse, now: number): void {
    this.#requests.answered(tunnel, response, now);
  }

  claimed(tunnel: number): void {
    this.#handed.delete(tunnel);
    this.#requests.claimed(tunnel);
    this.#settle();
  }

  ended(tunnel: number, reason: string): void {
    this.#handed.delete(tunnel);
    this.#requests.ended(tunnel, reason);
    this.#settle();
  }

  run(now: number): void {
    this.#requests.run(now);
    this.#settle();
    if (now < this.#lookAt) return;
    this.#lookAt = now + LOOK_SECONDS;
    const demand = this.#trigger.look(this.#host.load(), now);
    if (demand !== null) this.#relieve(demand);
  }

  #settle(): void {
    const outcomes = this.#requests.outcomes();
    for (const outcome of outcomes) {
      this.#handed.delete(outcome.tunnel);
      this.#o.logger.info({ ...outcome }, 'switchover');
      for (const waiting of this.#waiting) if (waiting.tunnels.delete(outcome.tunnel)) waiting.outcomes.push(outcome);
    }
    if (outcomes.length === 0) return;
    const finished = this.#waiting.filter(({ tunnels }) => tunnels.size === 0);
    this.#waiting = this.#waiting.filter(({ tunnels }) => tunnels.size > 0);
    for (const { done, outcomes: all } of finished) done(all);
  }

  /** Heavily loaded: some of what is here goes to the peer. */
  #relieve(demand: LoadDemand): void {
    const { settings, logger } = this.#o;
    const { type } = settings.overload;
    if (!this.#pair.connected || !this.#pair.source.synchronised) {
      logger.warn({ ...demand }, 'heavily loaded, but the peer LNS does not have the state');
      return;
    }
    const tunnels = this.#tunnels().filter((tunnel) => (this.#flags(tunnel) & CAPABILITY.switchover) !== 0);
    const { sessions } = this.#host.load();
    const surplus = demand.reason === 'sessions' ? demand.value - demand.below : Math.ceil(sessions * SHARE);
    let left = demand.reason === 'tunnels' ? (demand.value - demand.below) * (sessions / demand.value) : surplus;
    logger.warn({ ...demand, type }, 'heavily loaded: LACs are asked to go to the peer LNS');
    for (const tunnel of tunnels) {
      if (left <= 0 && type !== 'new') break;
      const ids = [...this.#host.sessionIds(tunnel.localId)];
      const whole = type === 'all' || (type === 'some' && ids.length <= left);
      const some = ids.slice(0, Math.min(IDS_MAX, Math.ceil(left)));
      if (type === 'new') void this.#move([tunnel], 'new', []);
      else if (whole) void this.#move([tunnel], 'all', []);
      else void this.#move([tunnel], 'some', some);
      left -= whole ? ids.length : some.length;
    }
  }

  get nextTime(): number {
    return Math.min(this.#requests.nextTime, this.#lookAt);
  }
}

function bytesOf(address: string): Uint8Array {
  const bytes = new Uint8Array(16);
  const words = parseAddress(address) ?? [0, 0, 0xffff, 0];
  return bytes.slice(0, writeAddress(new DataView(bytes.buffer), 0, words));
}
