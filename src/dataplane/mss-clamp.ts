/**
 * MSS clamping inside tunnels (`vips[].clampMss`): TCP connections of users inside PPP agree on segments that need no
 * fragments outside. In both directions, in SYN and in SYN with ACK, since either end proposes for itself. A larger MSS
 * is made smaller, never the other way; without the option nothing is looked at.
 */
import { RECORD, VIP_LIMIT } from '../flow/layout.js';
import { adjust16, asUdp } from '../wire/checksum.js';
import { findMss, newProposedMss } from '../wire/ppp-tcp.js';
import type { Batch } from './batch.js';
import { COUNTER } from './counters.js';
import type { Directory } from './directory.js';
import type { Plan } from './plan.js';
import type { TunnelStore } from './tunnel-store.js';

/** An IPv6 header is so much longer than one of IPv4, for which the option is given. */
const IPV6_MORE = 20;
const UDP = 17;

export class MssClamp {
  /** Some VIP clamps. */
  active = false;
  /** MSS by VIP cell index, 0 = left alone. */
  readonly #limits = new Int32Array(VIP_LIMIT);
  readonly #found = newProposedMss();

  constructor(
    readonly store: TunnelStore,
    readonly statistics: Float64Array,
  ) {}

  setPlan(plan: Plan): void {
    this.#limits.fill(0);
    for (const vip of plan.vips) this.#limits[vip.index] = vip.clampMss ?? 0;
    this.active = this.#limits.some((limit) => limit > 0);
  }

  /** Goes over columns [from, to): frames that will be forwarded by an entry are changed where they lie. */
  run(batch: Batch, from: number, to: number, directory: Directory): void {
    if (!this.active) return;
    const { verdict } = batch.columns;
    for (let i = from; i < to; i++) {
      const slot = verdict[i];
      if (slot < 0) continue;
      const record = this.store.table.recordOf(slot);
      const limit = this.#limits[this.store.word(record, RECORD.place) >>> 16];
      if (limit !== 0) this.#clamp(batch, i, limit, directory);
    }
  }

  #clamp(batch: Batch, i: number, limit: number, directory: Directory): void {
    const { view } = batch;
    const l4 = batch.l4[i];
    const end = batch.end[i];
    // A later fragment has no tunnel header; whatever its bytes look like, they are the middle of something.
    if (isLaterFragment(batch, i)) return;
    const payload = directory.descriptor(batch.protocol[i])?.payload?.(view, l4, end) ?? -1;
    if (payload < 0 || !findMss(view, payload, end, this.#found)) return;
    const { mss, tcp, v6 } = this.#found;
    const wanted = v6 ? limit - IPV6_MORE : limit;
    if (view.getUint16(mss) <= wanted) return;
    const has = batch.ipProtocol[i] === UDP && view.getUint16(l4 + 6) !== 0;
    let outer = view.getUint16(l4 + 6);
    const before = view.getUint16(tcp + 16);
    const after = adjustAt(before, mss - tcp, view.getUint16(mss), wanted);
    outer = adjustAt(outer, mss - l4, view.getUint16(mss), wanted);
    outer = adjustAt(outer, tcp + 16 - l4, before, after);
    view.setUint16(mss, wanted);
    view.setUint16(tcp + 16, after);
    if (has) view.setUint16(l4 + 6, asUdp(outer));
    this.statistics[COUNTER.mssClamped]++;
  }
}

/** A checksum after 16 bits at this distance from its beginning changed; at an odd one they lie in two words (RFC 1071 §2). */
function adjustAt(value: number, distance: number, before: number, after: number): number {
  return (distance & 1) === 0 ? adjust16(value, before, after) : adjust16(value, swapped(before), swapped(after));
}

const swapped = (word: number): number => ((word & 0xff) << 8) | (word >> 8);

function isLaterFragment(batch: Batch, i: number): boolean {
  const { view } = batch;
  const l3 = batch.l3[i];
  if (view.getUint8(l3) >> 4 === 4) return (view.getUint16(l3 + 6) & 0x1fff) !== 0;
  return view.getUint8(l3 + 6) === 44 && (view.getUint16(l3 + 42) & 0xfff8) !== 0;
}
