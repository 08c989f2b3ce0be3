/** `IP:PORT` as the commands and the API take it, `[v6]:port` for IPv6 (DESIGN §8, "Words of the contract"). */
import ipaddr from 'ipaddr.js';
import { DesignatorError } from '../errors.js';
import { formatMac, parseAddress, parseMac } from '../wire/address.js';

/**
 * The canonical text of a client: an IPv4-mapped address becomes IPv4, IPv6 is written as RFC 5952 says, so that it can
 * be compared with the `client` of a tunnel row. Errors: TD_USAGE.
 */
export function canonicalClient(text: string): string {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  if (match === null) throw bad(text, 'write it as 192.0.2.1:1701 or [2001:db8::1]:1701');
  const port = Number(match[3]);
  if (port < 1 || port > 65535) throw bad(text, 'the port must be 1 … 65535');
  if (match[1] === undefined) {
    if (!ipaddr.IPv4.isValidFourPartDecimal(match[2])) throw bad(text, `"${match[2]}" is not an IPv4 address`);
    return `${match[2]}:${port}`;
  }
  if (match[1].includes('%') || !ipaddr.IPv6.isValid(match[1])) throw bad(text, `"${match[1]}" is not an IPv6 address`);
  const address = ipaddr.IPv6.parse(match[1]);
  return address.isIPv4MappedAddress()
    ? `${address.toIPv4Address().toString()}:${port}`
    : `[${address.toRFC5952String()}]:${port}`;
}

/** The same of an LNS or a LAC, whose customers on PPPoE have MAC addresses: `02:00:00:00:00:07`. Errors: TD_USAGE. */
export function canonicalCustomer(text: string): string {
  const mac = parseMac(text);
  return mac === null ? canonicalClient(text) : formatMac(mac);
}

/** A station on a segment, as an operator names it: a MAC or an IP address. */
export function isStationName(text: string): boolean {
  return parseMac(text) !== null || parseAddress(text) !== null;
}

/** The two parts of a canonical client, for tables: no brackets around IPv6. */
export function splitClient(client: string): { address: string; port: string } {
  const colon = client.lastIndexOf(':');
  return { address: client.slice(0, colon).replace(/^\[|\]$/g, ''), port: client.slice(colon + 1) };
}

function bad(text: string, hint: string): DesignatorError {
  return new DesignatorError('TD_USAGE', `client "${text}": ${hint}`, { client: text });
}
