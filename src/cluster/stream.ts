/** What writer and readers of a stream have in common. */
import { PLANE_WORDS } from '../wire/cluster-record.js';
import type { StateFrameWriter } from '../wire/cluster-state.js';
import { Mirror } from './mirror.js';

export interface StreamName {
  /** Number of the member whose table it was first, 1 … 255. */
  readonly origin: number;
  readonly shard: number;
}

/** Indices of tunnels and of sessions. */
export type Capacity = readonly [tunnels: number, sessions: number];

/** Sends one frame; `body` is only valid during the call. `target` 0: to all. */
export type Send = (target: number, body: Uint8Array) => void;

export const streamKey = (origin: number, shard: number): number => (origin << 8) | shard;

/** Of two writers the one with the higher generation is right, of one generation the one with the higher number. */
export function outranks(generation: number, writer: number, otherGeneration: number, otherWriter: number): boolean {
  return generation > otherGeneration || (generation === otherGeneration && writer > otherWriter);
}

export interface StreamCounters {
  changes: number;
  records: number;
  repaired: number;
  /** Changes that had to be asked for, and of those the ones that nobody could tell any more. */
  missed: number;
  forgotten: number;
  /** Ranges that digests found to differ. */
  drifted: number;
  repeated: number;
  stale: number;
  /** Records with an index that this member has no room for. */
  refused: number;
  /** Questions that were not noted, because too many wait. */
  asksDropped: number;
}

export class Stream {
  readonly mirrors: readonly [Mirror, Mirror];
  readonly counters: StreamCounters = {
    changes: 0,
    records: 0,
    repaired: 0,
    missed: 0,
    forgotten: 0,
    drifted: 0,
    repeated: 0,
    stale: 0,
    refused: 0,
    asksDropped: 0,
  };
  generation = 0;
  writer = 0;
  /** Of the last change told, or seen. */
  position = 0;
  /** The stream's clock is ours plus this; NaN: not known yet. */
  clock = Number.NaN;

  constructor(
    readonly name: StreamName,
    readonly capacity: Capacity,
    mirrors?: readonly [Mirror, Mirror],
  ) {
    this.mirrors = mirrors ?? [new Mirror(capacity[0], PLANE_WORDS[0]), new Mirror(capacity[1], PLANE_WORDS[1])];
  }

  get key(): number {
    return streamKey(this.name.origin, this.name.shard);
  }

  /** Seconds of the stream's clock at our time `now`. */
  streamTime(now: number): number {
    return Number.isNaN(this.clock) ? now : now + this.clock;
  }

  /** Our time at this second of the stream's clock. */
  localTime(time: number): number {
    return Number.isNaN(this.clock) ? time : time - this.clock;
  }

  begin(frame: StateFrameWriter, kind: number, plane: number, now: number): void {
    frame.begin(kind, plane, this.name.origin, this.name.shard, this.generation, this.writer);
    frame.setPosition(this.position, this.streamTime(now));
  }
}
