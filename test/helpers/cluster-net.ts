/**
 * Members of a cluster that replicate state over a net that loses, delays, repeats and reorders, under a virtual clock:
 * every run of one seed is the same.
 */
import type { Facts } from '../../src/cluster/introductions.js';
import { Replication, type ReplicationEvent, type ReplicationOptions } from '../../src/cluster/replication.js';
import type { Stream } from '../../src/cluster/stream.js';
import type { StreamWriter } from '../../src/cluster/stream-writer.js';
import { PLANE_WORDS } from '../../src/wire/cluster-record.js';
import { randomOf } from './seeded-random.js';

export interface Faults {
  /** Chances 0 … 1, delays in seconds. */
  loss: number;
  repeat: number;
  delay: number;
  jitter: number;
}

interface Flying {
  at: number;
  order: number;
  from: ClusterNode;
  to: number;
  incarnation: number;
  body: Uint8Array;
}

export class ClusterNode {
  replication: Replication;
  incarnation = 1;
  up = true;
  writer: StreamWriter | null = null;
  readonly events: ReplicationEvent[] = [];
  changed = 0;
  counted = 0;
  /** Its own table, as words by index, one map a plane: what its stream must carry. */
  readonly model: [Map<number, Int32Array>, Map<number, Int32Array>] = [new Map(), new Map()];

  constructor(
    readonly net: ClusterNet,
    readonly number: number,
    public facts: Facts,
  ) {
    this.replication = this.#fresh();
  }

  /** Another life, which remembers nothing of the streams. */
  restart(): void {
    this.incarnation++;
    this.up = true;
    this.writer = null;
    this.replication = this.#fresh();
  }

  /** Writes its stream and puts in all that its table has. */
  begin(origin = this.number): StreamWriter {
    const writer = this.replication.write(origin, 0, this.net.now);
    this.writer = writer;
    for (const plane of [0, 1])
      for (const [index, words] of this.model[plane]) writer.put(plane, index, words, 0, this.net.now);
    return writer;
  }

  put(plane: number, index: number, words: Int32Array): void {
    this.model[plane].set(index, words);
    this.writer?.put(plane, index, words, 0, this.net.now);
  }

  free(plane: number, index: number): void {
    this.model[plane].delete(index);
    this.writer?.free(plane, index, this.net.now);
  }

  #fresh(): Replication {
    const sink = {
      changed: (_stream: Stream, _plane: number, _index: number) => void this.changed++,
      counted: () => void this.counted++,
    };
    return new Replication({
      number: this.number,
      facts: this.facts,
      capacity: this.net.capacity,
      sink,
      ...this.net.options,
    });
  }
}

export class ClusterNet {
  now = 100;
  readonly nodes: ClusterNode[] = [];
  readonly random: () => number;
  faults: Faults = { loss: 0, repeat: 0, delay: 0.0005, jitter: 0 };
  /** May these two hear each other? */
  hears: (from: number, to: number) => boolean = () => true;
  frames = 0;
  #flying: Flying[] = [];
  #order = 0;

  constructor(
    seed: number,
    readonly capacity: readonly [number, number] = [8192, 8192],
    readonly options: Partial<ReplicationOptions> = {},
  ) {
    this.random = randomOf(seed);
  }

  add(number: number, facts: Facts = new Map([['vip access', '192.0.2.1:1701']])): ClusterNode {
    const node = new ClusterNode(this, number, facts);
    this.nodes.push(node);
    return node;
  }

  /** Lets time pass in steps of a millisecond. `each`: what happens in every step. */
  run(seconds: number, each: () => void = () => undefined): void {
    const end = this.now + seconds;
    while (this.now < end) {
      each();
      this.step();
    }
  }

  runUntil(condition: () => boolean, seconds: number): boolean {
    const end = this.now + seconds;
    while (this.now < end) {
      if (condition()) return true;
      this.run(0.01);
    }
    return condition();
  }

  step(): void {
    for (const node of this.nodes) {
      if (!node.up || node.replication.nextTime > this.now) continue;
      node.replication.turn(this.now, (target, body) => this.#carry(node, target, body));
      node.events.push(...node.replication.events());
    }
    this.now += 0.001;
    const due = this.#flying.filter(({ at }) => at <= this.now).sort((a, b) => a.at - b.at || a.order - b.order);
    if (due.length === 0) return;
    this.#flying = this.#flying.filter(({ at }) => at > this.now);
    for (const { from, to, incarnation, body } of due) {
      const node = this.nodes.find(({ number }) => number === to);
      if (node?.up !== true) continue;
      node.replication.receive(from.number, incarnation, body, this.now);
      node.events.push(...node.replication.events());
    }
  }

  /** A frame that was not sent by the engine. */
  inject(from: ClusterNode, to: ClusterNode, body: Uint8Array, incarnation = from.incarnation): void {
    to.replication.receive(from.number, incarnation, body, this.now);
  }

  /** Every word of a stream at a member, as text: equal texts are equal tables. */
  static contents(stream: Stream): string {
    const lines: string[] = [];
    for (const plane of [0, 1]) {
      const mirror = stream.mirrors[plane];
      for (let index = 0; index < mirror.capacity; index++)
        if (mirror.has(index))
          lines.push(
            `${plane}/${index}:${Array.from({ length: PLANE_WORDS[plane] }, (_, w) => mirror.word(index, w))}`,
          );
    }
    return lines.join('\n');
  }

  static contentsOf(model: ClusterNode['model']): string {
    return [0, 1]
      .flatMap((plane) =>
        [...model[plane]].sort(([a], [b]) => a - b).map(([index, words]) => `${plane}/${index}:${[...words]}`),
      )
      .join('\n');
  }

  words(plane: number): Int32Array {
    const words = Int32Array.from({ length: PLANE_WORDS[plane] }, () => (this.random() * 2 ** 32) | 0);
    words[0] = 1 + Math.floor(this.random() * 1000);
    return words;
  }

  #carry(from: ClusterNode, target: number, body: Uint8Array): void {
    for (const node of this.nodes) {
      if (node === from || (target !== 0 && target !== node.number)) continue;
      this.frames++;
      if (!this.hears(from.number, node.number) || this.random() < this.faults.loss) continue;
      const copies = this.random() < this.faults.repeat ? 2 : 1;
      for (let i = 0; i < copies; i++) {
        const at = this.now + this.faults.delay + this.random() * this.faults.jitter;
        this.#flying.push({
          at,
          order: this.#order++,
          from,
          to: node.number,
          incarnation: from.incarnation,
          body: body.slice(),
        });
      }
    }
  }
}
