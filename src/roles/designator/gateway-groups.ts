/**
 * The groups that this designator is a member of: outside, where it shares the VIPs, and inside, where it shares the
 * address that servers have as their gateway (documents 001 and 004). The engines are those of `designator gateway`; the
 * frames that they attract are the data plane's, which learns from here for which virtual MACs it takes them.
 */
import type { CompiledConfig } from '../../config/compiled.js';
import type { DesignatorGroups } from '../../config/designator-group.js';
import type { GatewayGroupConfig } from '../../config/gateway.js';
import { GroupWords } from '../../flow/group-words.js';
import type { TableMemory } from '../../flow/layout.js';
import { macBytes, virtualMac } from '../../gateway/mac.js';
import type { ForwarderRow } from '../../gateway/types.js';
import type { GatewayPort, GatewayPortOptions, VirtualMacAction } from '../../io/gateway-types.js';
import type { CounterRow, DropRow } from '../../ops/appliance.js';
import type { EventLog } from '../../ops/events.js';
import type { Logger } from '../../ops/log.js';
import type { ShardStatus } from '../../workers/pool.js';
import { counterWords, isDrop } from '../gateway/counter-words.js';
import type { GatewayWorld } from '../gateway/gateway.js';
import { schemeOf } from '../gateway/group-options.js';
import { groupReports } from '../gateway/report.js';
import { GroupRunner, type RunnerHooks } from '../gateway/runner.js';
import { groupTotals } from '../gateway/totals.js';
import { realWorld } from '../gateway/world.js';

export type GroupSide = 'outside' | 'inside';
/** A shard that has made no turn for so long forwards nothing. */
const HEARTBEAT_SECONDS = 1;
const SIDES: readonly GroupSide[] = ['outside', 'inside'];

export interface GatewayGroupsParts {
  readonly groups: DesignatorGroups;
  /** Names of the interfaces. */
  readonly devices: Readonly<Record<GroupSide, string>>;
  readonly memory: TableMemory;
  readonly logger: Logger;
  readonly events: EventLog;
  /** Makes the host; `onChange` is called when its links, addresses or routes have changed. */
  readonly world: (onChange: () => void) => GatewayWorld;
  /** The process cannot go on. */
  readonly onFatal: (error: Error) => void;
}

interface Member {
  readonly side: GroupSide;
  readonly config: GatewayGroupConfig;
  readonly words: GroupWords;
  readonly runner: GroupRunner;
  /** What `setPeers` and `setAble` were told last. */
  peers: string;
  reasons: string;
  /** Another designator is there and serves no virtual MAC, so nothing can be handed on to it. */
  isUncovered: boolean;
  /** This designator is the one. */
  isBare: boolean;
}

export class GatewayGroups {
  readonly #parts: GatewayGroupsParts;
  readonly #world: GatewayWorld;
  readonly #members: Member[] = [];
  #busReaches = false;

