/** How this end deals with one peer. What is absent has the default that TUNNEL_DEFAULTS names. */
import type { AvpInput } from '../../tunnels/l2tp/avp.js';
import { RELIABLE_DEFAULTS, type ReliableOptions } from './reliable-delivery.js';

/** Which AVPs go out hidden (RFC 2661 §4.3); needs a secret. `private`: numbers, names and answers of subscribers. */
export type Hiding = 'none' | 'private' | 'all';

export interface TunnelProfile {
  /** The tunnel secret, shared with the peer; null: none. Text is taken as UTF-8. */
  readonly secret?: string | Uint8Array | null;
  /** Challenge the peer and let nobody in who cannot answer. Default: true where there is a secret. */
  readonly authenticate?: boolean;
  readonly hide?: Hiding;
  /** Host Name that is told; default that of the endpoint. */
  readonly hostName?: string;
  /** Receive Window Size that is told, messages. */
  readonly window?: number;
  /** Seconds without anything from the peer until a Hello; 0: never. */
  readonly helloInterval?: number;
  /** Repetition of control messages; here up to 4,096 may wait to be sent. */
  readonly reliable?: ReliableOptions;
  /** Seconds that a tunnel or a call may take from its first message until it stands. */
  readonly setupTimeout?: number;
  /** Sessions in this tunnel at a time. */
  readonly sessionLimit?: number;
  /** Bits of Framing and Bearer Capabilities that are told: 1 synchronous or digital, 2 asynchronous or analog. */
  readonly framing?: number;
  readonly bearer?: number;
  /** Dialling: say that one tunnel between the two is enough (Tie Breaker AVP, RFC 2661 §4.4.3). */
  readonly tieBreaker?: boolean;
  /** Dialling: the far end is where the SCCRP came from, whatever was dialled. False: an SCCRP from elsewhere is dropped. */
  readonly follow?: boolean;
  /** Further AVPs of the SCCRQ or SCCRP: capabilities of vendors, Failover Capability. */
  readonly avps?: readonly AvpInput[];
}

export type FullTunnelProfile = Required<Omit<TunnelProfile, 'secret' | 'authenticate' | 'hostName' | 'reliable'>> & {
  readonly secret: Uint8Array | null;
  readonly authenticate: boolean;
  /** Empty: that of the endpoint. */
  readonly hostName: string;
  readonly reliable: Required<ReliableOptions>;
};

const BOTH = 3;
const QUEUE_LIMIT = 4096;
export const TUNNEL_DEFAULTS = {
  hide: 'none',
  hostName: '',
  window: 64,
  helloInterval: 60,
  setupTimeout: 60,
  sessionLimit: 65_535,
  framing: BOTH,
  bearer: BOTH,
  tieBreaker: true,
  follow: true,
} as const;

const encoder = new TextEncoder();
const NO_AVPS: readonly AvpInput[] = [];

const COMPLETED = new WeakMap<TunnelProfile, FullTunnelProfile>();

/** The profile with every default in it, one object for all tunnels of one profile. An empty secret is none. */
export function completeProfile(profile: TunnelProfile): FullTunnelProfile {
  const known = COMPLETED.get(profile);
  if (known !== undefined) return known;
  const full = complete(profile);
  COMPLETED.set(profile, full);
  return full;
}

function complete(profile: TunnelProfile): FullTunnelProfile {
  const { secret = null, authenticate } = profile;
  const bytes = typeof secret === 'string' ? encoder.encode(secret) : secret;
  const known = bytes === null || bytes.length === 0 ? null : bytes;
  return {
    ...TUNNEL_DEFAULTS,
    avps: NO_AVPS,
    ...given(profile),
    reliable: { ...RELIABLE_DEFAULTS, queueLimit: QUEUE_LIMIT, ...given(profile.reliable ?? {}) },
    secret: known,
    authenticate: known !== null && authenticate !== false,
  };
}

/** Without what is there and undefined: that is absent too. */
function given<T extends object>(object: T): T {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as T;
}
