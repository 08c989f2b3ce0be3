/** The section `cluster`: checked, and in the form that the bus is opened with. */
import type { z } from 'zod';
import type { ConfigProblem, Secret } from './compiled.js';
import { type designatorCluster, type endpointCluster, parseServer } from './cluster-schema.js';
import type { ConfigSource, Path } from './source.js';
import { parseHost } from './values.js';

export type ClusterInput = z.output<typeof endpointCluster>;
export type DesignatorClusterInput = z.output<typeof designatorCluster>;

export interface BusPeer {
  readonly number: number;
  readonly address: string;
  readonly port: number;
}

export type BusConfig =
  | { readonly driver: 'local'; readonly folder: string; readonly secret: null }
  | {
      readonly driver: 'udp';
      readonly address: string;
      readonly port: number;
      readonly peers: readonly BusPeer[];
      readonly secret: Secret;
    }
  | {
      readonly driver: 'nats';
      /** `host:port` */
      readonly servers: readonly string[];
      readonly user: string | null;
      readonly password: Secret | null;
      readonly token: string | null;
      /** null: no TLS, unless the server asks for it. */
      readonly tls: {
        readonly ca: string | null;
        readonly certificate: string | null;
        readonly key: string | null;
      } | null;
      readonly replicas: 1 | 3;
      readonly secret: Secret | null;
    };

export interface ClusterMemberConfig {
  readonly name: string;
  readonly number: number;
  /** null: the host's. */
  readonly member: string | null;
  readonly bus: BusConfig;
}

export interface ClusterConfig extends ClusterMemberConfig {
  readonly share: { readonly tunnels: boolean; readonly rate: number };
}

/** With NATS a name is part of subjects and buckets. */
const NATS_NAME = /^[A-Za-z0-9_-]{1,64}$/;
const COMMON = ['driver', 'secret', 'secretFile'];
/** Keys that say something to a driver; all others would have no effect. */
const KEYS: Readonly<Record<BusConfig['driver'], readonly string[]>> = {
  local: ['driver', 'folder'],
  udp: [...COMMON, 'address', 'port', 'peers'],
  nats: [...COMMON, 'servers', 'user', 'password', 'passwordFile', 'token', 'tls', 'replicas'],
};

/** The file's shape is right. `written`: the section as it stands in the file, without defaults. */
export function checkCluster(source: ConfigSource, input: ClusterInput, at: Path = ['cluster']): ConfigProblem[] {
  if (input === undefined) return [];
  const problems: ConfigProblem[] = [];
  const say = (severity: ConfigProblem['severity'], path: Path, message: string): void =>
    void problems.push(source.problem(severity, [...at, ...path], message));
  const { bus, number } = input;
  const { driver } = bus;
  const written = writtenAt(source.data, [...at, 'bus']);
  for (const key of Object.keys(written))
    if (!KEYS[driver].includes(key)) say('error', ['bus', key], `it has no meaning with the driver ${driver}`);
  if (bus.secret !== undefined && bus.secretFile !== undefined)
    say('error', ['bus', 'secretFile'], 'secret and secretFile: one of them');
  if (driver === 'udp') checkUdp(input, say);
  if (driver !== 'nats') return problems;
  if (!NATS_NAME.test(input.name))
    say('error', ['name'], 'with the driver nats it has only letters, digits, - and _, at most 64');
  if (bus.servers === undefined) say('error', ['bus'], 'with the driver nats it needs servers');
  if (bus.password !== undefined && bus.passwordFile !== undefined)
    say('error', ['bus', 'passwordFile'], 'password and passwordFile: one of them');
  const hasPassword = bus.password !== undefined || bus.passwordFile !== undefined;
  if ((bus.user === undefined) !== !hasPassword)
    say('error', ['bus', bus.user === undefined ? 'password' : 'user'], 'user and password belong together');
  if (bus.token !== undefined && bus.user !== undefined)
    say('error', ['bus', 'token'], 'a token stands for user and password: one of them');
  const { certificate, key } = bus.tls ?? {};
  if ((certificate === undefined) !== (key === undefined))
    say('error', ['bus', 'tls'], 'certificate and key belong together');
  if (bus.user === undefined && bus.token === undefined && certificate === undefined)
    say(
      'warning',
      ['bus'],
      `member ${number} tells NATS neither user nor token nor certificate: anybody there can speak`,
    );
  return problems;
}

