/** Where a call may be taken to: an LNS of the configuration, or one that RADIUS named. */
import type { LacConfig, LacLnsConfig } from '../../config/lac.js';
import type { Secret } from '../../config/compiled.js';
import { formatWords, parseAddress } from '../../wire/address.js';

export interface LnsTarget {
  /** Of the configuration, or `address:port`. */
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly secret: Uint8Array | null;
  /** What the LNS is told, and must tell (null: anything). */
  readonly hostName: string;
  readonly serverName: string | null;
  readonly weight: number;
  readonly sessions: number;
  readonly follow: boolean;
  readonly hide: 'none' | 'private' | 'all';
  readonly sequencing: boolean;
  /** Calls with the same key may share a tunnel (RFC 2868 §3.7). */
  readonly key: string;
  /** Whom failures are remembered of, whatever the tunnel. */
  readonly place: string;
}

/** What RADIUS says of a tunnel (RFC 2868), as far as it matters here. */
export interface NamedTunnel {
  /** Tunnel-Type; null: not said. */
  readonly type: number | null;
  readonly serverEndpoint: string | null;
  readonly password: Uint8Array | null;
  readonly assignmentId: string | null;
  readonly preference: number | null;
  readonly clientAuthId: string | null;
  readonly serverAuthId: string | null;
}

/** Targets in order of priority; those in one list are alike. */
export type TargetOrder = readonly (readonly LnsTarget[])[];

const encoder = new TextEncoder();
const DEFAULT_PORT = 1701;
const RADIUS_L2TP = 3; // Tunnel-Type (RFC 2868 §3.1)
const LNS_DEFAULTS = { weight: 1, sessions: 65_535, follow: true, hide: 'none', sequencing: false } as const;

/** The LNSs of a configuration; `textOf` reads secrets. Errors: those of `textOf`. */
export class TargetBook {
  readonly byName: ReadonlyMap<string, LnsTarget>;
  readonly #byAddress: ReadonlyMap<string, LnsTarget>;
  readonly #hostName: string;

  constructor(config: LacConfig, textOf: (secret: Secret) => string) {
    const targets = config.lns.map((lns) =>
      target(lns, lns.secret === null ? null : encoder.encode(textOf(lns.secret))),
    );
    this.byName = new Map(targets.map((one) => [one.name, one]));
    // The first of an address speaks for it where RADIUS names only that.
    this.#byAddress = new Map([...targets].reverse().map((one) => [one.address, one]));
    this.#hostName = config.name;
  }

  /** The LNS of the configuration that has this address; null: none. */
  ofAddress(address: string): LnsTarget | null {
    return this.#byAddress.get(address) ?? null;
  }

  /**
   * Targets of an Access-Accept, grouped by preference (RFC 2868 §3.8). An endpoint is the name of an LNS of the
   * configuration or an address; an LNS of that address there gives what RADIUS does not say. `unusable` counts those of
   * other protocols and names that mean nothing here.
   */
  ofRadius(tunnels: readonly NamedTunnel[]): { order: TargetOrder; unusable: number } {
    const groups: { preference: number | null; targets: LnsTarget[] }[] = [];
    let unusable = 0;
    for (const tunnel of tunnels) {
      const found = tunnel.type === null || tunnel.type === RADIUS_L2TP ? this.#ofTunnel(tunnel) : null;
      if (found === null) {
        unusable++;
        continue;
      }
      const last = groups.at(-1);
      if (last !== undefined && last.preference === tunnel.preference) last.targets.push(found);
      else groups.push({ preference: tunnel.preference, targets: [found] });
    }
    return { order: groups.map(({ targets }) => targets), unusable };
  }

  #ofTunnel(tunnel: NamedTunnel): LnsTarget | null {
    const endpoint = tunnel.serverEndpoint?.trim() ?? '';
    const words = parseAddress(endpoint);
    const known = this.byName.get(endpoint) ?? (words === null ? undefined : this.#byAddress.get(formatWords(words)));
    if (known === undefined && words === null) return null;
    const address = known?.address ?? formatWords(words as NonNullable<typeof words>);
    const port = known?.port ?? DEFAULT_PORT;
    const password = tunnel.password === null || tunnel.password.length === 0 ? null : tunnel.password;
    const merged = {
      ...(known ?? LNS_DEFAULTS),
      name: known?.name ?? placeOf(address, port),
      address,
      port,
      secret: password ?? known?.secret ?? null,
      hostName: tunnel.clientAuthId ?? known?.hostName ?? this.#hostName,
      serverName: tunnel.serverAuthId ?? known?.serverName ?? null,
      place: placeOf(address, port),
    };
    return { ...merged, key: keyOfTunnel(merged, tunnel.assignmentId ?? '') };
  }
}

function target(lns: LacLnsConfig, secret: Uint8Array | null): LnsTarget {
  const place = placeOf(lns.address, lns.port);
  return { ...lns, secret, place, key: keyOfTunnel({ ...lns, secret, place }, '') };
}

/** The same LNS in tunnels that only this group's calls share. */
export function ofGroup(target: LnsTarget, group: string): LnsTarget {
  return { ...target, key: JSON.stringify([target.key, group]) };
}

function placeOf(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Two calls whose tunnels would be set up alike. The secret is part of it: another one is another party. */
function keyOfTunnel(
  one: { place: string; hostName: string; secret: Uint8Array | null; sequencing: boolean },
  assignment: string,
): string {
  const secret = one.secret === null ? '' : Buffer.from(one.secret).toString('base64');
  return JSON.stringify([one.place, one.hostName, assignment, secret]);
}
