/**
 * A tunnel between table memory and its record on the wire: `encodeTunnel` reads a record and its entries,
 * `layEntry` makes from the words what an entry of the same tunnel is in another table.
 */
import { clientEntryOf, clientPortOf, virtualPortOf } from '../flow/client-port.js';
import type { ConnectionTable } from '../flow/connection-table.js';
import {
  ADDRESS_WORDS,
  CELL_WORDS,
  FLAG_DECREMENT_TTL,
  FLAG_REWRITE_BOTH,
  FLAG_REWRITE_CHANNEL,
  FLAG_REWRITE_PORTS,
  FLAG_REWRITE_SOURCE,
  RECORD,
  RECORD_STATE,
  RECORD_WORDS,
  SERVER_CELL,
  TABLE_FORWARD,
  TABLE_HALF_OPEN,
  TABLE_LOCAL,
  TABLE_REVERSE,
  TABLE_REVERSE_HALF_OPEN,
  type TableMemory,
  VIP_CELL,
} from '../flow/layout.js';
import { TUNNEL_RECORD as T, TUNNEL_RECORD_FLAG as F } from '../wire/cluster-record.js';

const KEY_A = 4;
const KEY_B = 5;
const TAG = 6;

/** Fields of a RECORD that name its entries, with the flag that says that it has one. */
export const ENTRY_FIELDS = [
  [RECORD.entryHalfOpen, F.halfOpen],
  [RECORD.entryReverse, F.reverse],
  [RECORD.entryForward, F.forward],
  [RECORD.entryAlias, F.alias],
] as const;

export const CHANGING = -1;
export const ABSENT = 0;
export const PRESENT = 1;

/**
 * Writes the words of a tunnel record to `out[0 …]`. `clock`: the stream's clock is ours plus this. ABSENT: there is no
 * tunnel, or one that is just being made; CHANGING: its owner is at it, ask again. Allocates nothing.
 */
export function encodeTunnel(
  memory: TableMemory,
  table: ConnectionTable,
  record: number,
  clock: number,
  out: Int32Array,
): number {
  const { records } = memory;
  const at = record * RECORD_WORDS;
  const before = Atomics.load(records, at + RECORD.state);
  if ((before & 0xff) === RECORD_STATE.free) return ABSENT;
  const halfOpen = records[at + RECORD.entryHalfOpen] - 1;
  const reverse = records[at + RECORD.entryReverse] - 1;
  const forward = records[at + RECORD.entryForward] - 1;
  const alias = records[at + RECORD.entryAlias] - 1;
  const any = clientEntryOf(records, table, record);
  if (any < 0) return ABSENT;
  let flags = (table.flagsOf(any) & FLAG_REWRITE_PORTS) !== 0 ? F.hasPorts : 0;
  if (reverse >= 0) flags |= F.reverse;
  if (forward >= 0) flags |= F.forward;
  if (alias >= 0) flags |= F.alias;
  if ((table.flagsOf(any) & FLAG_REWRITE_BOTH) !== 0) flags |= F.fullNat;
  let local = alias >= 0 ? table.keyWord(alias, KEY_A) & 0xffff : 0;
  if (local === 0 && forward >= 0) local = table.keyWord(forward, KEY_A) & 0xffff;
  let requestPort = 0;
  out[T.requestKey] = 0;
  if (halfOpen >= 0) {
    flags |= F.halfOpen;
    out[T.requestKey] = table.keyWord(halfOpen, KEY_B);
    requestPort = table.keyWord(halfOpen, KEY_A) >>> 16;
    if ((table.keyWord(halfOpen, TAG) & 0xff) === TABLE_REVERSE_HALF_OPEN) flags |= F.fromServer;
    else local = table.keyWord(halfOpen, KEY_A) & 0xffff;
    if (local === 0) local = table.portsOf(halfOpen) >>> 16;
  }
  const place = records[at + RECORD.place];
  const vipAddress = memory.vips[(place >>> 16) * CELL_WORDS + VIP_CELL.address];
  const shown = reverse >= 0 ? table.targetOf(reverse) >>> 16 : forward >= 0 ? table.keyWord(forward, TAG) >>> 16 : -1;
  if (shown === vipAddress) flags |= F.shownAtVip;
  out[T.state] = (flags << 16) | (before & 0xffff);
  for (let i = 0; i < 4; i++) out[T.client + i] = table.keyWord(any, i);
  const virtualPort = virtualPortOf(table, any);
  out[T.clientPorts] = (clientPortOf(table, any) << 16) | virtualPort;
  out[T.vip] = memory.vips[(place >>> 16) * CELL_WORDS + VIP_CELL.identity];
  out[T.server] = memory.servers[(place & 0xffff) * CELL_WORDS + SERVER_CELL.identity];
  out[T.clientChannel] = records[at + RECORD.clientChannel];
  out[T.serverChannel] = records[at + RECORD.serverChannel];
  out[T.virtualChannel] = records[at + RECORD.virtualChannel];
  out[T.ports] = records[at + RECORD.ports];
  out[T.clientSequence] = records[at + RECORD.clientSequence];
  out[T.serverSequence] = records[at + RECORD.serverSequence];
  out[T.created] = Math.round(records[at + RECORD.created] + clock);
  out[T.requestPorts] = (requestPort << 16) | local;
  out[T.group] = memory.groupMembers[record];
  // What was read belongs together if nobody changed the record's state, and its entries are still its own.
  if (Atomics.load(records, at + RECORD.state) !== before || table.recordOf(any) !== record || !table.isLive(any))
    return CHANGING;
  return PRESENT;
}

