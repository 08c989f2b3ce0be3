/** What the messages of a call say of it, RFC 2661 §4.4.4 to §4.4.6. Everything that may be absent is. */
import type { Avp } from '../../tunnels/l2tp/avp.js';

/** Of ICRQ and OCRQ; `physicalChannel` of OCRP too. */
export interface CallAttributes {
  /** Call Serial Number; a caller that gives none gets the next of its tunnel. */
  readonly serial?: number;
  /** Bits: 1 digital, 2 analog. */
  readonly bearer?: number;
  readonly physicalChannel?: number;
  readonly called?: string;
  readonly calling?: string;
  readonly subAddress?: string;
  /** OCRQ only: bits per second, and the framing that is asked for. */
  readonly minimumBps?: number;
  readonly maximumBps?: number;
  readonly callFraming?: number;
}

/** Of ICCN and OCCN. */
export interface ConnectAttributes {
  /** Bits per second, towards the subscriber and (absent: the same) from it. */
  readonly txSpeed?: number;
  readonly rxSpeed?: number;
  /** Bits: 1 synchronous, 2 asynchronous. Default 1. */
  readonly framing?: number;
  readonly sequencingRequired?: boolean;
  readonly privateGroup?: Uint8Array;
  /** Proxy LCP (ICCN): options of the three CONFREQs, without code, identifier and length. */
  readonly initialLcp?: Uint8Array;
  readonly lastSentLcp?: Uint8Array;
  readonly lastReceivedLcp?: Uint8Array;
  /** Proxy authentication (ICCN): 1 text, 2 CHAP, 3 PAP, 4 none, 5 MS-CHAPv1. */
  readonly authType?: number;
  readonly authName?: string;
  readonly authChallenge?: Uint8Array;
  readonly authId?: number;
  readonly authResponse?: Uint8Array;
}

/** All that was said of a call, by either end. */
export interface SessionAttributes extends CallAttributes, ConnectAttributes {
  /** AVPs of vendors, in the order in which they came. */
  readonly vendorAvps?: readonly Avp[];
}
