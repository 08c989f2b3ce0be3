/** Collects what the main thread sends and hands it to the addon in one call. */
import { parseAddress } from '../wire/address.js';
import { SEND_KIND, SEND_ROW, SEND_ROW_WORDS, type TunnelSender } from '../io/tunnel-native.js';

const ROWS = 256;
const BYTES = 256 * 1024;
const LONGEST = 65535;
const PEERS_KEPT = 65536;

export interface BatchPeer {
  readonly address: string;
  readonly port: number;
  readonly socket: number;
}

export class SendBatch {
  readonly #rows = new Int32Array(ROWS * SEND_ROW_WORDS);
  readonly #bytes = new Uint8Array(BYTES);
  readonly #addresses = new Map<string, readonly number[]>();
  #count = 0;
  #length = 0;
  #unknown = 0;

  constructor(readonly sender: TunnelSender) {}

  /** What was not sent: refused by the kernel, without a session or to an address that is none. */
  get failed(): number {
    return this.sender.failed + this.#unknown;
  }

  datagram(to: BatchPeer, bytes: Uint8Array): void {
    const words = this.#addressOf(to.address);
    if (words === null) {
      this.#unknown++;
      return;
    }
    const at = this.#row(SEND_KIND.datagram, (to.socket << 16) | to.port, bytes);
    if (at < 0) return;
    for (let i = 0; i < 4; i++) this.#rows[at + SEND_ROW.address + i] = words[i];
  }

  /** Into the session's tunnel. */
  ppp(slot: number, frame: Uint8Array): void {
    this.#row(SEND_KIND.ppp, slot, frame);
  }

  /** To the session's customer. */
  accessPpp(slot: number, frame: Uint8Array): void {
    this.#row(SEND_KIND.accessPpp, slot, frame);
  }

  /** As it is, on an access interface. */
  frame(access: number, frame: Uint8Array): void {
    this.#row(SEND_KIND.frame, access, frame);
  }

  flush(): void {
    if (this.#count === 0) return;
    this.sender.send(this.#rows, this.#count, this.#bytes);
    this.#count = 0;
    this.#length = 0;
  }

  close(): void {
    this.flush();
    this.sender.close();
  }

  #row(kind: number, target: number, bytes: Uint8Array): number {
    if (bytes.length > LONGEST) {
      this.#unknown++;
      return -1;
    }
    if (this.#count === ROWS || this.#length + bytes.length > BYTES) this.flush();
    const at = this.#count * SEND_ROW_WORDS;
    this.#rows[at + SEND_ROW.kind] = kind;
    this.#rows[at + SEND_ROW.offset] = this.#length;
    this.#rows[at + SEND_ROW.length] = bytes.length;
    this.#rows[at + SEND_ROW.target] = target;
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    this.#count++;
    return at;
  }

  #addressOf(address: string): readonly number[] | null {
    const known = this.#addresses.get(address);
    if (known !== undefined) return known;
    const words = parseAddress(address);
    if (words === null) return null;
    if (this.#addresses.size >= PEERS_KEPT) this.#addresses.clear();
    this.#addresses.set(address, words);
    return words;
  }
}
