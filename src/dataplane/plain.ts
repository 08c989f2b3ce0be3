/**
 * The short way through blocks 308 to 312 for what nearly every packet is: data of a known tunnel protocol over UDP and
 * IPv4, without options and fragments, from a client to a VIP's own port or from a server's own port. It answers as
 * `classify` would, or leaves the packet to it; `classify` alone knows what everything else means.
 */
import { TABLE_FORWARD, TABLE_REVERSE } from '../flow/layout.js';
import { PORT_NONE } from '../io/port.js';
import { CLASS_DATA, type TunnelDescriptor } from '../tunnels/descriptor.js';
import { type Batch, KEY_STRIDE, KIND_DATA_IN, KIND_DATA_OUT } from './batch.js';

// V8 reads an imported (and an exported) binding from a cell at every use; a constant of the module it compiles in.
const OPEN = 255;
const FORWARD = TABLE_FORWARD;
const REVERSE = TABLE_REVERSE;
const NO_PORT = PORT_NONE;
const DATA = CLASS_DATA;
const STRIDE = KEY_STRIDE;
const DATA_IN = KIND_DATA_IN;
const DATA_OUT = KIND_DATA_OUT;

/** In the kind column between the short way and the long one: nobody has said yet what this is. */
export const KIND_OPEN = OPEN;

const IPPROTO_UDP = 17;
/** EtherType 0x0800, version 4, header of 5 words: the first 3 bytes of the word at offset 12. */
const PLAIN_IPV4 = 0x080045;
/** Fragment offset, "more fragments", TTL and protocol in the word at offset 20. */
const FRAGMENT_TTL_PROTOCOL = 0x3fffffff;
/** That word of a whole UDP packet with a TTL of 2. With a larger one the difference has bits of the TTL alone. */
const LEAST = 0x0211;
const NOT_TTL = ~0xff00;
const L3 = 14;
const L4 = 34;
const UDP_HEADER_LENGTH = 8;
const MAPPED = 0xffff; // third word of an IPv4-mapped address

/** Words of a slot: address, port, address index + 1 (0 = free), what goes into the `local` column. */
const SLOT_WORDS = 4;
const FILTER_LENGTH = 4096;

/** An IPv4 address and port that a VIP listens on or a server answers from. */
export interface PlainPlace {
  readonly word: number;
  readonly port: number;
  readonly address: number;
  readonly local: number;
}

/** Places of one kind by address word and port: a few, found with one comparison as a rule. */
export class PlainPlaces {
  readonly slots: Int32Array;
  readonly mask: number;

  constructor(places: readonly PlainPlace[]) {
    let size = 4;
    while (size < places.length * 4) size *= 2;
    this.mask = size - 1;
    this.slots = new Int32Array(size * SLOT_WORDS);
    for (const { word, port, address, local } of places) {
      let slot = spread(word, port) & this.mask;
      while (this.slots[slot * SLOT_WORDS + 2] !== 0) slot = (slot + 1) & this.mask;
      this.slots.set([word, port, address + 1, local], slot * SLOT_WORDS);
    }
  }
}

/** What the short way needs of a plan. */
export class PlainDirectory {
  readonly vips: PlainPlaces;
  readonly servers: PlainPlaces;
  /** By `filterIndex` of an address: 0 = it is no VIP's. */
  readonly vipFilter = new Uint8Array(FILTER_LENGTH);

  /** `vipWords`: addresses of all VIPs, whatever their protocols. */
  constructor(
    readonly descriptor: TunnelDescriptor,
    vipWords: readonly number[],
    vips: readonly PlainPlace[],
    servers: readonly PlainPlace[],
  ) {
    this.vips = new PlainPlaces(vips);
    this.servers = new PlainPlaces(servers);
    for (const word of vipWords) this.vipFilter[filterIndex(word)] = 1;
  }
}

function spread(word: number, port: number): number {
  const h = Math.imul(word ^ port, 0x9e3779b1);
  return h ^ (h >>> 15);
}

function filterIndex(word: number): number {
  return Math.imul(word, 0x85ebca6b) >>> 20;
}

/** Byte offset (in words) of the place's slot, or −1. */
function find(slots: Int32Array, mask: number, word: number, port: number): number {
  for (let slot = spread(word, port) & mask; ; slot = (slot + 1) & mask) {
    const at = slot << 2;
    if (slots[at | 2] === 0) return -1;
    if (slots[at] === word && slots[at | 1] === port) return at;
  }
}

const channel = new Int32Array(2);

/** Goes over columns [from, to): plain data packets get their kind and key, all others KIND_OPEN. */
export function classifyPlain(batch: Batch, from: number, to: number, directory: PlainDirectory): void {
  const { view, kind, keys, l3, l4, end: ends, ipProtocol, protocol, local } = batch;
  const { offset, length, ingress } = batch.columns;
  const { descriptor, vipFilter } = directory;
  const vipSlots = directory.vips.slots;
  const vipMask = directory.vips.mask;
  const serverSlots = directory.servers.slots;
  const serverMask = directory.servers.mask;
  const id = descriptor.id;
  for (let i = from; i < to; i = (i + 1) | 0) {
    kind[i] = OPEN;
    const frame = offset[i];
    const frameLength = length[i];
    if (frameLength < L4 + UDP_HEADER_LENGTH || ingress[i] === NO_PORT) continue;
    if (view.getInt32(frame + 12) >>> 8 !== PLAIN_IPV4) continue;
    // On its last hop it is the long way's: its sender is told.
    if ((((view.getInt32(frame + 20) & FRAGMENT_TTL_PROTOCOL) - LEAST) & NOT_TTL) !== 0) continue;
    const totalLength = view.getUint16(frame + 16);
    const udpLength = view.getUint16(frame + 38);
    if (totalLength + L3 > frameLength || udpLength < UDP_HEADER_LENGTH || udpLength + 20 > totalLength) continue;
    const source = view.getInt32(frame + 26);
    const destination = view.getInt32(frame + 30);
    const ports = view.getInt32(frame + 34);
    const fromClient = vipFilter[filterIndex(destination)] !== 0;
    const slots = fromClient ? vipSlots : serverSlots;
    const at = fromClient
      ? find(vipSlots, vipMask, destination, ports & 0xffff)
      : find(serverSlots, serverMask, source, ports >>> 16);
    if (at < 0) continue;
    const udp = (frame + L4) | 0;
    const end = (udp + udpLength) | 0;
    if (descriptor.classify(view, udp, end, channel) !== DATA) continue;
    const row = Math.imul(i, STRIDE);
    const tag = ((slots[at | 2] - 1) << 16) | (id << 8);
    keys[row] = 0;
    keys[row + 1] = 0;
    keys[row + 2] = MAPPED;
    keys[row + 3] = fromClient ? source : destination;
    keys[row + 4] = fromClient ? ports : ports << 16;
    keys[row + 5] = channel[0];
    keys[row + 6] = tag | (fromClient ? FORWARD : REVERSE);
    l3[i] = frame + L3;
    l4[i] = udp;
    ends[i] = end;
    ipProtocol[i] = IPPROTO_UDP;
    protocol[i] = id;
    local[i] = slots[at | 3];
    kind[i] = fromClient ? DATA_IN : DATA_OUT;
  }
}
