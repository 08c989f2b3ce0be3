/** Frames that the appliance sends of its own accord: announcements of VIPs, and questions for neighbours. */
import type { CompiledAddress, CompiledConfig } from '../../config/compiled.js';
import { solicitation } from '../../dataplane/neighbour-solicitation.js';
import { announce } from '../../dataplane/responder.js';
import { PORT_INSIDE, PORT_OUTSIDE } from '../../io/port.js';
import { type AddressWords, isIpv4 } from '../../wire/address.js';

/** More than an ARP announcement or a Neighbour Advertisement needs. */
const ANNOUNCEMENT_LENGTH = 128;

export interface OwnFrame {
  readonly port: number;
  readonly frame: Uint8Array;
}

/**
 * One for each VIP and its NAT address, outside, and for its local address, inside, each from its interface's address; none
 * where a gateway group answers for them.
 */
export function announcements(config: CompiledConfig, mac: Uint8Array, insideMac = mac): OwnFrame[] {
  if ((config.gateway?.outside ?? null) !== null) return [];
  const frames = new Map<string, OwnFrame>();
  const add = (port: number, own: CompiledAddress | null | undefined): void => {
    if (own === null || own === undefined) return;
    const frame = new Uint8Array(ANNOUNCEMENT_LENGTH);
    const length = announce(new DataView(frame.buffer), 0, ...own.words, port === PORT_OUTSIDE ? mac : insideMac);
    frames.set(own.address, { port, frame: frame.subarray(0, length) });
  };
  for (const vip of config.vips) {
    add(PORT_OUTSIDE, vip);
    if (vip.oneWay !== true) add(PORT_OUTSIDE, vip.natAddress);
    add(PORT_INSIDE, vip.localAddress);
  }
  return [...frames.values()];
}

/** Who has this address? On a VLAN that the host has no device for. `mac` is that of the port's interface. */
export function question(config: CompiledConfig, port: number, words: AddressWords, mac: Uint8Array): OwnFrame {
  const v4 = isIpv4(words[0], words[1], words[2]);
  // Outside a VIP asks; inside no address is ours, so the question is a probe (RFC 5227 §2.1).
  const own = port === PORT_OUTSIDE ? config.vips.find((vip) => (vip.family === 4) === v4)?.words : undefined;
  const source = own ?? (v4 ? ([0, 0, 0xffff, 0] as const) : ([0, 0, 0, 0] as const));
  return { port, frame: solicitation(words, source, mac) };
}
