/** What of the host stands in the way of a gateway group, each with what helps. Changes nothing. */
import { accessSync, constants, readFileSync } from 'node:fs';
import { type AddressWords, formatWords, isIpv4 } from '../wire/address.js';
import type { HostProblem } from './gateway-types.js';
import type { NativeAddon } from './native.js';
import { NetlinkRefusal } from './netlink-request.js';
import { isOwnDevice } from './virtual-macs.js';
import { type LinkFact, VirtualLinks } from './virtual-links.js';

export interface GatewayCheck {
  readonly device: string;
  readonly forwarding: 'macvlan' | 'none';
  readonly addresses: readonly AddressWords[];
}

const ETHERNET = 1; // ARPHRD_ETHER
const EPERM = 1;
/** Devices whose ports take no frames of their own: what comes in belongs to the device above. */
const MASTERS = new Set(['bridge', 'bond', 'team', 'openvswitch']);
const NAME = 'td-check';
const STRICT = 1;
const IPV4 = '/proc/sys/net/ipv4/conf';

/** Reads a file below /proc/sys; null where it does not exist. */
type ReadSetting = (path: string) => string | null;

/** In the order in which they should be told. Empty: nothing is known that stands in the way. */
export function gatewayProblems(
  addon: Pick<NativeAddon, 'NetlinkSocket' | 'probePacketSocket'>,
  check: GatewayCheck,
  readSetting: ReadSetting = read,
): HostProblem[] {
  const { device, forwarding, addresses } = check;
  const links = new VirtualLinks(addon);
  try {
    const link = links.byName(device);
    if (link === null) {
      return [fatal(`no such interface "${device}"`, 'name one of `ip -brief link`')];
    }
    const problems = [...rights(addon), ...kindProblems(links, link, forwarding)];
    if (forwarding === 'macvlan') {
      if (!problems.some(({ severity }) => severity === 'fatal')) problems.push(...macvlanProblems(links, link));
      problems.push(...forwardingProblems(device, addresses, readSetting));
    }
    problems.push(...addressProblems(links, addresses), ...ipv6Problems(device, addresses, readSetting));
    return problems;
  } finally {
    links.close();
  }
}

function rights(addon: Pick<NativeAddon, 'probePacketSocket'>): HostProblem[] {
  try {
    addon.probePacketSocket();
    return [];
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'EPERM' && code !== 'EACCES')
      return [fatal(`packet sockets: ${message}`, 'the kernel needs CONFIG_PACKET')];
    return [
      { ...fatal('CAP_NET_RAW is missing', 'run as root, or give CAP_NET_RAW and CAP_NET_ADMIN'), permission: true },
    ];
  }
}

function kindProblems(links: VirtualLinks, link: LinkFact, forwarding: string): HostProblem[] {
  const { name } = link;
  if (link.type !== ETHERNET) {
    return [fatal(`${name} is no Ethernet interface`, 'name the interface that the hosts are on')];
  }
  const master = link.master === 0 ? null : links.byIndex(link.master);
  if (master === null || !MASTERS.has(master.kind)) return [];
  const text = `${name} is a port of the ${master.kind} ${master.name}`;
  const remedy = `name ${master.name} as the interface`;
  // A designator with XDP sees the frames of a port before its master does.
  return [forwarding === 'macvlan' ? fatal(text, remedy) : warning(text, remedy)];
}

/** There is no other way to learn it than to make one. */
function macvlanProblems(links: VirtualLinks, link: LinkFact): HostProblem[] {
  try {
    const index = links.create(NAME, link.index, Uint8Array.of(2, 0x54, 0x44, 0, 0, 0), 'designator check');
    if (index !== null) links.remove(index);
    return [];
  } catch (error) {
    if (!(error instanceof NetlinkRefusal)) throw error;
    if (error.errno === EPERM) {
      return [
        {
          ...fatal('CAP_NET_ADMIN is missing', 'run as root, or give CAP_NET_ADMIN and CAP_NET_RAW'),
          permission: true,
        },
      ];
    }
    const text = `${link.name} takes no virtual MAC: ${error.message}`;
    return [
      fatal(text, 'load the module macvlan; use an interface that is no port of a bridge and no wireless station'),
    ];
  }
}

function forwardingProblems(
  device: string,
  addresses: readonly AddressWords[],
  readSetting: ReadSetting,
): HostProblem[] {
  const problems: HostProblem[] = [];
  const off = (path: string): boolean => readSetting(path)?.trim() === '0';
  if (addresses.some(v4) && off('/proc/sys/net/ipv4/ip_forward')) {
    problems.push(fatal('the host forwards no IPv4', 'sysctl -w net.ipv4.ip_forward=1'));
  }
  if (addresses.some(v6) && off('/proc/sys/net/ipv6/conf/all/forwarding')) {
    problems.push(fatal('the host forwards no IPv6', 'sysctl -w net.ipv6.conf.all.forwarding=1'));
  }
  // The device of a virtual MAC gets 2 when it is made. Where that cannot be written, it has what the others have.
  const strict = ['all', 'default'].some((name) => Number(readSetting(`${IPV4}/${name}/rp_filter`)) === STRICT);
  if (strict && addresses.some(v4) && !writable(`${IPV4}/all/rp_filter`)) {
    const text = '/proc/sys cannot be written, and the source check is strict: what comes for a virtual MAC is dropped';
    problems.push(fatal(text, 'sysctl -w net.ipv4.conf.all.rp_filter=2, or let the process write /proc/sys'));
  }
  if (['all', device].some((name) => readSetting(`${IPV4}/${name}/proxy_arp`)?.trim() === '1')) {
    problems.push(
      warning(`${device} answers ARP for others (proxy_arp)`, `sysctl -w net.ipv4.conf.${device}.proxy_arp=0`),
    );
  }
  return problems;
}

/** A shared address that an interface has by itself would be announced, and used as a source, with the real MAC. */
function addressProblems(links: VirtualLinks, addresses: readonly AddressWords[]): HostProblem[] {
  const names = new Map(links.all().map((link) => [link.index, link]));
  return links.addresses().flatMap(({ index, words }) => {
    const link = names.get(index);
    if (link === undefined || isOwnDevice(link)) return [];
    if (!addresses.some((shared) => shared.every((word, i) => word === words[i]))) return [];
    const text = formatWords(words);
    const remedy = `ip address del ${text}/${v4(words) ? 32 : 128} dev ${link.name} (with the length it has there)`;
    return [fatal(`${link.name} has the shared address ${text} already`, remedy)];
  });
}

function ipv6Problems(device: string, addresses: readonly AddressWords[], readSetting: ReadSetting): HostProblem[] {
  if (!addresses.some(v6)) return [];
  const value = readSetting(`/proc/sys/net/ipv6/conf/${device}/disable_ipv6`)?.trim();
  if (value === '0') return [];
  return [fatal(`IPv6 is off on ${device}`, `sysctl -w net.ipv6.conf.${device}.disable_ipv6=0`)];
}

function v4(words: AddressWords): boolean {
  return isIpv4(words[0], words[1], words[2]);
}

function v6(words: AddressWords): boolean {
  return !v4(words);
}

function fatal(text: string, remedy: string): HostProblem {
  return { severity: 'fatal', text, remedy, permission: false };
}

function warning(text: string, remedy: string): HostProblem {
  return { severity: 'warning', text, remedy, permission: false };
}

function writable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
