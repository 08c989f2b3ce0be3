/**
 * Who is who on both sides, compiled from the plan for per-packet questions: is this address a VIP or a server, which
 * VIP has this port, which protocols may this be. Rebuilt with every plan; answers are numbers, nothing is allocated.
 */
import { AddressTable } from '../flow/address-table.js';
import { ClientIndex } from '../flow/client-index.js';
import { ADDRESS_LIMIT, ADDRESS_ROLE, CELL_WORDS, SERVER_CELL, type TableMemory } from '../flow/layout.js';
import { DESCRIPTORS } from '../tunnels/index.js';
import type { TunnelDescriptor } from '../tunnels/descriptor.js';
import { PlainDirectory, type PlainPlace } from './plain.js';
import type { Plan, PlanServer, PlanVip } from './plan.js';

const IPPROTO_UDP = 17;
const MAPPED = 0xffff; // third word of an IPv4-mapped address

const place = (address: number, port: number): number => (address << 16) | port;

export class Directory {
  readonly addresses: AddressTable;
  readonly clients: ClientIndex;
  /** ADDRESS_ROLE bits by address index, as of this plan. */
  readonly #roles = new Uint8Array(ADDRESS_LIMIT);
  /** address index << 16 | port → VIP; a few entries, so a Map with small-integer keys is as quick as a table. */
  readonly #vipAt = new Map<number, PlanVip>();
  readonly #vipByIndex = new Map<number, PlanVip>();
  readonly #serverAt = new Map<number, PlanServer>();
  readonly #serverByIndex = new Map<number, PlanServer>();
  /** IP protocol → descriptors in use. */
  readonly #byIpProtocol: TunnelDescriptor[][] = Array.from({ length: 256 }, () => []);
  readonly #byId: (TunnelDescriptor | undefined)[] = new Array(256).fill(undefined);
  /** Some VIP has a `localAddress`. */
  readonly hasLocal: boolean;
  /** For the short way of `classify`; null where more than one protocol may be behind a UDP packet. */
  readonly plain: PlainDirectory | null;
  /** The single VIP and server of the commonest set-ups, answered without the Map. */
  #lastVipPlace = -1;
  #lastVip: PlanVip | null = null;

  constructor(
    memory: TableMemory,
    readonly plan: Plan,
    descriptors: ReadonlyMap<string, TunnelDescriptor> = DESCRIPTORS,
  ) {
    this.addresses = new AddressTable(memory);
    this.clients = new ClientIndex(memory);
    const give = (address: number | undefined, role: number): void => {
      if (address !== undefined && address >= 0) this.#roles[address] |= role;
    };
    const oneWay = new Set(plan.vips.filter((vip) => vip.oneWay === true).map(({ index }) => index));
    const vipOfServer = (server: number): number => memory.servers[server * CELL_WORDS + SERVER_CELL.vip];
    for (const vip of plan.vips) {
      give(vip.address, ADDRESS_ROLE.vip);
      // A VIP whose answers another machine gives has nothing at its NAT address here.
      if (vip.oneWay !== true) give(vip.natAddress, ADDRESS_ROLE.vip);
      else give(vip.localAddress, ADDRESS_ROLE.local);
    }
    for (const { index, address } of plan.servers)
      give(address, oneWay.has(vipOfServer(index)) ? ADDRESS_ROLE.endpoint : ADDRESS_ROLE.server);
    this.hasLocal = plan.vips.some((vip) => vip.oneWay === true && (vip.localAddress ?? -1) >= 0);
    const used = new Set<TunnelDescriptor>();
    for (const vip of plan.vips) {
      this.#vipByIndex.set(vip.index, vip);
      for (const name of vip.protocols) {
        const descriptor = descriptors.get(name);
        if (descriptor === undefined) continue;
        used.add(descriptor);
        const port = descriptor.hasPorts ? vip.port : 0;
        this.#vipAt.set(place(vip.address, port), vip);
        const nat = vip.oneWay === true ? -1 : (vip.natAddress ?? -1);
        if (nat >= 0 && !this.#vipAt.has(place(nat, port))) this.#vipAt.set(place(nat, port), vip);
      }
    }
    for (const server of plan.servers) {
      this.#serverByIndex.set(server.index, server);
      if (!this.#serverAt.has(place(server.address, server.port))) {
        this.#serverAt.set(place(server.address, server.port), server);
      }
    }
    for (const descriptor of used) {
      this.#byIpProtocol[descriptor.ipProtocol].push(descriptor);
      this.#byId[descriptor.id] = descriptor;
    }
    this.plain = this.#plainDirectory();
  }

  #plainDirectory(): PlainDirectory | null {
    const [descriptor, another] = this.descriptorsOf(IPPROTO_UDP);
    if (descriptor === undefined || another !== undefined || !descriptor.hasPorts) return null;
    const { addresses, plan } = this;
    const isIpv4 = ({ address }: { address: number }): boolean => addresses.family(address) === 4;
    const plainPlace = (at: { address: number; port: number }, local: number): PlainPlace => ({
      word: addresses.word(at.address, 3),
      port: at.port,
      address: at.address,
      local,
    });
    // Asked back, because of two with the same place the long way knows one only.
    const vips = plan.vips
      .flatMap((vip) =>
        [vip.address, vip.oneWay === true ? -1 : (vip.natAddress ?? -1)].map((address) => ({ vip, address })),
      )
      .filter((at) => at.address >= 0 && isIpv4(at) && this.vipAt(at.address, at.vip.port) === at.vip);
    const servers = plan.servers.filter(
      (server) =>
        isIpv4(server) &&
        this.serverAt(server.address, server.port) === server &&
        this.serverOf(0, 0, MAPPED, addresses.word(server.address, 3)) >= 0,
    );
    return new PlainDirectory(
      descriptor,
      plan.vips
        .flatMap((vip) => [vip.address, vip.natAddress ?? -1])
        .filter((address) => address >= 0 && isIpv4({ address }))
        .map((address) => addresses.word(address, 3)),
      vips.map(({ vip, address }) => plainPlace({ address, port: vip.port }, vip.index)),
      servers.map((server) => plainPlace(server, server.address)),
    );
  }

