/**
 * The virtual MACs that a gateway of a group holds, one macvlan device each: while it is up, the host takes the frames that
 * are sent to its MAC, and the kernel forwards them like any other. The devices stand in private mode, speak to nobody and
 * have no addresses; one more, the anchor (number 0), has the shared addresses where the host is to answer for them.
 *
 * What a killed process left behind is known by its alias and removed at the start: nobody else keeps the lock then.
 */
import { writeFileSync } from 'node:fs';
import type { AddressWords } from '../wire/address.js';
import { IPV4_MAPPED, isIpv4 } from '../wire/address.js';
import { deviceCounts } from './device-counts.js';
import type { VirtualMacAction, VirtualMacTraffic } from './gateway-types.js';
import type { NativeAddon } from './native.js';
import { NetlinkRefusal } from './netlink-request.js';
import { type LinkFact, VirtualLinks } from './virtual-links.js';

const ANCHOR = 0;
const ALIAS = 'designator gateway ';
/** Names that are tried when another program, or a group on another interface, has one already. */
const NAMES = 10;
/**
 * 127.84.68.n: the loose check of the source (rp_filter 2) drops everything that comes in by a device without any IPv4
 * address. This one the host has anyway, as all of 127.0.0.0/8, and nobody outside can see it.
 */
const CHECKED_SOURCE = 0x7f544400;

export interface VirtualMacsOptions {
  readonly device: string;
  readonly group: number;
  /** MAC of forwarder 0, which the anchor has. */
  readonly virtualMac: Uint8Array;
  /** IPv6 is forwarded as well. */
  readonly ipv6: boolean;
  readonly onTrouble: (text: string) => void;
  /** Writes a file below /proc/sys; default: does. */
  readonly writeSetting?: (path: string, value: string) => void;
}

interface Device {
  readonly index: number;
  readonly name: string;
  up: boolean;
  /** Traffic of devices that went away with the interface below, and what was last seen of this one. */
  before: VirtualMacTraffic;
  last: VirtualMacTraffic;
}

const NOTHING: VirtualMacTraffic = { bytes: 0, packets: 0 };

export class VirtualMacs {
  readonly #links: VirtualLinks;
  readonly #options: VirtualMacsOptions;
  readonly #devices = new Map<number, Device>();
  /** What is wanted, by number: also while there is no interface to have it on. */
  readonly #wanted = new Map<number, { readonly mac: Uint8Array; readonly up: boolean }>();
  /** Traffic of devices that are no more. */
  readonly #past = new Map<number, VirtualMacTraffic>();
  #addresses: readonly AddressWords[] = [];
  #below = 0;

  constructor(addon: Pick<NativeAddon, 'NetlinkSocket'>, options: VirtualMacsOptions) {
    this.#links = new VirtualLinks(addon);
    this.#options = options;
  }

