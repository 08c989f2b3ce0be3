/**
 * Frames that are no tunnel traffic: the host's (passed on untouched once the firewall lets them), questions to a VIP
 * that the designator itself answers (ARP, ND, echo), and frames that the main thread wants sent.
 */
import { NEXT_HOP_STATE } from '../flow/layout.js';
import type { NextHopTable } from '../flow/next-hop-table.js';
import { PORT_OUTSIDE, SCRATCH_SLOT_LENGTH, VERDICT_PASS, VERDICT_RAW } from '../io/port.js';
import { ETHERNET_LENGTH } from '../wire/ethernet.js';
import { ICMPV6_NEIGHBOUR_SOLICITATION as SOLICITATION } from '../wire/icmpv6.js';
import { IPV4_HEADER_MIN } from '../wire/ipv4.js';
import { IPV6_HEADER_LENGTH, NEXT_ICMPV6 } from '../wire/ipv6.js';
import { type Batch, KIND_DONE } from './batch.js';
import { drop } from './classify.js';
import { COUNTER, DROP_BASE } from './counters.js';
import type { Directory } from './directory.js';
import { DROP } from './drop-reasons.js';
import type { Firewall } from './firewall.js';
import { newNeighbourAnswer, readNeighbourAnswer } from './neighbour-solicitation.js';
import { answer } from './responder.js';
import { finish } from './recall.js';

/** Frames of the main thread that wait for a turn. */
const QUEUE_LIMIT = 1024;
const TYPE_ARP = 0x0806;
const DROP_SEND = DROP_BASE + DROP['send-failed'];

export class Local {
  readonly #queue: { port: number; frame: Uint8Array }[] = [];
  readonly #neighbour = newNeighbourAnswer();
  #directory!: Directory;
  #nowSeconds = 0;
  readonly #isVip = (a0: number, a1: number, a2: number, a3: number): boolean => this.#directory.isOwn(a0, a1, a2, a3);

  readonly #isLocal = (a0: number, a1: number, a2: number, a3: number): boolean =>
    this.#directory.localOf(a0, a1, a2, a3) >= 0;

  constructor(
    readonly macs: readonly [Uint8Array, Uint8Array],
    readonly hops: NextHopTable,
    readonly statistics: Float64Array,
    /** A frame that is here has left the kernel's way (AF_XDP): the host does not get it any more. */
    readonly takes = false,
  ) {}

  setTime(seconds: number): void {
    this.#nowSeconds = Math.floor(seconds);
  }

  /** Block 306 before 308: what the firewall denies the host does not get; everything else it gets untouched. */
  host(batch: Batch, i: number, firewall: Firewall, directory: Directory): void {
    if (batch.l3[i] > 0 && this.#isIp(batch, i) && firewall.denies(batch, i, directory)) {
      drop(batch, i, this.statistics, DROP['firewall-denied']);
      return;
    }
    if (directory.hasLocal && this.#isToLocal(batch, i, directory))
      return drop(batch, i, this.statistics, DROP['local-address']);
    this.#pass(batch, i);
  }

  /** To an address that is the designator's alone, and nothing that it waits for there: no host could have it. */
  #isToLocal(batch: Batch, i: number, directory: Directory): boolean {
    const { columns, view } = batch;
    const l3 = columns.offset[i] + ETHERNET_LENGTH;
    if (!this.#isIp(batch, i) || batch.l3[i] !== l3) return false;
    const v6 = view.getUint8(l3) >> 4 === 6;
    if (columns.length[i] < ETHERNET_LENGTH + (v6 ? IPV6_HEADER_LENGTH : IPV4_HEADER_MIN)) return false;
    const word = (n: number): number => view.getInt32(l3 + (v6 ? 24 : 16) + n * 4);
    return (v6 ? directory.localOf(word(0), word(1), word(2), word(3)) : directory.localOf(0, 0, 0xffff, word(0))) >= 0;
  }

  #pass(batch: Batch, i: number): void {
    if (this.takes) return drop(batch, i, this.statistics, DROP['not-passed']);
    batch.kind[i] = KIND_DONE;
    batch.columns.verdict[i] = VERDICT_PASS;
    this.statistics[COUNTER.passed]++;
  }

