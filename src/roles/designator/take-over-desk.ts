/**
 * Who may take over whose tunnels, and how far that has come: orders of servers in, orders for shards and answers out.
 * No socket, no file and no clock of its own.
 *
 * The fence: every order between two servers carries a generation above all that went before between them, in either
 * direction. So of two servers that both believe to have the tunnels one is told that it has been overtaken, whatever
 * the network did to their messages meanwhile. A repeated order is answered as the first one was.
 */
import type { RePointed, RePointOrder } from '../../dataplane/re-pointing.js';
import type { TakeOverRow } from '../../ops/appliance.js';
import type { IdRange, TakeOverAnswer, TakeOverOrder, TakeOverResult } from '../../wire/take-over.js';

/** A server as the desk knows it. `address` is an index. */
export interface DeskServer {
  readonly name: string;
  readonly index: number;
  readonly address: number;
  readonly vip: number;
  readonly peer: string | null;
}

export interface TakeOverWorld {
  /** CLOCK_MONOTONIC seconds. */
  readonly now: () => number;
  /** Indices of the shards that are to do an order. */
  readonly shards: () => readonly number[];
  readonly send: (shard: number, order: RePointOrder) => void;
  /** Has anything come from this server (a cell) since then, CLOCK_MONOTONIC seconds? */
  readonly heardSince: (server: number, second: number) => boolean;
  /** Nothing has come from it: is it dead? Where it can be asked it is, and that answers no until the question has failed. */
  readonly confirmDead: (server: number) => boolean;
  /** Has it any tunnel, with an id in these ranges, that could be moved? */
  readonly hasTunnels: (server: number, ranges: readonly IdRange[]) => boolean;
  /** Health has found that it is down. */
  readonly isDown: (server: number) => boolean;
  /** Its peer has its tunnels: it is down, whatever health knows. */
  readonly declareDown: (server: number, heir: string) => void;
  /** Whoever gives it tunnels, or it itself, says that it lives. */
  readonly declareAlive: (server: number) => void;
  /** Something that a later process has to know has changed. */
  readonly changed: () => void;
  readonly done: (row: TakeOverRow) => void;
}

/** What another process has to know. */
export interface TakeOverMemory {
  readonly pairs: readonly { readonly names: readonly [string, string]; readonly generation: number }[];
  /** Names: the heir has had tunnels of the server. */
  readonly heirs: readonly { readonly server: string; readonly heir: string }[];
}

/** Orders that shards are at, at once. */
export const WORKING_LIMIT = 64;
/** What a server that has given its tunnels away had sent before still reaches the clients for so long. */
const GRACE_SECONDS = 1;
/** Answers owed for one order: the last ones that asked. */
const ASKERS_LIMIT = 8;
/** Done orders remembered, for `show`. */
const DONE_LIMIT = 64;

type Reply = (answer: TakeOverAnswer) => void;

interface Work {
  readonly id: number;
  readonly order: TakeOverOrder;
  readonly rePoint: RePointOrder;
  readonly at: number;
  readonly pending: Set<number>;
  askers: { order: TakeOverOrder; reply: Reply }[];
  moved: number;
  left: number;
}

interface Pair {
  readonly names: readonly [string, string];
  generation: number;
  /** The order that carried it; null: an earlier process had it. */
  last: Work | null;
}

export class TakeOverDesk {
  readonly #world: TakeOverWorld;
  readonly #pairs = new Map<string, Pair>();
  readonly #heirs = new Map<string, { server: string; heir: string }>();
  #working: Work[] = [];
  #done: Work[] = [];
  #servers = new Map<string, DeskServer>();
  #quiet = 1;
  #nextId = 1;

  constructor(world: TakeOverWorld) {
    this.#world = world;
  }

  /** `quiet`: seconds without a packet after which a claim is believed. */
  configure(servers: readonly DeskServer[], quiet: number): void {
    this.#servers = new Map(servers.map((server) => [server.name, server]));
    this.#quiet = quiet;
  }

