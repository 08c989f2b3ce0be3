/**
 * Keeps the kernel out of what a gateway group answers: one nftables table of family netdev on the interface. At the way
 * in it takes ARP and neighbour discovery about the shared addresses away, behind the tap that the group listens at. At the
 * way out it stops whatever the kernel would say with a shared address or from a virtual MAC of its own accord: a switch
 * would believe it and bring the hosts' frames to the wrong gateway. Our own frames carry a mark.
 */
import { type AddressWords, formatIpv4, formatIpv6, isIpv4 } from '../wire/address.js';
import type { FilterGuard } from './host-filter-guard.js';
import { guardTable } from './host-filter-guard.js';
import { renderRemoval } from './host-filter-text.js';
import { runNft } from './host-nft.js';
import { LAN_MARK } from './lan-socket.js';

export interface GuardInput {
  readonly device: string;
  readonly group: number;
  readonly addresses: readonly AddressWords[];
  /** MAC of forwarder 0; null: somebody else sends from the virtual MACs. */
  readonly virtualMac: Uint8Array | null;
  /** The host is not to answer GLBP's messages with "port unreachable". */
  readonly glbp: boolean;
  /** Kernels before 5.16 have no hook at the way out. */
  readonly egress: boolean;
}

/** As the host's filter: before everybody else's chains. */
const PRIORITY = -500;
const GLBP_PORT = 3222;
/** EtherType of the members' messages (IEEE 802, local experimental). */
const MESSAGES_TYPE = '0x88b5';
const TAB = '\t';

export function guardTableName({ device, group }: Pick<GuardInput, 'device' | 'group'>): string {
  return `designator_gateway_${device.replace(/[^A-Za-z0-9_]/g, '_')}_${group}`;
}