  /** ARP, ND, ICMP: answered when it asks a VIP, else the host's. Answers to our own questions are learnt. */
  answer(batch: Batch, i: number, firewall: Firewall, directory: Directory): void {
    this.#directory = directory;
    const { columns, view } = batch;
    const ingress = columns.ingress[i];
    const arp = !this.#isIp(batch, i);
    if (!arp && firewall.denies(batch, i, directory)) return drop(batch, i, this.statistics, DROP['firewall-denied']);
    const heard = this.#learn(batch, i, ingress);
    if (heard && this.takes) {
      // Such an answer comes here only where the host has no device that could have asked.
      this.statistics[COUNTER.heard]++;
      return finish(batch, i);
    }
    // A gateway group hears the question by a socket of its own.
    if (directory.plan.answeredByGroup === true && (arp || this.#isSolicitation(batch, i))) return this.#pass(batch, i);
    // Who has the VIP is asked outside; inside, servers reach it through their route. A local address they ask for.
    const inside = ingress !== PORT_OUTSIDE && arp;
    const slot = !inside || directory.hasLocal ? batch.takeScratch() : -1;
    if (slot >= 0) {
      const length = answer(
        view,
        columns.offset[i],
        columns.length[i],
        view,
        columns.offset[slot],
        inside ? this.#isLocal : this.#isVip,
        this.macs[ingress],
      );
      if (length > 0) {
        columns.length[slot] = length;
        columns.ingress[slot] = ingress;
        columns.egress[slot] = ingress;
        columns.verdict[slot] = VERDICT_RAW;
        this.statistics[COUNTER.answered]++;
        return finish(batch, i);
      }
      batch.returnScratch();
    }
    this.#pass(batch, i);
  }

  /** A neighbour has told its address, which is entered where the table waits for it. False: it is no such message. */
  #learn(batch: Batch, i: number, ingress: number): boolean {
    const { columns, view } = batch;
    if (!readNeighbourAnswer(view, columns.offset[i], columns.length[i], this.#neighbour)) return false;
    const [a0, a1, a2, a3] = this.#neighbour.words;
    const hop = this.hops.find(ingress, a0, a1, a2, a3);
    if (hop >= 0 && this.hops.state(hop) !== NEXT_HOP_STATE.free)
      this.hops.setMac(hop, this.#neighbour.mac, this.#nowSeconds);
    return true;
  }

  #isIp(batch: Batch, i: number): boolean {
    const { columns, view } = batch;
    const type = columns.length[i] < 14 ? TYPE_ARP : view.getUint16(columns.offset[i] + 12);
    return type === 0x0800 || type === 0x86dd;
  }

  /** Of an IPv6 packet without extension headers, as Neighbour Discovery is (RFC 4861 §7.2 names none). */
  #isSolicitation(batch: Batch, i: number): boolean {
    const { columns, view } = batch;
    const l3 = columns.offset[i] + ETHERNET_LENGTH;
    if (columns.length[i] < ETHERNET_LENGTH + IPV6_HEADER_LENGTH + 1 || view.getUint8(l3) >> 4 !== 6) return false;
    return view.getUint8(l3 + 6) === NEXT_ICMPV6 && view.getUint8(l3 + IPV6_HEADER_LENGTH) === SOLICITATION;
  }

  /** A frame to be sent as it stands; dropped when too many wait. */
  queue(port: number, frame: Uint8Array): void {
    if (this.#queue.length < QUEUE_LIMIT && frame.length <= SCRATCH_SLOT_LENGTH) this.#queue.push({ port, frame });
    else this.statistics[DROP_SEND]++;
  }

  get queued(): boolean {
    return this.#queue.length > 0;
  }

  transmit(batch: Batch): void {
    while (this.#queue.length > 0) {
      const slot = batch.takeScratch();
      if (slot < 0) return;
      const { port, frame } = this.#queue.shift() as { port: number; frame: Uint8Array };
      batch.bytes.set(frame, batch.columns.offset[slot]);
      batch.columns.length[slot] = frame.length;
      batch.columns.ingress[slot] = port;
      batch.columns.egress[slot] = port;
      batch.columns.verdict[slot] = VERDICT_RAW;
    }
  }
}