function checkUdp(
  { number, bus }: NonNullable<ClusterInput>,
  say: (severity: ConfigProblem['severity'], path: Path, message: string) => void,
): void {
  if (bus.secret === undefined && bus.secretFile === undefined)
    say('error', ['bus'], 'with the driver udp it needs secret or secretFile');
  if (bus.address === undefined) say('error', ['bus'], 'with the driver udp it needs address');
  if (bus.peers === undefined) return say('error', ['bus'], 'with the driver udp it needs peers');
  const numbers = new Set<number>();
  const places = new Set<string>();
  bus.peers.forEach((peer, index) => {
    const path: Path = ['bus', 'peers', index];
    const place = `${hostOf(peer.address)} port ${peer.port ?? bus.port}`;
    if (numbers.has(peer.number)) say('error', [...path, 'number'], `number ${peer.number} is there twice`);
    if (places.has(place)) say('error', [...path, 'address'], `${place} is there twice`);
    if (peer.address.includes(':') !== bus.address?.includes(':') && bus.address !== undefined)
      say('error', [...path, 'address'], `it is not of the family of bus.address ${bus.address}`);
    numbers.add(peer.number);
    places.add(place);
  });
  // One list for all members is easier to keep, so its own line is no error; it is not sent to.
  if (bus.peers.every((peer) => peer.number === number))
    say('warning', ['bus', 'peers'], 'no other member is named: nobody will be told anything');
}

/** `input` has passed the schema and `checkCluster`. */
export function compileMember(input: NonNullable<ClusterInput>): ClusterMemberConfig {
  const { name, number, member = null } = input;
  return { name, number, member, bus: compileBus(input) };
}

export function compileCluster(input: DesignatorClusterInput): ClusterConfig | null {
  if (input === undefined) return null;
  return { ...compileMember(input), share: { ...input.share } };
}

function compileBus({ name, number, bus }: NonNullable<ClusterInput>): BusConfig {
  const secret = secretOf(bus.secret, bus.secretFile);
  switch (bus.driver) {
    case 'local':
      return { driver: 'local', folder: bus.folder ?? `/run/designator/cluster-${name}`, secret: null };
    case 'udp':
      return {
        driver: 'udp',
        address: hostOf(bus.address as string),
        port: bus.port,
        peers: (bus.peers ?? [])
          .filter((peer) => peer.number !== number)
          .map((peer) => ({ number: peer.number, address: hostOf(peer.address), port: peer.port ?? bus.port })),
        secret: secret as Secret,
      };
    case 'nats':
      return {
        driver: 'nats',
        servers: (bus.servers ?? []).map((server) => (parseServer(server) as { value: string }).value),
        user: bus.user ?? null,
        password: secretOf(bus.password, bus.passwordFile),
        token: bus.token ?? null,
        tls:
          bus.tls === undefined
            ? null
            : { ca: bus.tls.ca ?? null, certificate: bus.tls.certificate ?? null, key: bus.tls.key ?? null },
        replicas: bus.replicas,
        secret,
      };
  }
}

function secretOf(text: string | undefined, file: string | undefined): Secret | null {
  if (text !== undefined) return { text };
  return file === undefined ? null : { file };
}

function hostOf(written: string): string {
  const parsed = parseHost(written);
  return 'value' in parsed ? parsed.value : written;
}

function writtenAt(data: unknown, path: Path): object {
  let found: unknown = data;
  for (const key of path) found = (found as Record<string | number, unknown> | null | undefined)?.[key];
  return typeof found === 'object' && found !== null ? found : {};
}
