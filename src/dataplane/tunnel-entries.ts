/**
 * The entries of a tunnel as the connection table has them: keys and orders out of a draft. Which tunnel has which entry
 * is the store's affair.
 */
import type { ConnectionTable } from '../flow/connection-table.js';
import {
  ADDRESS_WORDS,
  ENTRY,
  FLAG_DECREMENT_TTL,
  FLAG_DENIED,
  FLAG_REWRITE_BOTH,
  FLAG_REWRITE_CHANNEL,
  FLAG_REWRITE_PORTS,
  FLAG_REWRITE_SOURCE,
  TABLE_FORWARD,
  TABLE_LOCAL,
  TABLE_REVERSE,
} from '../flow/layout.js';
import type { TunnelDraft } from './tunnel-draft.js';

const NO_PORTS = 0;

export class TunnelEntries {
  readonly #key = new Int32Array(8);
  #nowSeconds = 0;
  #nowMs = 0;

  constructor(
    readonly table: ConnectionTable,
    /** The addresses segment. */
    readonly addresses: Int32Array,
    /** Takes an entry from the tunnel that has it. */
    readonly detach: (slot: number, nowMs: number) => void,
  ) {}

  setTime(nowSeconds: number, nowMs: number): void {
    this.#nowSeconds = nowSeconds;
    this.#nowMs = nowMs;
  }

  /** Lays out the key under which a client's packets with this channel for this place would be found. */
  forwardKey(key: Int32Array, draft: TunnelDraft, localAddress: number, localPort: number, channel: number): void {
    const ports = draft.hasPorts ? (draft.clientPort << 16) | localPort : NO_PORTS;
    layKey(key, draft, ports, channel, (localAddress << 16) | (draft.protocol << 8) | TABLE_FORWARD);
  }

  /** Lays out the key under which a server's packets with this channel for this port of the client's would be found. */
  reverseKey(key: Int32Array, draft: TunnelDraft, clientPort: number, channel: number): void {
    const ports = draft.hasPorts ? clientPort << 16 : NO_PORTS;
    layKey(key, draft, ports, channel, (draft.server.address << 16) | (draft.protocol << 8) | TABLE_REVERSE);
    this.#seeLocal(key, draft);
  }

  /** Lays out the key that keeps this port of the draft's `localAddress` towards its server. */
  localKey(key: Int32Array, draft: TunnelDraft, port: number): void {
    layKey(key, draft, port << 16, 0, (draft.server.address << 16) | (draft.protocol << 8) | TABLE_LOCAL);
    this.#seeLocal(key, draft);
  }

  /** With full NAT a server's packets are addressed to `localAddress`, not to the client. */
  #seeLocal(key: Int32Array, draft: TunnelDraft): void {
    if (draft.localAddress < 0) return;
    const at = draft.localAddress * ADDRESS_WORDS;
    for (let word = 0; word < 4; word++) key[word] = this.addresses[at + word];
  }

  /** Ports that a server → client entry writes: the one shown to the client, and the client's own where it was hidden. */
  portsOut(draft: TunnelDraft, shownPort: number): number {
    if (!draft.hasPorts) return NO_PORTS;
    return (shownPort << 16) | (draft.virtualPort === 0 ? 0 : draft.clientPort);
  }

  /** Client → server entry for what comes to this address and port: destination becomes the server. The slot, or a negative number: the table is full. */
  insertIn(
    record: number,
    draft: TunnelDraft,
    tableKind: number,
    localAddress: number,
    localPort: number,
    channel: number,
    serverPort: number,
  ): number {
    let flags = FLAG_DECREMENT_TTL;
    if (draft.hasPorts) flags |= FLAG_REWRITE_PORTS;
    if (draft.denied) flags |= FLAG_DENIED;
    if (draft.localAddress >= 0) flags |= FLAG_REWRITE_BOTH;
    if (tableKind === TABLE_FORWARD && draft.virtualChannel !== 0) flags |= FLAG_REWRITE_CHANNEL;
    layKey(
      this.#key,
      draft,
      draft.hasPorts ? (draft.clientPort << 16) | localPort : NO_PORTS,
      channel,
      (localAddress << 16) | (draft.protocol << 8) | tableKind,
    );
    return this.#insert(
      record,
      (draft.server.address << 16) | draft.serverNextHop,
      draft.hasPorts ? (draft.virtualPort << 16) | serverPort : NO_PORTS,
      flags,
    );
  }

  /** Server → client entry: source becomes the address that the client is shown. */
  insertOut(record: number, draft: TunnelDraft, tableKind: number, channel: number, shownPort: number): number {
    let flags = FLAG_DECREMENT_TTL | FLAG_REWRITE_SOURCE;
    if (draft.hasPorts) flags |= FLAG_REWRITE_PORTS;
    if (draft.localAddress >= 0) flags |= FLAG_REWRITE_BOTH;
    layKey(
      this.#key,
      draft,
      draft.hasPorts ? (draft.virtualPort || draft.clientPort) << 16 : NO_PORTS,
      channel,
      (draft.server.address << 16) | (draft.protocol << 8) | tableKind,
    );
    this.#seeLocal(this.#key, draft);
    return this.#insert(
      record,
      (draft.shownAddress << 16) | draft.clientNextHop,
      this.portsOut(draft, shownPort),
      flags,
    );
  }

  /** Keeps the draft's port of its `localAddress` for the tunnel. Looks like a server → client entry to those who count. */
  insertLocal(record: number, draft: TunnelDraft, shownPort: number): number {
    this.localKey(this.#key, draft, draft.virtualPort);
    return this.#insert(
      record,
      (draft.shownAddress << 16) | draft.clientNextHop,
      this.portsOut(draft, shownPort),
      FLAG_REWRITE_SOURCE | FLAG_REWRITE_PORTS | FLAG_REWRITE_BOTH,
    );
  }

  #insert(record: number, target: number, ports: number, flags: number): number {
    const occupant = this.table.find(this.#key, 0);
    if (occupant >= 0) this.detach(occupant, this.#nowMs); // the caller made sure that it is a closing tunnel's
    const slot = this.table.insert(this.#key, 0, target, ports, record, flags, this.#nowMs);
    if (slot >= 0) this.table.touch(slot, this.#nowSeconds);
    return slot;
  }
}

function layKey(key: Int32Array, draft: TunnelDraft, ports: number, channel: number, tag: number): void {
  key[ENTRY.client - 1] = draft.a0;
  key[ENTRY.client] = draft.a1;
  key[ENTRY.client + 1] = draft.a2;
  key[ENTRY.client + 2] = draft.a3;
  key[ENTRY.keyA - 1] = ports;
  key[ENTRY.keyB - 1] = channel;
  key[ENTRY.tag - 1] = tag;
}
