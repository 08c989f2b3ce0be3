/** How this LNS deals with other ends: the first rule of `tunnels.peers` that fits, or the common settings. */
import type { Prefix } from '../../config/compiled.js';
import type { LnsConfig, LnsPeerRule, ProxyTrust } from '../../config/lns.js';
import { Glob } from '../../flow/glob.js';
import type { Peer } from '../../protocol/l2tp/peer.js';
import type { TunnelProfile } from '../../protocol/l2tp/profile.js';
import { parseAddress } from '../../wire/address.js';
import { tunnelSecretOf } from '../secret.js';

/** A tunnel that takes longer to stand, or a call, is given up: three repetitions and a bit. */
const SETUP_SECONDS = 30;
/** Control messages that may wait for one peer: set-ups of a thousand calls at a time fit. */
const QUEUE_LIMIT = 4096;

export interface PeerSettings {
  readonly profile: TunnelProfile;
  readonly proxy: ProxyTrust;
}

interface Rule {
  readonly from: readonly Prefix[];
  readonly names: readonly Glob[];
  /** null: refused. */
  readonly settings: PeerSettings | null;
}

export class Profiles {
  readonly #rules: readonly Rule[];
  readonly #common: PeerSettings | null;
  /** Whatever the rules say: for the LNSs of a pair, which dial each other. */
  readonly #base: TunnelProfile;

  /** Errors: TD_CONFIG a secret's file cannot be read. */
  constructor(config: LnsConfig) {
    const { tunnels, ppp } = config;
    const { hello, firstWait, longestWait, tries, window } = tunnels.timers;
    this.#base = {
      window,
      helloInterval: hello,
      reliable: { firstWait, longestWait, tries, queueLimit: QUEUE_LIMIT },
      setupTimeout: SETUP_SECONDS,
      sessionLimit: tunnels.sessions,
    };
    const secret = tunnels.secret === null ? null : tunnelSecretOf(tunnels.secret);
    this.#common = tunnels.refuseOthers ? null : { profile: { ...this.#base, secret }, proxy: ppp.proxy };
    this.#rules = tunnels.peers.map((rule) => this.#compile(rule));
  }

  get base(): TunnelProfile {
    return this.#base;
  }

  /** null: such a peer is not authorised. */
  of(peer: Peer, hostName: string | null): PeerSettings | null {
    const rule = this.#rules.find(({ from, names }) => isFrom(from, peer.address) && isNamed(names, hostName));
    return rule === undefined ? this.#common : rule.settings;
  }

  #compile({ from, hostName, allow, secret, hide, proxy }: LnsPeerRule): Rule {
    const profile: TunnelProfile = {
      ...this.#base,
      secret: secret === null ? null : tunnelSecretOf(secret),
      hide: hide ? 'private' : 'none',
    };
    return {
      from,
      names: hostName.map((pattern) => new Glob(pattern)),
      settings: allow ? { profile, proxy } : null,
    };
  }
}

/** True where one of the prefixes has the address, or there are none. */
export function isFrom(prefixes: readonly Prefix[], address: string): boolean {
  if (prefixes.length === 0) return true;
  const words = parseAddress(address);
  if (words === null) return false;
  return prefixes.some(({ words: wanted, length }) =>
    wanted.every((word, i) => {
      const bits = Math.min(32, Math.max(0, length - i * 32));
      return bits === 0 || (word ^ words[i]) >>> (32 - bits) === 0;
    }),
  );
}

function isNamed(patterns: readonly Glob[], hostName: string | null): boolean {
  if (patterns.length === 0) return true;
  if (hostName === null) return false;
  const bytes = Buffer.from(hostName, 'utf8');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return patterns.some((pattern) => pattern.matches(view, 0, bytes.length));
}
