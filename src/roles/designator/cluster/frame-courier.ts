/**
 * Carries control messages of tunnels to the members that write them, over the bus: what the shards could not hand on from
 * virtual MAC to virtual MAC. Lost messages are sent again by the tunnels' ends.
 */
import type { ClusterBus } from '../../../cluster/bus.js';
import type { ForeignFrame, MemberFrame, ShardMessage } from '../../../dataplane/plan.js';
import { frameOf, TO_ANYBODY } from '../../../dataplane/share.js';
import { FRAME_CHECKSUM_PARTIAL, PORT_INSIDE } from '../../../io/port.js';
import { emitCarried, readCarried } from '../../../wire/cluster-control.js';

export interface CourierParts {
  readonly bus: ClusterBus;
  readonly shards: number;
  readonly macs: readonly [Uint8Array, Uint8Array];
  readonly message: (shard: number, message: ShardMessage) => boolean;
  /** The member that writes this stream of the share map, null: unknown. */
  readonly writerOf: (stream: number) => number | null;
}

/** Frames that are given to shards at a time. */
const PORTION = 64;

export class FrameCourier {
  readonly counters = { sent: 0, sentToAll: 0, received: 0, malformed: 0, lost: 0 };
  readonly #p: CourierParts;
  #waiting: MemberFrame[] = [];
  #soon = false;
  #next = 0;

  constructor(parts: CourierParts) {
    this.#p = parts;
    parts.bus.subscribe('control', (_from, _incarnation, body) => this.#receive(body));
  }

  send(frames: readonly ForeignFrame[]): void {
    const { bus, writerOf } = this.#p;
    for (const frame of frames) {
      const writer = frame.stream === TO_ANYBODY ? null : writerOf(frame.stream);
      // It became ours while the frame was on its way here.
      if (writer === bus.number) {
        this.#give(frame);
        continue;
      }
      if (writer === null) this.counters.sentToAll++;
      else this.counters.sent++;
      const { port, flags, source, packet } = frame;
      const partial = (flags & FRAME_CHECKSUM_PARTIAL) !== 0;
      bus.publish('control', emitCarried({ side: port === PORT_INSIDE ? 1 : 0, partial, source, packet }), writer ?? 0);
    }
  }

  #receive(body: Uint8Array): void {
    const carried = readCarried(body);
    if (carried === null) {
      this.counters.malformed++;
      return;
    }
    this.counters.received++;
    const { side, partial, source, packet } = carried;
    this.#give({ port: side, flags: partial ? FRAME_CHECKSUM_PARTIAL : 0, source, packet });
  }

  #give({ port, flags, source, packet }: Omit<ForeignFrame, 'stream'>): void {
    if (this.#waiting.length >= PORTION) this.#deliver();
    this.#waiting.push({ port, flags, frame: frameOf({ source, packet }, this.#p.macs[port]) });
    if (this.#soon) return;
    this.#soon = true;
    setImmediate(() => {
      this.#soon = false;
      this.#deliver();
    });
  }

  /** To any shard: it hands each to the one that owns the client. */
  #deliver(): void {
    const frames = this.#waiting;
    if (frames.length === 0) return;
    this.#waiting = [];
    this.#next = (this.#next + 1) % this.#p.shards;
    if (!this.#p.message(this.#next, { type: 'member-frames', frames })) this.counters.lost += frames.length;
  }
}
