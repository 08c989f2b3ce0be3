/** What an Access-Accept or Access-Reject says, in fields. Attributes that cannot be read are left out and counted. */
import type { RadiusAttribute, RadiusPacket } from '../../wire/radius.js';
import { ATTRIBUTE, MICROSOFT, MICROSOFT_ATTRIBUTE, TUNNEL_TYPE } from '../../wire/radius-attributes.js';
import {
  ipv4Of,
  ipv6Of,
  ipv6PrefixOf,
  numberOf,
  revealTunnelPassword,
  taggedNumber,
  taggedText,
  textOf,
} from '../../wire/radius-values.js';

/** Where a tunnel shall lead: the tunnel attributes of one tag (RFC 2868). */
export interface RadiusTunnel {
  readonly tag: number;
  /** TUNNEL_TYPE; null when the server named none. */
  readonly type: number | null;
  /** TUNNEL_MEDIUM. */
  readonly medium: number | null;
  /** The server's address or name, and ours. */
  readonly serverEndpoint: string | null;
  readonly clientEndpoint: string | null;
  readonly password: Uint8Array | null;
  /** Sessions with the same id to the same server share a tunnel (RFC 2868 §3.7). */
  readonly assignmentId: string | null;
  readonly privateGroup: string | null;
  /** Lower is better; null is least preferred (RFC 2868 §3.8 leaves it open). */
  readonly preference: number | null;
  /** Host names to be used in the tunnel's authentication (RFC 2868 §3.9, §3.10). */
  readonly clientAuthId: string | null;
  readonly serverAuthId: string | null;
}

export interface AccessReply {
  /** All attributes, in order; what follows is read from them. */
  readonly attributes: readonly RadiusAttribute[];
  /** Attributes that say nothing that can be: a wrong length, a password that does not open. */
  readonly unreadable: number;
  /** The subscriber's IPv4 address. `any`: we choose one; `client`: the subscriber may (RFC 2865 §5.8). */
  readonly address: string | 'any' | 'client' | null;
  readonly netmask: string | null;
  readonly pool: string | null;
  readonly routes: readonly string[];
  /** `2001:db8::/64` (RFC 3162 §2.3), and the interface id as eight bytes. */
  readonly ipv6Prefix: string | null;
  readonly ipv6Address: string | null;
  readonly ipv6Pool: string | null;
  readonly interfaceId: Uint8Array | null;
  readonly delegatedPrefix: string | null;
  readonly delegatedPool: string | null;
  readonly ipv6Routes: readonly string[];
  readonly dns: readonly string[];
  readonly ipv6Dns: readonly string[];
  readonly mtu: number | null;
  /** Seconds. */
  readonly sessionTimeout: number | null;
  readonly idleTimeout: number | null;
  readonly interimInterval: number | null;
  /** To be echoed in accounting. */
  readonly classes: readonly Uint8Array[];
  readonly filters: readonly string[];
  readonly message: string | null;
  readonly serviceType: number | null;
  /** The name that accounting shall use, when the server gave another. */
  readonly userName: string | null;
  /** Text of a CHAP Success or Failure (RFC 2759 §5, §6), without the byte before it. */
  readonly msChapSuccess: string | null;
  readonly msChapError: string | null;
  /** In order of preference; those whose Tunnel-Type is another protocol included. */
  readonly tunnels: readonly RadiusTunnel[];
}

interface TunnelDraft {
  type: number | null;
  medium: number | null;
  serverEndpoint: string | null;
  clientEndpoint: string | null;
  password: Uint8Array | null;
  assignmentId: string | null;
  privateGroup: string | null;
  preference: number | null;
  clientAuthId: string | null;
  serverAuthId: string | null;
}
type Text = { [K in keyof TunnelDraft]: TunnelDraft[K] extends string | null ? K : never }[keyof TunnelDraft];
type Numeric = { [K in keyof TunnelDraft]: TunnelDraft[K] extends number | null ? K : never }[keyof TunnelDraft];