  /** An authentic order. The answer may come later, or never where shards end before. */
  order(order: TakeOverOrder, reply: Reply): void {
    const say = (result: TakeOverResult, tunnels = 0): void => reply(this.#answer(order, result, tunnels));
    const server = this.#servers.get(order.server);
    const heir = this.#servers.get(order.heir);
    if (server === undefined || heir === undefined || server.vip !== heir.vip) return say('unknown-server');
    if (server.peer !== heir.name && heir.peer !== server.name) return say('not-peer');
    const pair = this.#pair(order);
    if (order.kind === 'ask')
      return say(order.sender === server.name || order.sender === heir.name ? 'known' : 'not-entitled');
    if (order.sender !== (order.kind === 'claim' ? heir.name : server.name)) return say('not-entitled');
    const known = pair.last;
    if (order.generation === pair.generation && known !== null && isSame(known.order, order)) {
      if (known.pending.size === 0) return say(known.left > 0 ? 'incomplete' : 'taken', known.moved);
      known.askers = [...known.askers.slice(1 - ASKERS_LIMIT), { order, reply }];
      return;
    }
    // The server gives tunnels away and the heir claims them: whichever comes first does it, the other has nothing to do.
    if (!this.#world.hasTunnels(server.index, order.ranges)) {
      this.#raise(pair, order.generation);
      return say('taken');
    }
    const busy = known !== null && known.pending.size > 0 && known.order.heir === order.heir;
    if (order.generation <= pair.generation) return say(busy ? 'working' : 'old-generation');
    if (order.kind === 'claim' && !this.#isDead(server.index)) return say('still-heard');
    if (this.#working.length >= WORKING_LIMIT) return say('busy');
    this.#begin(order, server, heir, pair, reply);
  }

  /** A shard has begun: it does what is still to be done. */
  shardUp(shard: number): void {
    for (const work of this.#working) if (work.pending.has(shard)) this.#world.send(shard, work.rePoint);
  }

  /** Address indices of servers and their heirs, for shards that were not there. */
  heirPairs(): [number, number][] {
    return [...this.#heirs.values()].flatMap(({ server, heir }): [number, number][] => {
      const [of, to] = [this.#servers.get(server), this.#servers.get(heir)];
      return of === undefined || to === undefined ? [] : [[of.address, to.address]];
    });
  }

  /** A shard has done orders. */
  rePointed(shard: number, done: readonly RePointed[]): void {
    for (const { id, moved, left } of done) {
      const work = this.#working.find((candidate) => candidate.id === id);
      if (work === undefined || !work.pending.delete(shard)) continue;
      work.moved += moved;
      work.left += left;
      if (work.pending.size === 0) this.#finish(work);
    }
  }

  /** May some other server take its tunnels? */
  hasPeer(server: number): boolean {
    for (const one of this.#servers.values()) {
      if (one.index !== server) continue;
      const { name, peer } = one;
      return [...this.#servers.values()].some(
        (other) =>
          (other.name === peer || other.peer === name) && other.name !== name && !this.#world.isDown(other.index),
      );
    }
    return false;
  }

  /** Orders, the last first, then the pairs of which none has come. */
  rows(): TakeOverRow[] {
    const told = [...this.#working, ...this.#done].sort((a, b) => b.id - a.id);
    const rows = told.map((work) => this.#row(work));
    for (const { name, peer, vip } of this.#servers.values()) {
      const heir = peer === null ? undefined : this.#servers.get(peer);
      if (heir === undefined || heir.vip !== vip) continue;
      if (rows.some((row) => row.server === name && row.heir === peer)) continue;
      const generation = this.#pairs.get(keyOf(name, heir.name))?.generation ?? 0;
      rows.push({
        server: name,
        heir: heir.name,
        kind: null,
        generation,
        state: 'ready',
        tunnels: 0,
        left: 0,
        ageSeconds: null,
      });
    }
    return rows;
  }

  // ── memory ────────────────────────────────────────────────────────────────────────────────────────────────────────

  remember(): TakeOverMemory {
    return {
      pairs: [...this.#pairs.values()]
        .filter(({ generation }) => generation > 0)
        .map(({ names, generation }) => ({ names, generation })),
      heirs: [...this.#heirs.values()],
    };
  }

  recall({ pairs, heirs }: TakeOverMemory): void {
    for (const { names, generation } of pairs) this.#pairs.set(keyOf(...names), { names, generation, last: null });
    for (const pair of heirs) this.#heirs.set(`${pair.server} ${pair.heir}`, pair);
  }

  // ── parts ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  #isDead(server: number): boolean {
    const { now, isDown, heardSince, confirmDead } = this.#world;
    return isDown(server) || (!heardSince(server, now() - this.#quiet) && confirmDead(server));
  }

  #begin(order: TakeOverOrder, server: DeskServer, heir: DeskServer, pair: Pair, reply: Reply): void {
    const id = this.#nextId++;
    const grace = order.kind === 'yield' ? GRACE_SECONDS : 0;
    const rePoint = { id, server: server.index, heir: heir.index, ranges: order.ranges, grace };
    const pending = new Set(this.#world.shards());
    const askers = [{ order, reply }];
    const work: Work = { id, order, rePoint, at: this.#world.now(), pending, askers, moved: 0, left: 0 };
    pair.generation = order.generation;
    pair.last = work;
    this.#heirs.set(`${server.name} ${heir.name}`, { server: server.name, heir: heir.name });
    this.#working.push(work);
    this.#world.changed();
    // First: a shard would end tunnels of a server that it takes for dead as soon as their clients speak.
    this.#world.declareAlive(heir.index);
    for (const shard of pending) this.#world.send(shard, rePoint);
    if (order.kind === 'claim') this.#world.declareDown(server.index, heir.name);
    if (pending.size === 0) this.#finish(work);
  }

  #finish(work: Work): void {
    this.#working = this.#working.filter((other) => other !== work);
    this.#done = [...this.#done.slice(1 - DONE_LIMIT), work];
    for (const { order, reply } of work.askers)
      reply(this.#answer(order, work.left > 0 ? 'incomplete' : 'taken', work.moved));
    work.askers = [];
    this.#world.done(this.#row(work));
  }

  /** Nothing was moved, but lower generations are over. */
  #raise(pair: Pair, generation: number): void {
    if (generation <= pair.generation) return;
    pair.generation = generation;
    pair.last = null;
    this.#world.changed();
  }

  #row({ order, at, pending, moved, left }: Work): TakeOverRow {
    return {
      server: order.server,
      heir: order.heir,
      kind: order.kind,
      generation: order.generation,
      state: pending.size > 0 ? 'working' : 'done',
      tunnels: moved,
      left,
      ageSeconds: Math.max(0, Math.round((this.#world.now() - at) * 10) / 10),
    };
  }

  #pair({ server, heir }: TakeOverOrder): Pair {
    const key = keyOf(server, heir);
    let pair = this.#pairs.get(key);
    if (pair === undefined) {
      pair = { names: [server, heir], generation: 0, last: null };
      this.#pairs.set(key, pair);
    }
    return pair;
  }

  #answer(order: TakeOverOrder, result: TakeOverResult, tunnels: number): TakeOverAnswer {
    const generation = this.#pairs.get(keyOf(order.server, order.heir))?.generation ?? 0;
    const { sequence, timeMs, sender, server, heir } = order;
    return { kind: 'answer', sequence, timeMs, sender, server, heir, generation, result, tunnels };
  }
}

/** Names hold no spaces. */
const keyOf = (a: string, b: string): string => (a < b ? `${a} ${b}` : `${b} ${a}`);

function isSame(a: TakeOverOrder, b: TakeOverOrder): boolean {
  const words = ({ kind, sender, server, heir, ranges }: TakeOverOrder): string =>
    JSON.stringify([kind, sender, server, heir, ranges.map(({ low, high }) => [low, high])]);
  return words(a) === words(b);
}
