/**
 * Designators without a network that share their tunnels: shards, desks and replication are the product's; wires, bus and
 * clock are simulated, and one seed makes one run. Timers are vitest's fake ones.
 */
import { vi } from 'vitest';
import type { BusChange, BusHandler, BusMember, BusState, ClusterBus } from '../../src/cluster/bus.js';
import type { ShardMessage } from '../../src/dataplane/plan.js';
import type { TableMemory } from '../../src/flow/layout.js';
import { NextHopTable } from '../../src/flow/next-hop-table.js';
import { PORT_INSIDE, PORT_OUTSIDE } from '../../src/io/port.js';
import { EventLog } from '../../src/ops/events.js';
import { ShareDesk } from '../../src/roles/designator/cluster/share-desk.js';
import { CLUSTER_BODY_LIMIT, type ClusterSubject } from '../../src/wire/cluster-bus.js';
import { clusterFacts } from '../../src/roles/designator/cluster/facts.js';
import { INSIDE_MAC, MemoryAppliance, OUTSIDE_MAC } from './memory-appliance.js';
import { randomOf } from './seeded-random.js';
import { pino } from 'pino';

const SILENCE_SECONDS = 3.5;
const START = 1000;

class FarmBus implements ClusterBus {
  readonly driver = 'local' as const;
  readonly state: BusState = { state: 'up' };
  readonly handlers = new Map<ClusterSubject, BusHandler>();
  readonly listeners: ((change: BusChange) => void)[] = [];
  closed = false;

  constructor(
    readonly farm: ShareFarm,
    readonly number: number,
    readonly incarnation: number,
  ) {}

  publish(subject: ClusterSubject, body: Uint8Array, target = 0): void {
    if (body.length > CLUSTER_BODY_LIMIT) throw new RangeError('too long');
    if (!this.closed) this.farm.carry(this, subject, body.slice(), target);
  }

  subscribe(subject: ClusterSubject, handler: BusHandler): void {
    this.handlers.set(subject, handler);
  }

  tell(): void {}

  members(): readonly BusMember[] {
    return this.farm.membersOf(this);
  }

  onChange(listener: (change: BusChange) => void): void {
    this.listeners.push(listener);
  }

  onState(): void {}

  counters(): Readonly<Record<string, number>> {
    return {};
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}

export class ShareMember {
  readonly appliance: MemoryAppliance;
  readonly bus: FarmBus;
  readonly desk: ShareDesk;
  readonly events = new EventLog();
  readonly incarnation: number;
  /** What its shards told of following answers: last octet of a client's address → class. */
  readonly followed = new Map<string, number>();

  /** `memory`: what a former life left. */
  constructor(
    readonly farm: ShareFarm,
    readonly number: number,
    memory?: TableMemory,
  ) {
    this.incarnation = ++farm.lives;
    this.appliance = new MemoryAppliance(farm.yaml, { share: true, shards: 2, offload: farm.offload, memory });
    this.appliance.at(farm.seconds);
    this.bus = new FarmBus(farm, number, this.incarnation);
    const { appliance } = this;
    if (appliance.shared === null) throw new Error('the table is not shared');
    this.desk = new ShareDesk({
      table: appliance.shared,
      bus: this.bus,
      facts: () => clusterFacts(appliance.config),
      shards: appliance.shards.length,
      message: (shard: number, message: ShardMessage) => {
        appliance.shards[shard].message(message);
        return true;
      },
      macs: [OUTSIDE_MAC, INSIDE_MAC],
      wanted: (hops) => {
        const table = new NextHopTable(appliance.memory);
        for (const hop of hops)
          table.setMac(hop, Uint8Array.of(2, 0, 0, 0, 0x0c, table.addressWord(hop, 3) & 0xff), farm.seconds);
      },
      floating: () => undefined,
      groupHears: (other) => farm.groupHears(other),
      now: () => farm.seconds,
      logger: pino({ level: 'silent' }),
      events: this.events,
    });
    this.desk.setRoutes(appliance.routes());
    farm.members.push(this);
  }

  /** Its shards' turns, and what they tell. */
  turn(): void {
    this.appliance.at(this.farm.seconds);
    for (const [index, shard] of this.appliance.shards.entries())
      for (const notice of shard.takeNotices()) {
        if (notice.type === 'foreign') this.desk.foreign(notice.frames);
        if (notice.type === 'followed')
          for (const { client, follow } of notice.clients) this.followed.set(String(client[3] & 0xff), follow);
        if (index < 0) throw new Error('no such shard');
      }
  }