const TUNNEL_TEXTS: Readonly<Record<number, Text>> = {
  [ATTRIBUTE.tunnelServerEndpoint]: 'serverEndpoint',
  [ATTRIBUTE.tunnelClientEndpoint]: 'clientEndpoint',
  [ATTRIBUTE.tunnelAssignmentId]: 'assignmentId',
  [ATTRIBUTE.tunnelPrivateGroupId]: 'privateGroup',
  [ATTRIBUTE.tunnelClientAuthId]: 'clientAuthId',
  [ATTRIBUTE.tunnelServerAuthId]: 'serverAuthId',
};
const TUNNEL_NUMBERS: Readonly<Record<number, Numeric>> = {
  [ATTRIBUTE.tunnelType]: 'type',
  [ATTRIBUTE.tunnelMediumType]: 'medium',
  [ATTRIBUTE.tunnelPreference]: 'preference',
};
const ANY_ADDRESS = '255.255.255.254';
const CLIENTS_ADDRESS = '255.255.255.255';

/** `requestAuthenticator` and `secret` open the tunnel passwords. */
export function readReply(packet: RadiusPacket, requestAuthenticator: Uint8Array, secret: Uint8Array): AccessReply {
  return new ReplyReader(packet.attributes, requestAuthenticator, secret).read();
}

class ReplyReader {
  #unreadable = 0;
  readonly #tunnels = new Map<number, TunnelDraft>();

  constructor(
    private readonly attributes: readonly RadiusAttribute[],
    private readonly requestAuthenticator: Uint8Array,
    private readonly secret: Uint8Array,
  ) {}

  read(): AccessReply {
    const text = (type: number): string | null => this.#first(type, textOf);
    const number = (type: number): number | null => this.#first(type, numberOf);
    const address = this.#first(ATTRIBUTE.framedIpAddress, ipv4Of);
    const messages = this.#all(ATTRIBUTE.replyMessage, textOf);
    const microsoft = (type: number): string | null =>
      this.#first(type, (value) => (value.length > 1 ? textOf(value.subarray(1)) : null), MICROSOFT);
    const dns = [MICROSOFT_ATTRIBUTE.primaryDnsServer, MICROSOFT_ATTRIBUTE.secondaryDnsServer].flatMap((type) =>
      this.#all(type, ipv4Of, MICROSOFT),
    );
    this.#readTunnels();
    return {
      attributes: this.attributes,
      address: address === ANY_ADDRESS ? 'any' : address === CLIENTS_ADDRESS ? 'client' : address,
      netmask: this.#first(ATTRIBUTE.framedIpNetmask, ipv4Of),
      pool: text(ATTRIBUTE.framedPool),
      routes: this.#all(ATTRIBUTE.framedRoute, textOf),
      ipv6Prefix: this.#first(ATTRIBUTE.framedIpv6Prefix, ipv6PrefixOf),
      ipv6Address: this.#first(ATTRIBUTE.framedIpv6Address, ipv6Of),
      ipv6Pool: text(ATTRIBUTE.framedIpv6Pool),
      interfaceId: this.#first(ATTRIBUTE.framedInterfaceId, (value) => (value.length === 8 ? value : null)),
      delegatedPrefix: this.#first(ATTRIBUTE.delegatedIpv6Prefix, ipv6PrefixOf),
      delegatedPool: text(ATTRIBUTE.delegatedIpv6PrefixPool),
      ipv6Routes: this.#all(ATTRIBUTE.framedIpv6Route, textOf),
      dns,
      ipv6Dns: this.#all(ATTRIBUTE.dnsServerIpv6Address, ipv6Of),
      mtu: number(ATTRIBUTE.framedMtu),
      sessionTimeout: number(ATTRIBUTE.sessionTimeout),
      idleTimeout: number(ATTRIBUTE.idleTimeout),
      interimInterval: number(ATTRIBUTE.acctInterimInterval),
      classes: this.#all(ATTRIBUTE.class, (value) => value),
      filters: this.#all(ATTRIBUTE.filterId, textOf),
      message: messages.length === 0 ? null : messages.join(''),
      serviceType: number(ATTRIBUTE.serviceType),
      userName: text(ATTRIBUTE.userName),
      msChapSuccess: microsoft(MICROSOFT_ATTRIBUTE.chap2Success),
      msChapError: microsoft(MICROSOFT_ATTRIBUTE.chapError),
      tunnels: this.#sortedTunnels(),
      unreadable: this.#unreadable,
    };
  }

