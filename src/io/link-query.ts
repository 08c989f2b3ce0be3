/**
 * Questions about single interfaces, and XDP programs put on them without a bpf_link: rtnetlink and the generic netlink
 * families `netdev` (XDP features, Linux 6.3) and `ethtool` (channels). The kernel works on a request while it is being
 * sent, so its answer can be read at once and nothing here waits.
 */
import type { NativeAddon, NetlinkSocket } from './native.js';
import { NETLINK_ROUTE, RTM_GETLINK } from './netlink.js';
import {
  type Attributes,
  attribute,
  attributesOf,
  join,
  NetlinkAsker,
  NetlinkRefusal,
  NLM_F_ACK,
  signed,
} from './netlink-request.js';

export { NetlinkRefusal };

const NETLINK_GENERIC = 16;
const RTM_SETLINK = 19;
const GENL_ID_CTRL = 16;
const CTRL_CMD_GETFAMILY = 3;
const NETDEV_CMD_DEV_GET = 1;
const ETHTOOL_MSG_FEATURES_GET = 11;
const ETHTOOL_MSG_FEATURES_SET = 12;
const ETHTOOL_MSG_CHANNELS_GET = 17;
/** NETIF_F_HW_VLAN_CTAG_RX as ethtool names it; `rxvlan` for short. */
const RX_VLAN_OFFLOAD = 'rx-vlan-hw-parse';
const NLA_F_NESTED = 0x8000;
const LINK_LENGTH = 16; // struct ifinfomsg
const GENL_LENGTH = 4;
const IFLA_MTU = 4;
const IFLA_LINKINFO = 18;
const IFLA_XDP = 43;

export const XDP_FLAGS_UPDATE_IF_NOEXIST = 1;
export const XDP_FLAGS_SKB_MODE = 2;
export const XDP_FLAGS_DRV_MODE = 4;
export const XDP_FLAGS_REPLACE = 16;

/** Bits of `netdev`'s xdp-features (linux/netdev.h). */
export const XDP_FEATURE = { basic: 1, redirect: 2, ndoXmit: 4, zeroCopy: 8, hardware: 16, manyBuffers: 32 } as const;

export interface XdpAttachment {
  /** How it is there: nothing, in the driver, for skbs, in the hardware, several ways. */
  readonly attached: 'none' | 'native' | 'generic' | 'offload' | 'several';
  /** Ids of programs; 0 none. */
  readonly native: number;
  readonly generic: number;
}

/** One interface a call; close it when done. Errors: NetlinkRefusal. */
export class LinkQuery {
  readonly #route: NetlinkSocket;
  #generic: NetlinkSocket | null = null;
  readonly #families = new Map<string, number>();
  readonly #asker = new NetlinkAsker();

  constructor(readonly addon: Pick<NativeAddon, 'NetlinkSocket'>) {
    this.#route = new addon.NetlinkSocket(NETLINK_ROUTE, 0, () => {});
  }

  /** What XDP is on an interface. */
  attachment(index: number): XdpAttachment {
    const xdp = this.#link(index).get(IFLA_XDP);
    const inner = xdp === undefined ? new Map() : attributesOf(xdp, 0);
    const word = (type: number): number => (inner.get(type) as DataView | undefined)?.getUint32(0, true) ?? 0;
    const kinds = ['none', 'native', 'generic', 'offload', 'several'] as const;
    const attached = kinds[(inner.get(2) as DataView | undefined)?.getUint8(0) ?? 0] ?? 'none';
    const single = word(4); // with one program the kernel gives its id here, and by its mode as well
    return {
      attached,
      native: word(5) || (attached === 'native' ? single : 0),
      generic: word(6) || (attached === 'generic' ? single : 0),
    };
  }

  mtu(index: number): number {
    return this.#link(index).get(IFLA_MTU)?.getUint32(0, true) ?? 0;
  }

  /** `veth`, `bridge` …; empty for a device of hardware. */
  kind(index: number): string {
    const info = this.#link(index).get(IFLA_LINKINFO);
    const text = info === undefined ? undefined : attributesOf(info, 0).get(1);
    if (text === undefined) return '';
    return new TextDecoder().decode(new Uint8Array(text.buffer, text.byteOffset, text.byteLength)).replace(/\0+$/, '');
  }

  /** `program` −1 takes the one off that is there. `expected`: descriptor of the one to be replaced, −1 there must be none. */
  setXdp(index: number, program: number, mode: number, expected: number): void {
    const flags = mode | (expected >= 0 ? XDP_FLAGS_REPLACE : XDP_FLAGS_UPDATE_IF_NOEXIST);
    const inner = [attribute(1, signed(program)), attribute(3, signed(flags))];
    if (expected >= 0) inner.push(attribute(8, signed(expected)));
    const body = join([linkHeader(index), attribute(IFLA_XDP | NLA_F_NESTED, join(inner))]);
    this.#asker.ask(this.#route, `XDP on interface ${index}`, RTM_SETLINK, NLM_F_ACK, body);
  }