  /** A frame on the side that its source is on; what came out, anywhere. */
  send(frame: Uint8Array): Uint8Array[] {
    const inside = frame[12] === 0x86 ? frame[22] === 0xfd : frame[26] === 10;
    const before = new Set(this.farm.sent());
    this.appliance.send(frame, inside ? PORT_INSIDE : PORT_OUTSIDE, frame[33] & 1);
    this.turn();
    return this.farm.sent().filter((sent) => !before.has(sent));
  }

  /** kill −9. */
  die(): void {
    this.bus.closed = true;
    this.farm.members.splice(this.farm.members.indexOf(this), 1);
    this.farm.dead.push(this);
  }

  get tunnels(): string[] {
    return this.appliance.rows
      .tunnels()
      .map((row) => [row.client, row.clientTunnelId, row.serverTunnelId, row.server, row.state, row.sessions].join(' '))
      .sort();
  }

  /** As `tunnels`, only those that this one writes. */
  get own(): number {
    const { shared, memory } = this.appliance;
    let own = 0;
    for (let record = 0; record < memory.layout.recordCount; record++)
      if (this.appliance.shards[0].store.state(record) !== 0 && shared?.map.isForeign(record) === false) own++;
    return own;
  }
}

export class ShareFarm {
  readonly members: ShareMember[] = [];
  readonly dead: ShareMember[] = [];
  readonly random: () => number;
  /** Chance that a message of the bus is lost, and seconds that one takes at most. */
  loss = 0;
  delay = 0.001;
  hears: (from: number, to: number) => boolean = () => true;
  /** What a gateway group says of a member, whatever the bus does; false: there is no group. */
  groupHears: (number: number) => boolean = () => false;
  seconds = START;
  lives = 0;
  readonly #heard = new Map<string, number>();
  readonly #known = new Map<FarmBus, Map<number, number>>();

  constructor(
    readonly yaml: string,
    seed = 1,
    readonly offload = false,
  ) {
    this.random = randomOf(seed);
    vi.useFakeTimers({ toFake: ['setTimeout', 'setInterval', 'setImmediate', 'clearTimeout', 'clearInterval'] });
  }

  start(number: number, memory?: TableMemory): ShareMember {
    return new ShareMember(this, number, memory);
  }

  close(): void {
    vi.useRealTimers();
  }

  sent(): Uint8Array[] {
    return [...this.members, ...this.dead].flatMap(({ appliance }) =>
      appliance.ports.flatMap(({ sent }) => sent.map(({ frame }) => frame)),
    );
  }

  /** Time passes, in steps of 5 ms; every shard turns in each. */
  run(seconds: number): void {
    const end = this.seconds + seconds;
    while (this.seconds < end - 1e-9) {
      this.seconds = Math.min(end, this.seconds + 0.005);
      vi.advanceTimersByTime(5);
      this.#observe();
      for (const member of [...this.members]) member.turn();
    }
  }

  carry(from: FarmBus, subject: ClusterSubject, body: Uint8Array, target: number): void {
    for (const { bus } of this.members) {
      if (bus === from || (target !== 0 && bus.number !== target) || !this.hears(from.number, bus.number)) continue;
      if (this.random() < this.loss) continue;
      setTimeout(
        () => {
          if (!bus.closed) bus.handlers.get(subject)?.(from.number, from.incarnation, body);
        },
        Math.ceil(this.random() * this.delay * 1000),
      );
    }
  }

  membersOf(bus: FarmBus): BusMember[] {
    return [...(this.#known.get(bus) ?? [])].map(([number, incarnation]) => ({
      number,
      incarnation,
      age: 0,
      since: 0,
      hearsUs: true,
      text: new Uint8Array(0),
    }));
  }

  /** Who hears whom: a member that was not heard for a while has left, another life of it has joined. */
  #observe(): void {
    for (const { bus } of this.members) {
      const known = this.#known.get(bus) ?? new Map<number, number>();
      this.#known.set(bus, known);
      const tell = (change: BusChange): void => {
        for (const listener of bus.listeners) listener(change);
      };
      for (const { bus: other } of this.members) {
        if (other === bus || !this.hears(other.number, bus.number)) continue;
        this.#heard.set(`${bus.incarnation}/${other.number}`, this.seconds);
        const before = known.get(other.number);
        if (before === other.incarnation) continue;
        if (before !== undefined) tell({ kind: 'left', number: other.number, reason: 'restarted' });
        known.set(other.number, other.incarnation);
        tell({ kind: 'joined', number: other.number });
      }
      for (const number of [...known.keys()])
        if ((this.#heard.get(`${bus.incarnation}/${number}`) ?? 0) < this.seconds - SILENCE_SECONDS) {
          known.delete(number);
          tell({ kind: 'left', number, reason: 'silent' });
        }
    }
  }
}
