/**
 * Who is fit to replicate with us: members say the layout of their records, the size of their tables and a digest of their
 * configuration; where that differs they tell their facts, so that the difference can be named.
 */
import { createHash } from 'node:crypto';
import { RECORD_LAYOUT } from '../wire/cluster-record.js';
import { CLUSTER_BODY_LIMIT } from '../wire/cluster-bus.js';
import {
  STATE_HEADER_LENGTH,
  STATE_KIND,
  type StateFrameReader,
  type StateFrameWriter,
} from '../wire/cluster-state.js';
import type { Capacity, Send } from './stream.js';

/** Name of a fact and what it is here: `vip access` → `200.200.100.1:1701 l2tp`. */
export type Facts = ReadonlyMap<string, string>;

export interface Introduction {
  /** null: not known yet, since nothing but that it differs has been said. */
  differences: readonly string[] | null;
  accepted: boolean;
  capacity: Capacity;
}

/** Differences that are named. */
const NAMED_LIMIT = 8;
/** Of each name and value in a difference. */
const SHOWN_LIMIT = 128;
/** Bytes of facts that a member may tell: as many servers and VIPs as a table has, with the longest names. */
const FACTS_LIMIT = 384 * 1024;
const PART = CLUSTER_BODY_LIMIT - STATE_HEADER_LENGTH - 4;
const ASK_AGAIN = 1;
const SEPARATOR = '\t';

interface Known extends Introduction {
  layout: number;
  digest: string;
  askedAt: number;
  parts: (Uint8Array | undefined)[];
}

export class Introductions {
  readonly counters = { refused: 0, unintroduced: 0 };
  /** Changes of what is thought of others: number and whether it is accepted. */
  readonly news: { number: number; accepted: boolean; differences: readonly string[] }[] = [];
  readonly #known = new Map<number, Known>();
  #text = new Uint8Array(0);
  #digest = new Uint8Array(0);
  #facts: Facts = new Map();
  /** Members who are to be told something, and what. */
  readonly #due: { target: number; kind: number; asks: boolean }[] = [];
  readonly #greeted = new Map<number, number>();

  constructor(
    facts: Facts,
    readonly capacity: Capacity,
  ) {
    this.setFacts(facts);
  }