  #first<T>(type: number, read: (value: Uint8Array) => T | null, vendor = 0): T | null {
    return this.#all(type, read, vendor)[0] ?? null;
  }

  #all<T>(type: number, read: (value: Uint8Array) => T | null, vendor = 0): T[] {
    const found: T[] = [];
    for (const attribute of this.attributes) {
      if (attribute.type !== type || attribute.vendor !== vendor) continue;
      const value = read(attribute.value);
      if (value === null) this.#unreadable++;
      else found.push(value);
    }
    return found;
  }

  #readTunnels(): void {
    for (const { type, vendor, value } of this.attributes) {
      if (vendor !== 0) continue;
      if (TUNNEL_TEXTS[type] !== undefined) {
        const { tag, text } = taggedText(value);
        this.#draft(tag)[TUNNEL_TEXTS[type]] = text;
      } else if (TUNNEL_NUMBERS[type] !== undefined) {
        const read = taggedNumber(value);
        if (read === null) this.#unreadable++;
        else this.#draft(read.tag)[TUNNEL_NUMBERS[type]] = read.number;
      } else if (type === ATTRIBUTE.tunnelPassword) {
        const read = revealTunnelPassword(value, this.requestAuthenticator, this.secret);
        if (read === null) this.#unreadable++;
        else this.#draft(read.tag).password = read.password;
      }
    }
  }

  #draft(tag: number): TunnelDraft {
    const known = this.#tunnels.get(tag);
    if (known !== undefined) return known;
    const draft: TunnelDraft = {
      type: null,
      medium: null,
      serverEndpoint: null,
      clientEndpoint: null,
      password: null,
      assignmentId: null,
      privateGroup: null,
      preference: null,
      clientAuthId: null,
      serverAuthId: null,
    };
    this.#tunnels.set(tag, draft);
    return draft;
  }

  /** Untagged attributes beside tagged ones that name no server of their own hold for every tag: servers send both. */
  #sortedTunnels(): RadiusTunnel[] {
    const common = this.#tunnels.get(0);
    const shared = common !== undefined && common.serverEndpoint === null && this.#tunnels.size > 1;
    const tunnels = [...this.#tunnels]
      .filter(([tag]) => tag !== 0 || !shared)
      .map(([tag, draft]) => ({ tag, ...(shared ? filled(draft, common) : draft) }));
    const order = ({ preference }: RadiusTunnel): number => preference ?? Number.POSITIVE_INFINITY;
    return tunnels.sort((a, b) => (order(a) === order(b) ? a.tag - b.tag : order(a) - order(b)));
  }
}

function filled(draft: TunnelDraft, common: TunnelDraft): TunnelDraft {
  return Object.fromEntries(
    Object.entries(draft).map(([key, value]) => [key, value ?? common[key as keyof TunnelDraft]]),
  ) as unknown as TunnelDraft;
}

/** Can our LAC dial it: L2TP, or no type at all, and an endpoint? */
export function isL2tpTunnel(tunnel: RadiusTunnel): tunnel is RadiusTunnel & { readonly serverEndpoint: string } {
  return (tunnel.type === null || tunnel.type === TUNNEL_TYPE.l2tp) && tunnel.serverEndpoint !== null;
}