  /** Names of the devices, for people and for tests. */
  get devices(): string[] {
    return [...this.#devices.values()].map(({ name }) => name);
  }

  /** The interface is there, or there again: 0 it has gone, and the devices with it. Errors: none, they are troubles. */
  setBelow(index: number): void {
    if (index === this.#below) return;
    for (const [number, device] of this.#devices) this.#past.set(number, sum(device.before, device.last));
    this.#devices.clear();
    this.#below = index;
    if (index === 0) return;
    this.#guarded('left-over virtual MACs', () => this.#removeLeftOvers());
    this.#setAnchor([]);
    for (const [number, { mac, up }] of this.#wanted) this.#set(number, mac, up);
  }

  /** Shared addresses that the host has itself; none: it has none of them. */
  setAddresses(addresses: readonly AddressWords[]): void {
    const before = this.#addresses;
    this.#addresses = addresses;
    if (this.#below === 0) return;
    this.#setAnchor(before);
    const silent = this.#silent;
    for (const [number, device] of this.#devices) {
      if (number === ANCHOR) continue;
      this.#guarded(device.name, () => {
        this.#links.setUp(device.index, device.up, silent);
        this.#giveLinkLocal(device.index, before);
      });
    }
  }

  /** A `let-go` of a MAC that was never held makes its device, down: it is there when it is needed. */
  apply(actions: readonly VirtualMacAction[]): void {
    for (const { kind, number, mac } of actions) {
      const up = kind === 'hold';
      this.#wanted.set(number, { mac: mac.slice(), up });
      if (this.#below !== 0) this.#set(number, mac, up);
    }
  }

  traffic(): Map<number, VirtualMacTraffic> {
    const found = new Map<number, VirtualMacTraffic>();
    const counts = deviceCounts();
    for (const number of this.#wanted.keys()) {
      const device = this.#devices.get(number);
      const past = this.#past.get(number) ?? NOTHING;
      if (device === undefined) {
        found.set(number, past);
        continue;
      }
      device.last = counts.get(device.name) ?? device.last;
      found.set(number, sum(device.before, device.last));
    }
    return found;
  }

  /** Removes all devices. */
  close(): void {
    for (const device of this.#devices.values()) this.#guarded(device.name, () => this.#links.remove(device.index));
    this.#devices.clear();
    this.#wanted.clear();
    this.#links.close();
  }

  #set(number: number, mac: Uint8Array, up: boolean): void {
    this.#guarded(`virtual MAC ${number}`, () => {
      const device = this.#devices.get(number) ?? this.#make(number, mac);
      if (device.up === up) return;
      this.#links.setUp(device.index, up, this.#silent);
      device.up = up;
      if (up) this.#giveLinkLocal(device.index, []);
    });
  }

  #make(number: number, mac: Uint8Array): Device {
    const { device, group } = this.#options;
    const base = `td${group}-${number}`;
    for (let attempt = 0; attempt < NAMES; attempt++) {
      const name = attempt === 0 ? base : `${base}-${attempt}`;
      const index = this.#links.create(name, this.#below, mac, `${aliasOf(device, group)}${number}`);
      if (index === null) continue;
      this.#settle(name);
      this.#links.addAddress(index, [0, 0, IPV4_MAPPED, CHECKED_SOURCE + number]);
      const made = { index, name, up: false, before: this.#past.get(number) ?? NOTHING, last: NOTHING };
      this.#devices.set(number, made);
      return made;
    }
    throw new Error(`the name ${base} and those after it are taken by other devices`);
  }

  /** While it is down: nothing has happened on it yet. */
  #settle(name: string): void {
    const v4 = `/proc/sys/net/ipv4/conf/${name}`;
    // The host has no route of its own through the device, so a strict check of the source would refuse every packet; 2 is
    // also stronger than a strict `all`. Answers to ARP and redirects come from the interface below, if at all.
    const settings: [string, string][] = [
      [`${v4}/rp_filter`, '2'],
      [`${v4}/arp_ignore`, '8'],
      [`${v4}/send_redirects`, '0'],
      [`${v4}/accept_redirects`, '0'],
      [`${v4}/forwarding`, '1'],
    ];
    const v6 = `/proc/sys/net/ipv6/conf/${name}`;
    if (!this.#options.ipv6) settings.push([`${v6}/disable_ipv6`, '1']);
    else {
      settings.push([`${v6}/disable_ipv6`, '0'], [`${v6}/accept_ra`, '0'], [`${v6}/autoconf`, '0']);
      settings.push([`${v6}/accept_redirects`, '0'], [`${v6}/router_solicitations`, '0']);
    }
    for (const [path, value] of settings) {
      try {
        (this.#options.writeSetting ?? writeFileSync)(path, value);
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException;
        // A kernel without IPv6 has none of its files.
        if (code === 'ENOENT' && path.startsWith(v6)) continue;
        this.#options.onTrouble(`${path} cannot be set to ${value}: ${message}`);
      }
    }
  }

  #setAnchor(before: readonly AddressWords[]): void {
    this.#guarded('shared addresses', () => {
      const wanted = this.#addresses.filter((words) => !isLinkLocal(words));
      let anchor = this.#devices.get(ANCHOR);
      if (anchor === undefined) {
        if (wanted.length === 0) return;
        anchor = this.#make(ANCHOR, this.#options.virtualMac);
        this.#links.setUp(anchor.index, true, true);
        anchor.up = true;
      }
      for (const words of before) {
        if (!isLinkLocal(words) && !has(wanted, words)) this.#links.removeAddress(anchor.index, words);
      }
      for (const words of wanted) this.#links.addAddress(anchor.index, words);
    });
  }

  /** A link-local address belongs to the device that its packets come in by (RFC 4007 §5), that is to each of them. */
  #giveLinkLocal(index: number, before: readonly AddressWords[]): void {
    for (const words of before) {
      if (isLinkLocal(words) && !has(this.#addresses, words)) this.#links.removeAddress(index, words);
    }
    for (const words of this.#addresses) if (isLinkLocal(words)) this.#links.addAddress(index, words);
  }

  /** With a link-local address the kernel has to find its neighbours on the device. */
  get #silent(): boolean {
    return !this.#addresses.some(isLinkLocal);
  }

  #removeLeftOvers(): void {
    const { device, group } = this.#options;
    for (const link of this.#links.all()) {
      if (link.kind !== 'macvlan' || !link.alias.startsWith(aliasOf(device, group))) continue;
      this.#links.remove(link.index);
    }
  }

  #guarded(what: string, action: () => void): void {
    try {
      action();
    } catch (error) {
      if (error instanceof NetlinkRefusal || error instanceof Error) {
        this.#options.onTrouble(`${what} on ${this.#options.device}: ${error.message}`);
      } else throw error;
    }
  }
}

/** Followed by the number. */
function aliasOf(device: string, group: number): string {
  return `${ALIAS}${device} group ${group} forwarder `;
}

/** Has a gateway group, of whatever process, made this device? */
export function isOwnDevice({ kind, alias }: Pick<LinkFact, 'kind' | 'alias'>): boolean {
  return kind === 'macvlan' && alias.startsWith(ALIAS);
}

function isLinkLocal(words: AddressWords): boolean {
  return !isIpv4(words[0], words[1], words[2]) && words[0] >>> 22 === 0x3fa;
}

function has(list: readonly AddressWords[], words: AddressWords): boolean {
  return list.some((other) => other.every((word, i) => word === words[i]));
}

function sum(a: VirtualMacTraffic, b: VirtualMacTraffic): VirtualMacTraffic {
  return { bytes: a.bytes + b.bytes, packets: a.packets + b.packets };
}