  /** XDP_FEATURE bits, or null when this kernel cannot tell. */
  features(index: number): number | null {
    try {
      const body = join([genlHeader(NETDEV_CMD_DEV_GET), attribute(1, signed(index))]);
      const answer = this.#askFamily('netdev', `XDP features of interface ${index}`, body);
      return answer.get(3)?.getUint32(0, true) ?? null;
    } catch (error) {
      if (error instanceof NetlinkRefusal) return null;
      throw error;
    }
  }

  /** Receive queues in use; 1 for a device that has no channels to speak of. */
  queues(index: number): number {
    try {
      const device = attribute(1 | NLA_F_NESTED, attribute(1, signed(index)));
      const body = join([genlHeader(ETHTOOL_MSG_CHANNELS_GET), device]);
      const answer = this.#askFamily('ethtool', `channels of interface ${index}`, body);
      const count = (type: number): number => answer.get(type)?.getUint32(0, true) ?? 0;
      return Math.max(1, count(6) + count(9)); // receiving alone, and combined
    } catch (error) {
      if (error instanceof NetlinkRefusal) return 1;
      throw error;
    }
  }

  /** Whether the device takes the VLAN tag out of a received frame: `fixed` is on and cannot be turned off. */
  rxVlanOffload(index: number): 'off' | 'on' | 'fixed' {
    try {
      const device = attribute(1 | NLA_F_NESTED, attribute(1, signed(index)));
      const body = join([genlHeader(ETHTOOL_MSG_FEATURES_GET), device]);
      const answer = this.#askFamily('ethtool', `features of interface ${index}`, body);
      const has = (type: number): boolean => namesOf(answer.get(type)).includes(RX_VLAN_OFFLOAD);
      if (!has(4)) return 'off'; // active
      return has(2) ? 'on' : 'fixed'; // can be changed
    } catch (error) {
      if (error instanceof NetlinkRefusal) return 'off'; // it has no features to speak of
      throw error;
    }
  }

  setRxVlanOffload(index: number, on: boolean): void {
    const name = attribute(2, new TextEncoder().encode(`${RX_VLAN_OFFLOAD}\0`));
    const bit = attribute(1 | NLA_F_NESTED, on ? join([name, attribute(3, new Uint8Array(0))]) : name);
    const wanted = attribute(3 | NLA_F_NESTED, attribute(3 | NLA_F_NESTED, bit));
    const device = attribute(1 | NLA_F_NESTED, attribute(1, signed(index)));
    const body = join([genlHeader(ETHTOOL_MSG_FEATURES_SET), device, wanted]);
    this.#askFamily('ethtool', `VLAN offload of interface ${index}`, body, NLM_F_ACK);
  }

  close(): void {
    this.#route.close();
    this.#generic?.close();
    this.#generic = null;
  }

  #link(index: number): Attributes {
    const answer = this.#asker.ask(this.#route, `interface ${index}`, RTM_GETLINK, 0, linkHeader(index));
    return answer === null ? new Map() : attributesOf(answer, LINK_LENGTH);
  }

  #askFamily(family: string, what: string, body: Uint8Array, flags = 0): Attributes {
    this.#generic ??= new this.addon.NetlinkSocket(NETLINK_GENERIC, 0, () => {});
    let id = this.#families.get(family);
    if (id === undefined) {
      const request = join([genlHeader(CTRL_CMD_GETFAMILY), attribute(2, new TextEncoder().encode(`${family}\0`))]);
      const answer = this.#asker.ask(this.#generic, `netlink family ${family}`, GENL_ID_CTRL, 0, request);
      id = answer === null ? undefined : attributesOf(answer, GENL_LENGTH).get(1)?.getUint16(0, true);
      if (id === undefined) throw new NetlinkRefusal(`netlink family ${family}`, 2, 'there is none');
      this.#families.set(family, id);
    }
    const answer = this.#asker.ask(this.#generic, what, id, flags, body);
    return answer === null ? new Map() : attributesOf(answer, GENL_LENGTH);
  }
}

/** Names of the bits that are set in a bitset of ethtool's (Documentation/networking/ethtool-netlink.rst, "Bit sets"). */
function namesOf(bitset: DataView | undefined): string[] {
  if (bitset === undefined) return [];
  const parts = attributesOf(bitset, 0);
  const all = parts.has(1); // no mask: what is listed is set
  const bits = parts.get(3);
  if (bits === undefined) return [];
  const names: string[] = [];
  for (let at = 0; at + 4 <= bits.byteLength; at += (bits.getUint16(at, true) + 3) & ~3) {
    const length = bits.getUint16(at, true);
    if (length < 4 || at + length > bits.byteLength) break;
    const bit = attributesOf(new DataView(bits.buffer, bits.byteOffset + at + 4, length - 4), 0);
    const name = bit.get(2);
    if (name === undefined || !(all || bit.has(3))) continue;
    names.push(
      new TextDecoder().decode(new Uint8Array(name.buffer, name.byteOffset, name.byteLength)).replace(/\0+$/, ''),
    );
  }
  return names;
}

function linkHeader(index: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(LINK_LENGTH));
  view.setInt32(4, index, true);
  return new Uint8Array(view.buffer);
}

function genlHeader(command: number): Uint8Array {
  return Uint8Array.of(command, 1, 0, 0);
}