  constructor(parts: GatewayGroupsParts) {
    this.#parts = parts;
    this.#world = parts.world(() => {
      for (const { runner } of this.#members) runner.hostChanged();
    });
    for (const side of SIDES) {
      const words = new GroupWords(parts.memory, side);
      const config = parts.groups[side];
      if (config === null) continue;
      const runner = new GroupRunner(config, this.#worldOf(words), this.#hooks());
      this.#members.push({
        side,
        config,
        words,
        runner,
        peers: '',
        reasons: 'it is starting',
        isUncovered: false,
        isBare: false,
      });
    }
  }

  now(): number {
    return this.#world.now();
  }

  runners(): readonly GroupRunner[] {
    return this.#members.map(({ runner }) => runner);
  }

  /** Errors: of GroupRunner.start. After an error `stop` frees what was taken. */
  async start(): Promise<void> {
    if (!this.#world.hurry())
      this.#parts.logger.warn({}, 'CAP_SYS_NICE is missing: on a busy machine late adverts look like a death');
    this.#world.measure();
    for (const member of this.#members) {
      const { config, words, runner } = member;
      words.begin(macBytes(virtualMac(schemeOf(config), config.group, 0)));
      // Until `look` has been called: nobody knows yet whether packets are forwarded here.
      runner.setAble([member.reasons]);
      await runner.start();
    }
  }

  /**
   * Can this designator forward? `serves`: some server takes tunnels. One that cannot is given no clients and no servers,
   * and the others take its virtual MACs.
   */
  look(shards: readonly ShardStatus[], serves: boolean): void {
    const hung = shards.find(({ heartbeatAgeSeconds: age, state }) => state !== 'running' || age > HEARTBEAT_SECONDS);
    const trouble = hung === undefined ? null : `shard ${hung.shard} does not run`;
    for (const member of this.#members) {
      const other = this.#parts.devices[member.side === 'outside' ? 'inside' : 'outside'];
      const reasons = [
        ...(trouble === null ? [] : [trouble]),
        ...(this.#world.interfaceUp(other) ? [] : [`${other} is down`]),
        ...(serves || member.side === 'inside' ? [] : ['no server takes tunnels']),
      ];
      const told = reasons.join('; ');
      if (told === member.reasons) continue;
      member.reasons = told;
      member.runner.setAble(reasons);
    }
  }

  /** `reaches`: messages of others' tunnels can go over the bus of a cluster. */
  setBus(reaches: boolean): void {
    if (reaches === this.#busReaches) return;
    this.#busReaches = reaches;
    for (const { words, isUncovered } of this.#members) words.setByBus(isUncovered && reaches);
  }

  /** Another member of a group of ours, by its number there, speaks now. */
  hears(number: number): boolean {
    const now = this.now();
    return this.#members.some(
      ({ runner }) =>
        runner.running &&
        runner.group.members(now).some((row) => row.number === number && !row.self && row.alive && row.verified),
    );
  }

  /** What servers answer may come in at another designator, which cannot hand it on to this one. */
  missesAnswers(): boolean {
    return !this.#busReaches && this.#members.some(({ side, isBare }) => side === 'inside' && isBare);
  }

  /** Once a second. */
  measure(): void {
    this.#world.measure();
    for (const { runner } of this.#members) runner.measure();
  }

  /** What is wrong with the host, or null. */
  trouble(): string | null {
    for (const { side, runner } of this.#members) {
      const trouble = runner.trouble();
      if (trouble !== null) return `gateway group ${side}: ${trouble}`;
    }
    return null;
  }

  /** What ended in the groups' own sockets and engines, and what happened there; names begin with `group-`. */
  drops(): DropRow[] {
    return this.#totals(true).map(([name, packets]) => ({
      reason: `group-${name}`,
      packets,
      description: counterWords(name),
    }));
  }

  counters(): CounterRow[] {
    return this.#totals(false).map(([name, count]) => ({
      counter: `group-${name}`,
      count,
      level: false,
      description: counterWords(name),
    }));
  }

  #totals(drops: boolean): [string, number][] {
    return groupTotals(this.runners()).filter(([name]) => isDrop(name) === drops);
  }

  /** Hands offices and clients to others. */
  async stop(): Promise<void> {
    await Promise.all(this.#members.map(({ runner }) => runner.stop()));
    for (const { words } of this.#members) words.clear();
    this.#world.close();
  }

  /** The data plane takes the frames; the host has no device for a virtual MAC. */
  #worldOf(words: GroupWords): GatewayWorld {
    const world = this.#world;
    return {
      ...world,
      problems: (device, addresses) => world.problems(device, addresses, 'none'),
      openPort: async (options: GatewayPortOptions): Promise<GatewayPort> => {
        const port = await world.openPort({ ...options, forwarding: 'none' });
        return {
          get link() {
            return port.link;
          },
          send: (frames) => port.send(frames),
          apply: (actions: readonly VirtualMacAction[]) => {
            for (const { kind, number } of actions) words.hold(number, kind === 'hold');
            port.apply(actions);
          },
          traffic: () => port.traffic(),
          statistics: () => port.statistics(),
          setAddresses: (addresses, accept) => port.setAddresses(addresses, accept),
          close: () => port.close(),
        };
      },
    };
  }

  /** A member is not heard any more, by this number in the group. */
  onMemberDown: (number: number) => void = () => undefined;

  #hooks(): RunnerHooks {
    const { events, logger, onFatal } = this.#parts;
    const reports = groupReports(events, logger);
    return {
      logger,
      ...reports,
      event: (group, event) => {
        if (event.kind === 'member-down') this.onMemberDown(event.number);
        reports.event(group, event);
      },
      failed: (error) => onFatal(error instanceof Error ? error : new Error(String(error))),
      turned: (name) => this.#turned(name),
    };
  }

  /** Who else may have a tunnel that is not known here. */
  #turned(name: string): void {
    const member = this.#members.find(({ config }) => config.name === name);
    if (member === undefined || !member.runner.running) return;
    const now = this.now();
    const { group } = member.runner;
    const forwarders = group.forwarders(now);
    const { own, peers } = relayPlaces(forwarders, member.config.number);
    const uncovered = group
      .members(now)
      .some(({ self, alive, number }) => !self && alive && !forwarders.some(({ server }) => server === number));
    const told = `${own}:${peers.join()}:${uncovered}`;
    if (told === member.peers) return;
    member.peers = told;
    member.isUncovered = uncovered;
    member.isBare = own === 0 && peers.length > 0;
    member.words.setPeers(own, peers);
    member.words.setByBus(uncovered && this.#busReaches);
  }
}

/** Null: the configuration has no groups. */
export function openGroups(
  { gateway, outside, inside }: CompiledConfig,
  memory: TableMemory,
  logger: Logger,
  events: EventLog,
  onFatal: (error: Error) => void,
): GatewayGroups | null {
  // What a process before this one held it holds no longer.
  for (const side of SIDES) new GroupWords(memory, side).clear();
  if (gateway == null) return null;
  const devices = { outside: outside.name, inside: inside.name };
  return new GatewayGroups({ groups: gateway, devices, memory, logger, events, onFatal, world: realWorld });
}

/** `own`: a forwarder that this gateway serves, 0 none; `peers`: one forwarder of each other gateway that serves any. */
export function relayPlaces(
  forwarders: readonly ForwarderRow[],
  number: number,
): { readonly own: number; readonly peers: readonly number[] } {
  const served = forwarders.filter(({ server }) => server !== 0);
  const of = new Map<number, number>();
  for (const forwarder of served)
    if (forwarder.number === forwarder.server || !of.has(forwarder.server)) of.set(forwarder.server, forwarder.number);
  const own = of.get(number) ?? 0;
  of.delete(number);
  return { own, peers: [...of.values()].sort((a, b) => a - b) };
}