  /** Address index of a VIP, or −1. */
  vipOf(a0: number, a1: number, a2: number, a3: number): number {
    const index = this.addresses.indexOf(a0, a1, a2, a3);
    return index >= 0 && (this.#roles[index] & ADDRESS_ROLE.vip) !== 0 ? index : -1;
  }

  /** Address index of a server, or −1. */
  serverOf(a0: number, a1: number, a2: number, a3: number): number {
    const index = this.addresses.indexOf(a0, a1, a2, a3);
    return index >= 0 && (this.#roles[index] & ADDRESS_ROLE.server) !== 0 ? index : -1;
  }

  /** Address index of a VIP's `localAddress`, or −1. */
  localOf(a0: number, a1: number, a2: number, a3: number): number {
    const index = this.addresses.indexOf(a0, a1, a2, a3);
    return index >= 0 && (this.#roles[index] & ADDRESS_ROLE.local) !== 0 ? index : -1;
  }

  /** Address index of a server, of whatever VIP, or −1: of those who speak to a `localAddress`. */
  endpointOf(a0: number, a1: number, a2: number, a3: number): number {
    const index = this.addresses.indexOf(a0, a1, a2, a3);
    return index >= 0 && (this.#roles[index] & (ADDRESS_ROLE.server | ADDRESS_ROLE.endpoint)) !== 0 ? index : -1;
  }

  /** An address that is nobody's but the designator's: it answers ARP, ND and echo for it. */
  isOwn(a0: number, a1: number, a2: number, a3: number): boolean {
    const index = this.addresses.indexOf(a0, a1, a2, a3);
    return index >= 0 && (this.#roles[index] & (ADDRESS_ROLE.vip | ADDRESS_ROLE.local)) !== 0;
  }

  /** VIPs that are answered from this address. */
  vipsOfNat(address: number): readonly PlanVip[] {
    return this.plan.vips.filter((vip) => vip.oneWay !== true && vip.natAddress === address);
  }

  /** The VIP that listens at this address and port (port 0 for a protocol without ports), or null. */
  vipAt(address: number, port: number): PlanVip | null {
    const at = place(address, port);
    if (at === this.#lastVipPlace) return this.#lastVip;
    const vip = this.#vipAt.get(at) ?? null;
    this.#lastVipPlace = at;
    this.#lastVip = vip;
    return vip;
  }

  vip(index: number): PlanVip | null {
    return this.#vipByIndex.get(index) ?? null;
  }

  server(index: number): PlanServer | null {
    return this.#serverByIndex.get(index) ?? null;
  }

  /** The server that is configured at this address and port, or null (another port of a server may be a floating one). */
  serverAt(address: number, port: number): PlanServer | null {
    return this.#serverAt.get(place(address, port)) ?? null;
  }

  descriptorsOf(ipProtocol: number): readonly TunnelDescriptor[] {
    return this.#byIpProtocol[ipProtocol];
  }

  descriptor(id: number): TunnelDescriptor {
    return this.#byId[id] as TunnelDescriptor;
  }
}
