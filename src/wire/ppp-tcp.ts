/**
 * The way from a PPP frame to the MSS that a TCP connection inside it proposes: RFC 1661 §2 and §6.5 to 6.6 (address,
 * control and protocol fields may be compressed), RFC 9293 §3.2 (option 2, in SYN segments alone).
 *
 *   | FF 03 (may be missing) | 00 (may be missing) 21 = IPv4, 57 = IPv6 | IP header | TCP header with options |
 */
const ADDRESS_AND_CONTROL = 0xff03;
const PPP_IPV4 = 0x21;
const PPP_IPV6 = 0x57;
const TCP = 6;
const SYN = 0x02;
const OPTION_END = 0;
const OPTION_NOP = 1;
const OPTION_MSS = 2;
const EXTENSION_LIMIT = 4;

/** Where the parts lie, as byte offsets; overwritten by every reading. */
export interface ProposedMss {
  tcp: number;
  /** Of the 16-bit value. */
  mss: number;
  v6: boolean;
}

export function newProposedMss(): ProposedMss {
  return { tcp: 0, mss: 0, v6: false };
}

/** Looks for the MSS in the PPP frame [offset, end). False when it is no SYN of TCP over IP, or has none. */
export function findMss(view: DataView, offset: number, end: number, out: ProposedMss): boolean {
  let at = offset;
  if (end - at >= 2 && view.getUint16(at) === ADDRESS_AND_CONTROL) at += 2;
  if (end - at < 2) return false;
  if (view.getUint8(at) === 0) at++; // an even first byte is the upper half of a protocol number
  const protocol = view.getUint8(at++);
  if (protocol !== PPP_IPV4 && protocol !== PPP_IPV6) return false;
  out.v6 = protocol === PPP_IPV6;
  const tcp = out.v6 ? tcpInIpv6(view, at, end) : tcpInIpv4(view, at, end);
  if (tcp < 0 || end - tcp < 20 || (view.getUint8(tcp + 13) & SYN) === 0) return false;
  const last = tcp + ((view.getUint8(tcp + 12) >> 4) << 2);
  if (last > end) return false;
  out.tcp = tcp;
  for (let option = tcp + 20; option < last; ) {
    const kind = view.getUint8(option);
    if (kind === OPTION_END) return false;
    if (kind === OPTION_NOP) {
      option++;
      continue;
    }
    if (last - option < 2) return false;
    const length = view.getUint8(option + 1);
    if (length < 2 || length > last - option) return false;
    if (kind === OPTION_MSS) {
      out.mss = option + 2;
      return length === 4;
    }
    option += length;
  }
  return false;
}

/** Byte offset of the TCP header, or −1. A later fragment has none. */
function tcpInIpv4(view: DataView, at: number, end: number): number {
  if (end - at < 20 || view.getUint8(at) >> 4 !== 4 || view.getUint8(at + 9) !== TCP) return -1;
  if ((view.getUint16(at + 6) & 0x1fff) !== 0) return -1;
  const header = (view.getUint8(at) & 0x0f) << 2;
  return header < 20 ? -1 : at + header;
}

function tcpInIpv6(view: DataView, at: number, end: number): number {
  if (end - at < 40 || view.getUint8(at) >> 4 !== 6) return -1;
  let next = view.getUint8(at + 6);
  let l4 = at + 40;
  for (let n = 0; next === 0 || next === 43 || next === 60; n++) {
    if (n === EXTENSION_LIMIT || end - l4 < 8) return -1;
    next = view.getUint8(l4);
    l4 += (view.getUint8(l4 + 1) + 1) << 3;
  }
  return next === TCP ? l4 : -1;
}
