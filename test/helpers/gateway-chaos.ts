/**
 * Trouble for a farm of gateways, by a seed, and the promises of the group watched all the while:
 *
 * - never two masters that hear each other for more than one advert interval,
 * - never a host without a living forwarder for longer than the detection time after the last trouble,
 * - no request unanswered, and none answered twice while nothing is wrong,
 * - nothing chosen anew when a master fails,
 * - one table when all is well again.
 */
import type { GatewayStation, SeenReply } from './gateway-farm.js';
import { type GatewayFarm, OutageWatch, watchReplies } from './gateway-farm.js';
import type { Asked } from './gateway-host.js';
import { randomOf } from './seeded-random.js';

export interface ChaosOptions {
  readonly seed: number;
  /** Seconds of trouble, and between two of its strokes on average. */
  readonly seconds: number;
  readonly every: number;
  readonly strokes?: readonly Stroke[];
  /** Seconds until a failure must have been made good. */
  readonly detection?: number;
  readonly interval?: number;
  /** Links of gateways lose frames: bounds that one lost frame breaks are wider. */
  readonly lossy?: boolean;
}

export const STROKES = [
  'die',
  'kill',
  'stop',
  'freeze',
  'link',
  'upstream',
  'partition',
  'cut',
  'priority',
  'resign',
] as const;
export type Stroke = (typeof STROKES)[number];

/** What the watch allows beyond the bound itself: its own step, and the ways of frames. */
const SLACK = 0.015;

export class Chaos {
  readonly outages: OutageWatch;
  readonly replies: SeenReply[];
  /** Promises broken, as sentences. */
  readonly broken: string[] = [];
  readonly log: string[] = [];
  readonly #random: () => number;
  /** When something went wrong or was mended last. */
  #disturbed = 0;
  /** Times of all of that. */
  readonly #troubles: number[] = [];
  readonly #mastersSince = new Map<string, number>();
  #on = true;

  constructor(
    readonly farm: GatewayFarm,
    readonly options: ChaosOptions,
  ) {
    this.#random = randomOf(options.seed * 7919);
    this.outages = new OutageWatch(farm);
    this.replies = watchReplies(farm);
    const look = (now: number): void => {
      this.#lookAtMasters(now);
      if (this.#on) farm.segment.at(now + 0.005, look);
    };
    farm.segment.at(farm.now, look);
  }

  get detection(): number {
    return this.options.detection ?? 0.3;
  }

  get interval(): number {
    return this.options.interval ?? 0.1;
  }

  #trouble(what: string): void {
    this.#disturbed = this.farm.now;
    this.#troubles.push(this.farm.now);
    this.outages.disturbed();
    this.log.push(`${this.farm.now.toFixed(3)} ${what}`);
  }

