/**
 * Block 306 of document 003: the rules apply to every packet from outside, tunnel traffic or not, before it is
 * classified. Verdicts for tunnels are cached in their entries (FLAG_DENIED); here the rules themselves are asked, for
 * new tunnels, for non-tunnel traffic, and for all tunnels again when the rules change.
 */
import { RuleList } from '../flow/rule-list.js';
import { PORT_OUTSIDE } from '../io/port.js';
import type { Batch } from './batch.js';
import type { Directory } from './directory.js';
import type { Plan, PlanVip } from './plan.js';

const TYPE_IPV6 = 0x86dd;
const MAPPED = 0xffff;
const IPPROTO_ICMPV6 = 58;

export class Firewall {
  #rules = new RuleList([]);
  #denyByDefault = false;
  #trivial = true;
  /** With one arm servers stand on the outside too; what they send is never filtered. */
  #oneArm = false;

  constructor(oneArm = false) {
    this.#oneArm = oneArm;
  }

  setPlan(plan: Plan): void {
    this.#rules = new RuleList(plan.rules);
    this.#denyByDefault = plan.denyByDefault;
    this.#trivial = plan.rules.length === 0 && !plan.denyByDefault;
  }

  /** Is this frame, an IP packet from outside, denied? Column data of `classify` must be there. */
  denies(batch: Batch, i: number, directory: Directory): boolean {
    if (this.#trivial || batch.columns.ingress[i] !== PORT_OUTSIDE) return false;
    const { view } = batch;
    const l3 = batch.l3[i];
    const v6 = view.getUint16(l3 - 2) === TYPE_IPV6;
    const protocol = batch.ipProtocol[i];
    // Neighbour discovery is to IPv6 what ARP is to IPv4: never filtered (RFC 4890 §4.4.1).
    if (v6 && protocol === IPPROTO_ICMPV6 && isNeighbourDiscovery(view, batch.l4[i], batch.end[i])) return false;
    const s0 = v6 ? view.getInt32(l3 + 8) : 0;
    const s1 = v6 ? view.getInt32(l3 + 12) : 0;
    const s2 = v6 ? view.getInt32(l3 + 16) : MAPPED;
    const s3 = v6 ? view.getInt32(l3 + 20) : view.getInt32(l3 + 12);
    if (this.#oneArm && directory.serverOf(s0, s1, s2, s3) >= 0) return false;
    const d0 = v6 ? view.getInt32(l3 + 24) : 0;
    const d1 = v6 ? view.getInt32(l3 + 28) : 0;
    const d2 = v6 ? view.getInt32(l3 + 32) : MAPPED;
    const d3 = v6 ? view.getInt32(l3 + 36) : view.getInt32(l3 + 16);
    const hasPorts = (protocol === 6 || protocol === 17) && batch.end[i] - batch.l4[i] >= 4;
    const port = hasPorts ? view.getUint16(batch.l4[i] + 2) : 0;
    return this.#denied(s0, s1, s2, s3, d0, d1, d2, d3, protocol, port);
  }

  /** Would packets of this client for this VIP be denied? */
  deniesTunnel(
    a0: number,
    a1: number,
    a2: number,
    a3: number,
    vip: PlanVip,
    protocol: number,
    directory: Directory,
  ): boolean {
    if (this.#trivial) return false;
    const { addresses } = directory;
    const at = vip.address;
    const descriptor = directory.descriptor(protocol);
    const port = descriptor.hasPorts ? vip.port : 0;
    return this.#denied(
      a0,
      a1,
      a2,
      a3,
      addresses.word(at, 0),
      addresses.word(at, 1),
      addresses.word(at, 2),
      addresses.word(at, 3),
      descriptor.ipProtocol,
      port,
    );
  }

  #denied(
    s0: number,
    s1: number,
    s2: number,
    s3: number,
    d0: number,
    d1: number,
    d2: number,
    d3: number,
    protocol: number,
    port: number,
  ): boolean {
    const row = this.#rules.evaluate(s0, s1, s2, s3, d0, d1, d2, d3, protocol, port);
    return row < 0 ? this.#denyByDefault : this.#rules.denies(row);
  }
}

/** Router and neighbour solicitations and advertisements, redirect: types 133 … 137 (RFC 4861 §4). */
function isNeighbourDiscovery(view: DataView, offset: number, end: number): boolean {
  if (end - offset < 4) return false;
  const type = view.getUint8(offset);
  return type >= 133 && type <= 137;
}
