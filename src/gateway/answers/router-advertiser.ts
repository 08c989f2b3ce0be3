/**
 * Router Advertisements of the group, from its shared link-local address (RFC 4861 §6.2). All hosts have one router, the
 * group; which gateway that is for a host is told in the answer to its Neighbour Solicitation. So no advertisement has a
 * source link-layer option, which would move all hosts to one virtual MAC. Only the master advertises.
 */
import type { AddressWords } from '../../wire/address.js';
import type { Mac } from '../mac.js';
import type { RouterAdvertisementOptions } from '../types.js';

export interface RouterAdvertiserOptions {
  /** The shared link-local address; null: there is none, and nothing can be advertised. */
  readonly source: AddressWords | null;
  readonly advertise: RouterAdvertisementOptions | null;
  readonly random: (count: number) => Uint8Array;
}

export class RouterAdvertiser {
  constructor(_options: RouterAdvertiserOptions) {}

  /** When `tick` is due. */
  get nextTime(): number {
    return Number.POSITIVE_INFINITY;
  }

  /** We are master now: the first advertisements go out soon, since hosts may have lost their router. `source`: Ethernet source. */
  start(_source: Mac, _now: number): void {}

  /** We are master no more; another advertises. */
  stop(): void {}

  /** A host asks for one (RFC 4861 §6.2.6). */
  solicited(_host: Mac, _address: AddressWords | null, _now: number): void {}

  configure(_advertise: RouterAdvertisementOptions | null, _now: number): void {}

  /** Frames to send now. */
  tick(_now: number): Uint8Array[] {
    return [];
  }

  /** The last gateway of the group ends: an advertisement with lifetime 0 (RFC 4861 §6.2.5), or none. */
  farewell(): Uint8Array[] {
    return [];
  }
}
