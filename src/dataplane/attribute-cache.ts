/**
 * What standing tunnels said of themselves when they asked, so that new rules reach them too. Bounded and of this process
 * alone: after a restart, with names that are too long, or when two tunnels fall on one place, there is nothing here, and
 * then a tunnel keeps the verdict that it has as far as rules with attributes would decide.
 */
import { newTunnelAttributes, type TunnelAttributes } from '../tunnels/descriptor.js';

/** Tunnels at a time; a place has room for both names together. */
const PLACES_MAX = 65_536;
const PLACE_LENGTH = 256;
const HEAD_LENGTH = 32;
/** Bytes that the names of a tunnel may have together. */
export const KEPT_NAMES_LENGTH = PLACE_LENGTH - HEAD_LENGTH;
const HEAD_WORDS = HEAD_LENGTH / 4;
const PLACE_WORDS = PLACE_LENGTH / 4;

export class AttributeCache {
  readonly #bytes: Uint8Array;
  readonly #words: Int32Array;
  readonly #mask: number;
  readonly #found: TunnelAttributes = newTunnelAttributes();

  constructor(records: number) {
    let places = 1;
    while (places < Math.min(records, PLACES_MAX)) places *= 2;
    this.#mask = places - 1;
    const buffer = new ArrayBuffer(places * PLACE_LENGTH);
    this.#bytes = new Uint8Array(buffer);
    this.#words = new Int32Array(buffer);
    this.#found.view = new DataView(buffer);
  }

  /** `created`, in seconds, tells this tunnel from the record's next one. */
  keep(record: number, created: number, a: TunnelAttributes): void {
    const place = record & this.#mask;
    const at = place * PLACE_WORDS;
    const words = this.#words;
    words[at] = 0;
    const names = Math.max(0, a.hostLength) + Math.max(0, a.vendorLength);
    if (names > KEPT_NAMES_LENGTH) return;
    let to = place * PLACE_LENGTH + HEAD_LENGTH;
    for (let i = 0; i < a.hostLength; i++) this.#bytes[to++] = a.view.getUint8(a.hostAt + i);
    for (let i = 0; i < a.vendorLength; i++) this.#bytes[to++] = a.view.getUint8(a.vendorAt + i);
    words[at + 1] = created;
    words[at + 2] = a.hostLength;
    words[at + 3] = a.vendorLength;
    words[at + 4] = a.protocolVersion;
    words[at + 5] = a.framing;
    words[at + 6] = a.bearer;
    words[at + HEAD_WORDS - 1] = a.channel;
    words[at] = record + 1;
  }

  /** What was kept of this tunnel, or null. Valid until the next call. */
  find(record: number, created: number): TunnelAttributes | null {
    const place = record & this.#mask;
    const at = place * PLACE_WORDS;
    const words = this.#words;
    if (words[at] !== record + 1 || words[at + 1] !== created) return null;
    const found = this.#found;
    found.hostAt = place * PLACE_LENGTH + HEAD_LENGTH;
    found.hostLength = words[at + 2];
    found.vendorAt = found.hostAt + Math.max(0, found.hostLength);
    found.vendorLength = words[at + 3];
    found.protocolVersion = words[at + 4];
    found.framing = words[at + 5];
    found.bearer = words[at + 6];
    found.channel = words[at + HEAD_WORDS - 1];
    return found;
  }
}