/** Replaces the table, in one transaction. Throws RangeError for a name that could not be an interface's. */
export function renderGuard(input: GuardInput): string {
  const { device, addresses } = input;
  if (!/^[^\s"/]{1,15}$/.test(device)) throw new RangeError(`no name of an interface: ${JSON.stringify(device)}`);
  const name = guardTableName(input);
  const v4 = addresses.filter((words) => isIpv4(...first(words))).map((words) => formatIpv4(words[3]));
  const v6 = addresses.filter((words) => !isIpv4(...first(words)));
  const inbound = [
    // A frame with a tag is another segment's, unless the tag is 0 and carries a priority only (IEEE 802.1Q §6.9).
    ...['ether type != { 8021q, 8021ad }', 'vlan id 0'].flatMap((scope) => [
      ...arp(v4).map((rule) => `${scope} ${rule} drop`),
      ...v6.map((words) => `${scope} ${aboutIpv6('{ nd-neighbor-solicit, nd-neighbor-advert }', words)} drop`),
      ...(input.glbp ? [`${scope} udp dport ${GLBP_PORT} drop`] : []),
    ]),
    // A macvlan device counts frames that come with its own address as their source. Other members' messages are such where
    // this gateway stands in for them, and would look like traffic of hosts.
    ...(input.virtualMac === null ? [] : [`${fromGroup(input.virtualMac)} ether type ${MESSAGES_TYPE} drop`]),
  ];
  const chains = [
    ...chain('inbound', `type filter hook ingress device "${device}" priority ${PRIORITY}; policy accept;`, inbound),
    ...(input.egress
      ? chain('outbound', `type filter hook egress device "${device}" priority ${PRIORITY}; policy accept;`, [
          `meta mark ${LAN_MARK} accept`,
          ...(v4.length === 0 ? [] : [`arp saddr ip ${set(v4)} drop`]),
          ...v6.map((words) => `${aboutIpv6('nd-neighbor-advert', words)} drop`),
          ...(input.virtualMac === null ? [] : silence(input.virtualMac, v6)),
        ])
      : []),
  ];
  return [...renderRemoval(name), `table netdev ${name} {`, ...chains, '}', ''].join('\n');
}

function first(words: AddressWords): [number, number, number] {
  return [words[0], words[1], words[2]];
}

function chain(name: string, hook: string, rules: readonly string[]): string[] {
  return [`${TAB}chain ${name} {`, ...[hook, ...rules].map((rule) => `${TAB}${TAB}${rule}`), `${TAB}}`];
}

/** Questions for a shared address, and whoever says to have it. */
function arp(v4: readonly string[]): string[] {
  return v4.length === 0 ? [] : [`arp daddr ip ${set(v4)}`, `arp saddr ip ${set(v4)}`];
}

/** The target lies behind 8 bytes of ICMPv6 (RFC 4861 §4.3, §4.4). */
function aboutIpv6(type: string, words: AddressWords): string {
  const hex = [...words].map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('');
  return `icmpv6 type ${type} @th,64,128 0x${hex}`;
}

/** Frames whose source is a virtual MAC of the group. */
function fromGroup(virtualMac: Uint8Array): string {
  const mac = [...virtualMac.subarray(0, 5), 0].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
  return `ether saddr & ff:ff:ff:ff:ff:00 == ${mac}`;
}

/** Nothing from a virtual MAC, but what the host answers with a shared link-local address, which is bound to its device. */
function silence(virtualMac: Uint8Array, v6: readonly AddressWords[]): string[] {
  const from = fromGroup(virtualMac);
  const local = v6.filter((words) => words[0] >>> 22 === 0x3fa).map((words) => formatIpv6(...words));
  const exceptions = local.flatMap((address) => [
    `${from} ip6 saddr ${address} ether daddr & 01:00:00:00:00:00 == 00:00:00:00:00:00 accept`,
    `${from} ip6 saddr ${address} icmpv6 type nd-neighbor-solicit accept`,
  ]);
  return [...exceptions, `${from} drop`];
}

function set(elements: readonly string[]): string {
  return `{ ${[...new Set(elements)].join(', ')} }`;
}

export interface GatewayGuardOptions {
  /** Runs a script of nft; default: nft(8). */
  readonly run?: (script: string) => Promise<void>;
  readonly guard?: (table: string, onGone: () => void) => FilterGuard;
  /** Somebody took the table away: null it is back, else it could not be written again. */
  readonly onLost: (error: Error | null) => void;
}

/** The table, kept there. Runs of nft do not overlap. */
export class GatewayGuard {
  readonly #run: (script: string) => Promise<void>;
  readonly #options: GatewayGuardOptions;
  #input: Omit<GuardInput, 'egress'>;
  #watch: FilterGuard | null = null;
  #tail: Promise<void> = Promise.resolve();
  #egress = true;
  #closed = false;

  constructor(input: Omit<GuardInput, 'egress'>, options: GatewayGuardOptions) {
    this.#input = input;
    this.#options = options;
    this.#run = options.run ?? ((script) => runNft(script));
  }

  /** False: this kernel has no hook at the way out, so what it says of its own accord is not stopped. */
  get egress(): boolean {
    return this.#egress;
  }

  /** Writes the table, in place of one that a dead process left. Errors as of `runNft`. */
  async install(): Promise<void> {
    await this.#write();
    this.#watch ??= (this.#options.guard ?? guardTable)(guardTableName(this.#input), () => this.#restore());
  }

  /** After a reload, and when the interface came back: its chains went with it. */
  async update(input: Omit<GuardInput, 'egress'> = this.#input): Promise<void> {
    this.#input = input;
    await this.#write();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#watch?.close();
    await this.#after(() => this.#run(`${renderRemoval(guardTableName(this.#input)).join('\n')}\n`));
  }

  #write(): Promise<void> {
    return this.#after(async () => {
      if (this.#closed) return;
      try {
        await this.#run(renderGuard({ ...this.#input, egress: true }));
        this.#egress = true;
      } catch {
        await this.#run(renderGuard({ ...this.#input, egress: false }));
        this.#egress = false;
      }
    });
  }

  #restore(): void {
    if (this.#closed) return;
    this.#write().then(
      () => this.#options.onLost(null),
      (error: Error) => this.#options.onLost(error),
    );
  }

  #after(action: () => Promise<void>): Promise<void> {
    const done = this.#tail.then(action);
    this.#tail = done.catch(() => {});
    return done;
  }
}