  /** Other facts than before: whoever is known introduces itself again, and so do we. */
  setFacts(facts: Facts): void {
    const lines = [...facts].map(([name, value]) => `${clean(name)}${SEPARATOR}${clean(value)}`).sort();
    this.#text = new TextEncoder().encode(lines.join('\n')).subarray(0, FACTS_LIMIT);
    this.#digest = createHash('sha256').update(lines.join('\n')).digest().subarray(0, 8);
    this.#facts = new Map(lines.map((line) => split(line)));
    for (const number of this.#known.keys()) this.#enqueue(number, STATE_KIND.hello, true);
    this.#known.clear();
    this.#greeted.clear();
  }

  /** May frames of this member about connection state be believed? One that is not known is told to introduce itself. */
  accepts(number: number, now: number): boolean {
    const known = this.#known.get(number);
    if (known?.accepted === true) return true;
    if (known === undefined) {
      this.counters.unintroduced++;
      if (now >= (this.#greeted.get(number) ?? Number.NEGATIVE_INFINITY) + 0.2) {
        this.#greeted.set(number, now);
        this.#enqueue(number, STATE_KIND.hello, true);
      }
    } else this.counters.refused++;
    return false;
  }

  get(number: number): Introduction | undefined {
    return this.#known.get(number);
  }

  /** Members that are refused, and in what they differ. */
  *refused(): Generator<{ number: number; differences: readonly string[] }> {
    for (const [number, { accepted, differences }] of this.#known)
      if (!accepted) yield { number, differences: differences ?? ['configuration'] };
  }

  forget(number: number): void {
    this.#known.delete(number);
    this.#greeted.delete(number);
  }

  get isDue(): boolean {
    return this.#due.length > 0;
  }

  receive(from: number, frame: StateFrameReader, now: number): void {
    if (frame.kind === STATE_KIND.hello) this.#hello(from, frame, now);
    else if (frame.kind === STATE_KIND.askFacts) this.#enqueue(from, STATE_KIND.facts);
    else this.#part(from, frame);
  }

  /** To all. */
  hello(frame: StateFrameWriter, target: number, asks: boolean, send: Send): void {
    frame.begin(STATE_KIND.hello, asks ? 1 : 0, 0, 0, 0, 0);
    frame.word(RECORD_LAYOUT);
    frame.word(this.capacity[0]);
    frame.word(this.capacity[1]);
    frame.text(this.#digest);
    send(target, frame.end());
  }

  sendOne(frame: StateFrameWriter, send: Send): boolean {
    const next = this.#due.shift();
    if (next === undefined) return false;
    if (next.kind === STATE_KIND.hello) this.hello(frame, next.target, next.asks, send);
    else if (next.kind === STATE_KIND.askFacts) {
      frame.begin(STATE_KIND.askFacts, 0, 0, 0, 0, 0);
      send(next.target, frame.end());
    } else this.#tell(frame, next.target, send);
    return true;
  }

  #hello(from: number, frame: StateFrameReader, now: number): void {
    const at = STATE_HEADER_LENGTH;
    const layout = frame.word(at);
    const digest = Buffer.from(frame.bytes.subarray(at + 12, at + 20)).toString('hex');
    let known = this.#known.get(from);
    if (frame.plane === 1 || known === undefined) this.#enqueue(from, STATE_KIND.hello);
    if (
      known === undefined ||
      known.layout !== layout ||
      known.digest !== digest ||
      !sameCapacity(known.capacity, frame, at)
    ) {
      const before = known?.accepted;
      const capacity = [frame.word(at + 4), frame.word(at + 8)] as const;
      const fits = capacity[0] === this.capacity[0] && capacity[1] === this.capacity[1];
      known = {
        layout,
        digest,
        capacity,
        accepted: layout === RECORD_LAYOUT && fits && digest === Buffer.from(this.#digest).toString('hex'),
        differences: null,
        askedAt: Number.NEGATIVE_INFINITY,
        parts: [],
      };
      this.#known.set(from, known);
      if (known.accepted) known.differences = [];
      else if (layout !== RECORD_LAYOUT) known.differences = [`record layout: ${RECORD_LAYOUT} here, ${layout} there`];
      else if (!fits)
        known.differences = [
          `table: ${this.capacity.join(' tunnels, ')} sessions here, ${capacity.join(' tunnels, ')} sessions there`,
        ];
      if (known.differences !== null && before !== known.accepted) this.#tellNews(from, known);
    }
    if (known.differences === null && now >= known.askedAt + ASK_AGAIN) {
      known.askedAt = now;
      this.#enqueue(from, STATE_KIND.askFacts);
    }
  }

  #part(from: number, frame: StateFrameReader): void {
    const known = this.#known.get(from);
    if (known === undefined || known.differences !== null) return;
    const part = frame.view.getUint16(STATE_HEADER_LENGTH);
    const of = frame.view.getUint16(STATE_HEADER_LENGTH + 2);
    if (of === 0 || part >= of || of * PART > FACTS_LIMIT + PART) return;
    known.parts[part] = frame.bytes.slice(STATE_HEADER_LENGTH + 4);
    known.parts.length = of;
    for (let i = 0; i < of; i++) if (known.parts[i] === undefined) return;
    const text = new TextDecoder().decode(Buffer.concat(known.parts as Uint8Array[]));
    known.parts = [];
    known.differences = this.#differences(new Map(text.split('\n').map((line) => split(line))));
    this.#tellNews(from, known);
  }

  #differences(there: Facts): string[] {
    const found: string[] = [];
    for (const fact of [...new Set([...this.#facts.keys(), ...there.keys()])].sort()) {
      if (this.#facts.get(fact) === there.get(fact)) continue;
      if (found.length === NAMED_LIMIT) return [...found, 'and more'];
      const [name, mine, other] = [shown(fact), shown(this.#facts.get(fact)), shown(there.get(fact))];
      if (mine === undefined) found.push(`${name}: not here, ${other} there`);
      else if (other === undefined) found.push(`${name}: ${mine} here, not there`);
      else found.push(`${name}: ${mine} here, ${other} there`);
    }
    return found.length > 0 ? found : ['configuration'];
  }

  #tell(frame: StateFrameWriter, target: number, send: Send): void {
    const of = Math.max(1, Math.ceil(this.#text.length / PART));
    for (let part = 0; part < of; part++) {
      frame.begin(STATE_KIND.facts, 0, 0, 0, 0, 0);
      frame.word((part << 16) | of);
      frame.text(this.#text.subarray(part * PART, (part + 1) * PART));
      send(target, frame.end());
    }
  }

  /** `asks`: a hello that wants one in return. */
  #enqueue(target: number, kind: number, asks = false): void {
    if (!this.#due.some((due) => due.target === target && due.kind === kind && due.asks === asks))
      this.#due.push({ target, kind, asks });
  }

  #tellNews(number: number, { accepted, differences }: Known): void {
    if (this.news.length < 256) this.news.push({ number, accepted, differences: differences ?? [] });
  }
}

const sameCapacity = (known: Capacity, frame: StateFrameReader, at: number): boolean =>
  known[0] === frame.word(at + 4) && known[1] === frame.word(at + 8);

const clean = (text: string): string => text.replaceAll(/[\t\n]/g, ' ');

/** It comes from another machine and is shown on terminals. */
function shown<Text extends string | undefined>(text: Text): Text {
  return text?.slice(0, SHOWN_LIMIT).replaceAll(/\p{Cc}/gu, '?') as Text;
}

function split(line: string): [string, string] {
  const at = line.indexOf(SEPARATOR);
  return at < 0 ? [line, ''] : [line.slice(0, at), line.slice(at + 1)];
}