  #one<T>(from: readonly T[]): T {
    return from[Math.floor(this.#random() * from.length)];
  }

  /** One stroke after another for the time set; then everything is mended. */
  rage(): this {
    const { farm, options } = this;
    const end = farm.now + options.seconds;
    const strokes = options.strokes ?? STROKES;
    while (farm.now < end) {
      this.#strike(this.#one(strokes));
      farm.run(options.every * (0.25 + 1.5 * this.#random()));
      this.#check();
    }
    this.mend();
    return this;
  }

  /** At least two gateways always stay well, so that a promise about living ones means something. */
  get #well(): GatewayStation[] {
    return this.farm.living.filter(({ upstream, state }) => upstream && state !== 'listen');
  }

  #strike(stroke: Stroke): void {
    const { farm } = this;
    const { segment } = farm;
    const later = (what: string, doIt: () => void, least = 0.3, most = 6): void =>
      segment.at(farm.now + least + (most - least) * this.#random(), () => {
        this.#trouble(what);
        doIt();
      });
    // Half of the strokes meet the master.
    const well = this.#well;
    if (well.length <= 3) return;
    const target = this.#random() < 0.5 && farm.masters.length === 1 ? farm.masters[0] : this.#one(well);
    // Nor may the target's side of a partition be without any.
    if (well.filter(({ port }) => segment.connected(port, target.port)).length <= 2) return;
    const { number } = target;
    const hit = (): void => this.#trouble(`${stroke} ${number}${target.isMaster ? ' (master)' : ''}`);
    const back = (): void => {
      if (!target.running) target.restart();
    };
    switch (stroke) {
      case 'die':
        hit();
        target.die();
        later(`restart ${number}`, back);
        break;
      case 'kill':
        hit();
        target.killProcess();
        later(`restart ${number}`, back);
        break;
      case 'stop':
        hit();
        target.stopCleanly();
        later(`restart ${number}`, back);
        break;
      case 'freeze':
        hit();
        target.port.stop();
        later(`resume ${number}`, () => target.port.stopped && target.port.resume(), 0.05, 2);
        break;
      case 'link':
        hit();
        target.linkDown();
        later(`link up ${number}`, () => target.linkUp());
        break;
      case 'upstream':
        hit();
        target.setUpstream(false);
        later(`upstream up ${number}`, () => target.setUpstream(true));
        break;
      case 'partition': {
        hit();
        // Each side has a gateway that is well: hosts without any have nothing to be promised.
        const side = farm.gateways.filter(
          (gateway) => gateway !== well[1] && (gateway === well[0] || this.#random() < 0.5),
        );
        const hosts = farm.hosts.filter(() => this.#random() < 0.5);
        segment.partition([
          segment.ports.filter((port) => ![...side, ...hosts].some((one) => one.port === port)),
          [...side, ...hosts].map((one) => one.port),
        ]);
        later('heal', () => segment.heal(), 0.5, 4);
        break;
      }
      case 'cut': {
        const other = this.#one(well);
        if (other === target) break;
        this.#trouble(`cut ${number} → ${other.number}`);
        segment.cut(target.port, other.port);
        later(`mend ${number} → ${other.number}`, () => segment.mend(target.port, other.port), 0.2, 3);
        break;
      }
      case 'priority':
        this.#trouble(`priority ${number}`);
        target.turn((engine, now) => engine.configure({ priority: 1 + Math.floor(this.#random() * 254) }, now));
        break;
      case 'resign':
        hit();
        target.turn((engine, now) => engine.resign(now));
        break;
    }
  }

  mend(): void {
    const { farm } = this;
    this.#trouble('all mended');
    farm.segment.heal();
    farm.segment.mend();
    for (const gateway of farm.gateways) {
      if (gateway.port.stopped) gateway.port.resume();
      if (!gateway.running) gateway.restart();
      if (!gateway.port.up) gateway.linkUp();
      if (!gateway.upstream) gateway.setUpstream(true);
    }
  }

  /** Masters that hear each other both ways: since when, and for how long that may be. */
  #lookAtMasters(now: number): void {
    const { masters, segment } = this.farm;
    const seen = new Set<string>();
    for (const a of masters) {
      for (const b of masters) {
        if (a.number >= b.number || segment.isCut(a.port, b.port) || segment.isCut(b.port, a.port)) continue;
        const pair = `${a.number} and ${b.number}`;
        seen.add(pair);
        const since = this.#mastersSince.get(pair) ?? now;
        this.#mastersSince.set(pair, since);
        const bound = this.interval * (this.options.lossy ? 4 : 1) + SLACK;
        if (now - since > bound)
          this.#break(`masters ${pair} together since ${since.toFixed(3)}, ${(now - since).toFixed(3)} s`);
      }
    }
    for (const pair of this.#mastersSince.keys()) if (!seen.has(pair)) this.#mastersSince.delete(pair);
  }

  #break(sentence: string): void {
    if (this.broken.length < 20) this.broken.push(`${this.farm.now.toFixed(3)} ${sentence}`);
  }

  #check(): void {
    const { longest, longestAt, longestMac } = this.outages;
    const bound = this.detection * (this.options.lossy ? 3 : 1) + SLACK;
    if (longest > bound) {
      this.#break(`no forwarder for ${longestMac.toString(16)} since ${longestAt.toFixed(3)}, ${longest.toFixed(3)} s`);
      this.outages.longest = 0;
    }
  }

  /** Was all well from a while before until a while after? */
  #quiet(at: number, before: number, after: number): boolean {
    return !this.#troubles.some((time) => time > at - before && time < at + after);
  }

  /** After the trouble: looks at everything that hosts asked and got. */
  verdict(): string[] {
    this.#on = false;
    this.outages.stop();
    this.#check();
    if (this.options.lossy !== true)
      for (const host of this.farm.hosts)
        host.asked.forEach((asked, i) => this.#judge(asked, host.asked[i + 1], host.mac));
    return this.broken;
  }

  #judge(asked: Asked, next: Asked | undefined, mac: number): void {
    if (asked.at > this.farm.now - 1) return;
    const bound = this.detection + SLACK;
    const late = !(asked.answeredAt - asked.at <= bound);
    // A host whose entry was given up in between counts by its later request.
    if (late && this.#quiet(asked.at, 0.5, bound) && (next === undefined || next.at - asked.at > bound)) {
      this.#break(`request of ${mac.toString(16)} at ${asked.at.toFixed(3)} unanswered`);
    }
    if (asked.replies > 1 && this.#quiet(asked.at, 1, 0.5)) {
      this.#break(`request of ${mac.toString(16)} at ${asked.at.toFixed(3)} answered ${asked.replies} times`);
    }
  }

  get lastTrouble(): number {
    return this.#disturbed;
  }
}

/**
 * What must hold when all is well again, as sentences about what does not. `strays`: hosts that may use another gateway
 * than the table says, since what they were told in the last seconds may have been lost.
 */
export function unwell(farm: GatewayFarm, strays = 0): string[] {
  const wrong: string[] = [];
  if (farm.masters.length !== 1) wrong.push(`${farm.masters.length} masters`);
  if (farm.living.length !== farm.gateways.length) wrong.push('gateways that do not run');
  if (farm.tables() !== 1) wrong.push(`${farm.tables()} different tables`);
  const views = new Set(farm.living.map(({ engine }) => engine.status(farm.now).master));
  if (views.size !== 1) wrong.push(`masters named: ${[...views].join(', ')}`);
  const table = new Map(farm.living[0].engine.hosts(farm.now).map((row) => [row.mac, row]));
  let lost = 0;
  let unknown = 0;
  let others = 0;
  for (const host of farm.hosts) {
    if (host.state === 'none') continue;
    if (host.gatewayMac === null) {
      lost++;
      continue;
    }
    if (farm.serversOf(host).length !== 1) others++;
    if (table.get(host.mac)?.forwarder !== farm.forwarderOf(host)) unknown++;
  }
  if (lost > 0) wrong.push(`${lost} hosts without a gateway`);
  if (others > 0) wrong.push(`${others} hosts whose packets no gateway or two would forward`);
  if (unknown > strays) wrong.push(`${unknown} hosts that use another gateway than the table says`);
  return wrong;
}

/** Hosts whose cache differs from the table ask for their gateway by unicast, as they do within half a minute anyway. */
export function refreshStrays(farm: GatewayFarm): number {
  const table = new Map(farm.living[0].engine.hosts(farm.now).map((row) => [row.mac, row.forwarder]));
  const strays = farm.hosts.filter(
    (host) => host.gatewayMac !== null && table.get(host.mac) !== farm.forwarderOf(host),
  );
  for (const host of strays) host.ask('unicast');
  farm.run(0.5);
  return strays.length;
}
