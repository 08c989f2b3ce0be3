/** What the parts of the RADIUS client tell each other and their user. Times are seconds, monotonic, the caller's. */
import type { AddressWords } from '../../wire/address.js';
import type { RadiusAttribute } from '../../wire/radius.js';
import type { TerminateCause } from '../../wire/radius-attributes.js';
import type { AccessReply } from './reply.js';

export type RadiusKind = 'authentication' | 'accounting';

export interface RadiusServerOptions {
  /** For logs, metrics and `show`. */
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly secret: Uint8Array;
}

export interface RadiusLimits {
  /** Local UDP sockets; each has 256 identifiers for each server. Default 16. */
  readonly sockets: number;
  /** Access requests that wait for an identifier. Default 4096. */
  readonly queue: number;
  /** Accounting records that wait for a server or for their answer. Default 50,000. */
  readonly records: number;
  /** Accounting requests that are under way at the same time. Default 1024. */
  readonly accountingFlights: number;
}

export interface RadiusClientOptions {
  /** In order of preference. None: every request ends with `no-answer` at once. */
  readonly authentication: readonly RadiusServerOptions[];
  /** None: accounting records are not kept. */
  readonly accounting: readonly RadiusServerOptions[];
  readonly nas: NasIdentity;
  /** Unpredictable bytes. */
  readonly random: (length: number) => Uint8Array;
  /** Seconds until the first repetition; doubled each time. Default 1. */
  readonly firstWait?: number;
  /** The longest wait between repetitions. Default 4. */
  readonly longestWait?: number;
  /** How often a request is sent to one server. Default 3. */
  readonly tries?: number;
  /** How long a server that does not answer is left out. Default 30. */
  readonly deadTime?: number;
  /** How long an accounting record is tried. Default 3600. */
  readonly recordLifetime?: number;
  /**
   * Answers to access requests without Message-Authenticator: `require` drops them, `auto` (the default) does once the same
   * server has sent one (draft-ietf-radext-deprecating-radius; a forged Access-Accept is possible without it).
   */
  readonly messageAuthenticator?: 'require' | 'auto' | 'ignore';
  /** Unix seconds at time 0 of the monotonic clock: Event-Timestamp of accounting records. Absent: not sent. */
  readonly epoch?: number;
  readonly limits?: Partial<RadiusLimits>;
}

/** Who asks: RFC 2865 §5.4, §5.32 want an address or an identifier. */
export interface NasIdentity {
  readonly identifier?: string;
  readonly address?: AddressWords;
}

/** What requests of one subscriber's session have in common. Absent fields are not sent. */
export interface RadiusSession {
  readonly userName?: string;
  /** Acct-Session-Id: unique over restarts. */
  readonly sessionId?: string;
  /** Acct-Multi-Session-Id: what ties sessions together, kept over a switchover. */
  readonly multiSessionId?: string;
  readonly nasPort?: number;
  readonly nasPortId?: string;
  /** PORT_TYPE of wire/radius-attributes. */
  readonly nasPortType?: number;
  readonly calledStationId?: string;
  readonly callingStationId?: string;
  readonly connectInfo?: string;
  readonly framedAddress?: AddressWords;
  /** More attributes, as they are. */
  readonly attributes?: readonly RadiusAttribute[];
}

/** What the user gave. `ms-chap-v2`: the 49 bytes of the CHAP value (RFC 2759 §4). `none`: a question about a number or realm. */
export type RadiusCredentials =
  | { readonly method: 'pap'; readonly password: Uint8Array }
  | { readonly method: 'chap-md5'; readonly id: number; readonly challenge: Uint8Array; readonly response: Uint8Array }
  | {
      readonly method: 'ms-chap-v2';
      readonly id: number;
      readonly challenge: Uint8Array;
      readonly response: Uint8Array;
    }
  | { readonly method: 'none'; readonly password?: Uint8Array };

export interface AccessRequest {
  readonly session: RadiusSession;
  readonly credentials: RadiusCredentials;
  /** SERVICE_TYPE of wire/radius-attributes. Default framed, with Framed-Protocol PPP. */
  readonly serviceType?: number;
}

/** Traffic of a session; in is what the subscriber sent. Bytes and packets may exceed 2^32. */
export interface SessionTraffic {
  readonly packetsIn: number;
  readonly packetsOut: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

export interface AccountingRecord {
  readonly status: 'start' | 'interim' | 'stop' | 'on' | 'off';
  readonly session: RadiusSession;
  /** Seconds that the session has lasted. */
  readonly seconds?: number;
  readonly traffic?: SessionTraffic;
  readonly cause?: TerminateCause;
  /** Class attributes of the Access-Accept, in order, byte by byte (RFC 2865 §5.25). */
  readonly classes?: readonly Uint8Array[];
  /** Who had said yes. Default radius. */
  readonly authentic?: 'radius' | 'local' | 'remote';
}

export interface RadiusDatagram {
  /** Index of the local UDP socket: to be opened when it is first named, on any port. */
  readonly socket: number;
  readonly address: string;
  readonly port: number;
  readonly bytes: Uint8Array;
}

export type RadiusEvent =
  | { readonly type: 'accepted'; readonly token: number; readonly server: string; readonly reply: AccessReply }
  | { readonly type: 'rejected'; readonly token: number; readonly server: string; readonly reply: AccessReply }
  /** No server answered, there was no room to ask one, or no packet can hold the request. */
  | {
      readonly type: 'no-answer';
      readonly token: number;
      readonly reason: 'timeout' | 'no-server' | 'busy' | 'unsendable';
    }
  | { readonly type: 'server'; readonly server: string; readonly kind: RadiusKind; readonly state: 'up' | 'down' }
  /** A record was given up: nobody took it within its lifetime, the queue was full, or no packet can hold it. */
  | {
      readonly type: 'record-lost';
      readonly record: AccountingRecord;
      readonly reason: 'lifetime' | 'queue-full' | 'unsendable';
    };
