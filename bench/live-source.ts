/**
 * The fast source: frames that the kernel makes itself (BPF_PROG_TEST_RUN, live frames), stamped by
 * native/bpf/bench/source.bpf.c from prepared heads. Blocks its thread while it sends.
 */
import { readFileSync } from 'node:fs';
import { native } from '#designator/io/native.js';
import { benchObject } from './bpf-object.js';
import type { SendOrder, SendResult } from './end-protocol.js';
import { createWires, type KernelArray, mapArray, setWire, unmapArray } from './kernel-array.js';

const HEAD_LENGTH = 64;
/** `struct source`, as words of 32 and of 64 bits. */
const WORD = { next: 0, count: 1, flags: 2 } as const;
const LONG = { left: 2, sent: 3, interval: 4, due: 5, debt: 6 } as const;
const STAMPED = 1;
const PACED = 2;
const BOTH = 4;
const FRACTION = 1024n; // of a nanosecond
/** A source that was held up makes good at most so much: more would be a burst that no ring takes. */
const DEBT_NS = 20_000n;
/** A call sleeps for 20 to 30 ms besides its work, so it must be long. */
const LEAST_REPEAT = 1 << 20;
const LARGEST_REPEAT = 1 << 28;
/** Frames between two looks at whether somebody else wants the processor. At a rate: how many leave at once at most. */
const BATCH = 64;
const PACED_BATCH = 8;
const UNLIMITED = 1n << 62n;

export class LiveSource {
  readonly #addon = native();
  readonly #interface: number;
  readonly #wires: number;
  readonly #state: KernelArray;
  readonly #words: Int32Array;
  readonly #longs: BigUint64Array;
  #heads: KernelArray | null = null;
  #both = false;
  #program = -1;
  #frame = new Uint8Array(0);
  /** What a call takes without any work. */
  #overheadMs = 0;

  constructor(device: string) {
    this.#interface = this.#addon.interfaceInfo(device).index;
    this.#wires = createWires();
    setWire(this.#wires, 0, this.#interface);
    this.#state = mapArray('bench_source', 1, HEAD_LENGTH);
    this.#words = new Int32Array(this.#state.buffer, 0, HEAD_LENGTH / 4);
    this.#longs = new BigUint64Array(this.#state.buffer, 0, HEAD_LENGTH / 8);
  }

  /** By which the other end finds where to enter its own wire. */
  get wiresId(): number {
    return this.#addon.bpf.mapInfo(this.#wires).id;
  }

  /**
   * `heads`: HEAD_LENGTH bytes for each flow; `tail` follows in every frame. `both`: every other head is the other end's
   * and leaves there.
   */
  load(heads: Uint8Array, tail: Uint8Array, both: boolean): void {
    const count = heads.length / HEAD_LENGTH;
    this.#unload();
    this.#heads = mapArray('bench_heads', count, HEAD_LENGTH);
    new Uint8Array(this.#heads.buffer).set(heads);
    this.#program = this.#addon.bpf.load({
      object: readFileSync(benchObject('source')),
      section: 'xdp',
      name: 'td_bench_source',
      expectedAttachType: 0,
      maps: { bench_source: this.#state.fd, bench_heads: this.#heads.fd, bench_wires: this.#wires },
    });
    this.#frame = new Uint8Array([...heads.subarray(0, HEAD_LENGTH), ...tail]);
    this.#words[WORD.next] = 0;
    this.#words[WORD.count] = count;
    this.#both = both;
    this.#longs[LONG.left] = 0n;
    this.#overheadMs = this.#run(1, BATCH).wallMs;
  }

  /** Blocks. `seconds` of the answer are those in which it could send, without the kernel's preparations. */
  send({ seconds, rate = 0, limit, stamped = false }: SendOrder): SendResult {
    if (this.#program < 0) throw new Error('no frames are loaded');
    const longs = this.#longs;
    this.#words[WORD.flags] = (stamped ? STAMPED : 0) | (rate > 0 ? PACED : 0) | (this.#both ? BOTH : 0);
    longs[LONG.left] = limit === undefined ? UNLIMITED : BigInt(limit);
    longs[LONG.interval] = rate > 0 ? BigInt(Math.round((1e9 * Number(FRACTION)) / rate)) : 0n;
    longs[LONG.due] = process.hrtime.bigint() * FRACTION;
    longs[LONG.debt] = DEBT_NS * FRACTION;
    const before = longs[LONG.sent];
    let active = 0;
    let repeat = LEAST_REPEAT;
    while (active < seconds && longs[LONG.left] > 0n) {
      const { wallMs, workMs } = this.#run(repeat, rate > 0 ? PACED_BATCH : BATCH);
      // The kernel's own figure leaves out when others had the processor.
      active += Math.max(workMs, wallMs - this.#overheadMs) / 1000;
      const each = Math.max(wallMs - this.#overheadMs, 1) / 1000 / repeat;
      const rest = Math.round((seconds - active) / each);
      repeat = limit === undefined ? Math.min(LARGEST_REPEAT, Math.max(LEAST_REPEAT, rest)) : LEAST_REPEAT;
    }
    return { sent: Number(longs[LONG.sent] - before), seconds: active };
  }

  #run(repeat: number, batch: number): { wallMs: number; workMs: number } {
    const began = performance.now();
    const { nanoseconds } = this.#addon.bpf.testRun({
      program: this.#program,
      data: this.#frame,
      ingressInterface: this.#interface,
      repeat,
      live: true,
      batch,
    });
    return { wallMs: performance.now() - began, workMs: (nanoseconds * repeat) / 1e6 };
  }

  close(): void {
    this.#unload();
    unmapArray(this.#state);
    this.#addon.closeFd(this.#wires);
  }

  #unload(): void {
    if (this.#program >= 0) this.#addon.closeFd(this.#program);
    this.#program = -1;
    if (this.#heads !== null) unmapArray(this.#heads);
    this.#heads = null;
  }
}