/** Where a tunnel's addresses and next hops are in the table that it is put into. */
export interface Laid {
  vipAddress: number;
  /** The VIP's `natAddress` where answers pass here and come from it, else the VIP's own. */
  natAddress: number;
  /** Words of the VIP's `localAddress`, from `local[0]` on. */
  readonly local: Int32Array;
  serverAddress: number;
  serverPort: number;
  clientNextHop: number;
  serverNextHop: number;
}

/** Addresses of a VIP, by its cell. */
export function layVip({ vips, addresses }: TableMemory, vip: number, laid: Laid): void {
  const at = vip * CELL_WORDS;
  laid.vipAddress = vips[at + VIP_CELL.address];
  const nat = vips[at + VIP_CELL.oneWay] === 0 ? vips[at + VIP_CELL.nat] - 1 : -1;
  laid.natAddress = nat < 0 ? laid.vipAddress : nat;
  const local = vips[at + VIP_CELL.local] - 1;
  for (let i = 0; i < 4; i++) laid.local[i] = local < 0 ? 0 : addresses[local * ADDRESS_WORDS + i];
}

/** An entry that is to be: its key in `key`, and what it orders. One instance is filled again and again. */
export class EntryPlan {
  readonly key = new Int32Array(8);
  target = 0;
  ports = 0;
  flags = 0;

  /** `field`: which of the tunnel's entries (RECORD.entry…); `w[from …]`: the tunnel's words. */
  lay(field: number, w: Int32Array, from: number, laid: Laid): void {
    const hasPorts = ((w[from + T.state] >>> 16) & F.hasPorts) !== 0;
    const clientPort = w[from + T.clientPorts] >>> 16;
    const virtualPort = w[from + T.clientPorts] & 0xffff;
    const virtual = w[from + T.virtualChannel];
    const local = w[from + T.requestPorts] & 0xffff;
    const shown = w[from + T.ports] & 0xffff || local;
    const serverPort = w[from + T.ports] >>> 16 || laid.serverPort;
    const requestPort = w[from + T.requestPorts] >>> 16;
    const bits = w[from + T.state] >>> 16;
    const fromServer = (bits & F.fromServer) !== 0;
    const fullNat = (bits & F.fullNat) !== 0;
    const shownAddress = (bits & F.shownAtVip) !== 0 ? laid.vipAddress : laid.natAddress;
    let address = laid.vipAddress;
    const protocol = (w[from + T.state] >>> 8) & 0xff;
    const towardsServerPort = virtualPort || clientPort;
    for (let i = 0; i < 4; i++) this.key[i] = w[from + T.client + i];
    let kind: number;
    let channel: number;
    let ports: number;
    switch (field) {
      case RECORD.entryHalfOpen:
        kind = fromServer ? TABLE_REVERSE_HALF_OPEN : TABLE_HALF_OPEN;
        channel = w[from + T.requestKey];
        ports = fromServer ? requestPort << 16 : (requestPort << 16) | local;
        break;
      case RECORD.entryReverse:
        kind = TABLE_REVERSE;
        channel = w[from + T.clientChannel];
        ports = towardsServerPort << 16;
        break;
      case RECORD.entryAlias:
        if (fullNat) {
          kind = TABLE_LOCAL;
          channel = 0;
          ports = virtualPort << 16;
          break;
        }
        kind = TABLE_FORWARD;
        channel = virtual || w[from + T.serverChannel];
        ports = (clientPort << 16) | local;
        break;
      default:
        kind = TABLE_FORWARD;
        address = shownAddress;
        channel = virtual || w[from + T.serverChannel];
        ports = (clientPort << 16) | shown;
    }
    const out = kind === TABLE_REVERSE || kind === TABLE_REVERSE_HALF_OPEN || kind === TABLE_LOCAL;
    if (out && fullNat) for (let i = 0; i < 4; i++) this.key[i] = laid.local[i];
    this.key[KEY_A] = hasPorts ? ports : 0;
    this.key[KEY_B] = channel;
    this.key[TAG] = ((out ? laid.serverAddress : address) << 16) | (protocol << 8) | kind;
    this.target = out ? (shownAddress << 16) | laid.clientNextHop : (laid.serverAddress << 16) | laid.serverNextHop;
    this.flags = (kind === TABLE_LOCAL ? 0 : FLAG_DECREMENT_TTL) | (hasPorts ? FLAG_REWRITE_PORTS : 0);
    if (fullNat) this.flags |= FLAG_REWRITE_BOTH;
    if (out) {
      this.flags |= FLAG_REWRITE_SOURCE;
      const port = kind === TABLE_REVERSE_HALF_OPEN ? local : shown;
      this.ports = hasPorts ? (port << 16) | (virtualPort === 0 ? 0 : clientPort) : 0;
    } else {
      if (kind === TABLE_FORWARD && virtual !== 0) this.flags |= FLAG_REWRITE_CHANNEL;
      // A request goes to where it was designated; what follows, to where the server answers from.
      this.ports = hasPorts ? (virtualPort << 16) | (kind === TABLE_HALF_OPEN ? laid.serverPort : serverPort) : 0;
    }
  }
}
