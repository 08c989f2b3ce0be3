/** What one gateway of a GLBP group sends and believes: messages in frames, sealed with the group's secret. */
import { type AddressWords, isIpv4 } from '../../wire/address.js';
import {
  buildGlbp,
  GLBP_ADDRESS_IPV4,
  GLBP_ADDRESS_IPV6,
  GLBP_MAC_IPV4,
  GLBP_MAC_IPV6,
  type GlbpForwarder,
  type GlbpHello,
  type GlbpMessage,
  type GlbpSecret,
  isAuthenticGlbp,
  readGlbp,
} from '../../wire/glbp.js';
import { buildGlbpFrame, type GlbpDatagram, readGlbpFrame } from './frame.js';

export interface GlbpHeard {
  readonly datagram: GlbpDatagram;
  readonly message: GlbpMessage;
}

/** Each is a counter; `null` is a frame that is none of GLBP, or one's own. */
export type GlbpRefusal =
  | 'glbpDamaged'
  | 'glbpHopLimit'
  | 'glbpMalformed'
  | 'glbpVersion'
  | 'glbpOtherGroup'
  | 'glbpAuthentication'
  | 'glbpDuplicateAddress';

export class GlbpMessages {
  constructor(
    readonly group: number,
    /** The port's own MAC. */
    readonly mac: Uint8Array,
    readonly address: AddressWords,
    readonly secret: GlbpSecret,
  ) {}

  /** To all gateways, from the port's own MAC or from a virtual one, which keeps the switches taught. */
  multicast(from: Uint8Array, hello: GlbpHello | null, forwarders: readonly GlbpForwarder[]): Uint8Array {
    const four = isIpv4(this.address[0], this.address[1], this.address[2]);
    const to = four ? GLBP_MAC_IPV4 : GLBP_MAC_IPV6;
    const destination: AddressWords = four ? [0, 0, 0xffff, GLBP_ADDRESS_IPV4] : GLBP_ADDRESS_IPV6;
    return buildGlbpFrame({ from, to }, this.address, destination, this.#build(hello, forwarders));
  }

  /** To one gateway, always from the port's own MAC. */
  unicast(to: Uint8Array, address: AddressWords, forwarders: readonly GlbpForwarder[]): Uint8Array {
    return buildGlbpFrame({ from: this.mac, to }, this.address, address, this.#build(null, forwarders));
  }

  #build(hello: GlbpHello | null, forwarders: readonly GlbpForwarder[]): Uint8Array {
    const message = { group: this.group, owner: this.mac, hello, forwarders };
    return buildGlbp(message, this.secret, this.address);
  }

  read(frame: Uint8Array): GlbpHeard | GlbpRefusal | null {
    const datagram = readGlbpFrame(frame);
    if (datagram === null) return null;
    if (datagram === 'damaged') return 'glbpDamaged';
    if (datagram === 'hop-limit') return 'glbpHopLimit';
    const message = readGlbp(datagram.payload);
    if (message === 'malformed') return 'glbpMalformed';
    if (message === 'version') return 'glbpVersion';
    if (message.group !== this.group) return 'glbpOtherGroup';
    const own = datagram.source.every((word, i) => word === this.address[i]);
    // Our own frame, which a switch has sent back, is no other gateway.
    if (own && message.owner.every((byte, i) => byte === this.mac[i])) return null;
    if (!isAuthenticGlbp(datagram.payload, this.secret, datagram.source)) return 'glbpAuthentication';
    return own ? 'glbpDuplicateAddress' : { datagram, message };
  }
}
