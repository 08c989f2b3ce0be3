/** Whose configuration a file is, by the keys that only one role has. */

export type ConfigRole = 'designator' | 'lns' | 'lac' | 'agent' | 'gateway';

/** The first that has one of its keys; a file with none is a designator's, or nobody's. */
const SIGNS: readonly (readonly [role: ConfigRole, keys: readonly string[]])[] = [
  ['designator', ['vips', 'interfaces']],
  ['lns', ['pools', 'users', 'tun']],
  ['lac', ['access', 'lns', 'choose']],
  ['agent', ['designators', 'source']],
  ['gateway', ['groups']],
];

/** `data`: the file's content as it is written. */
export function roleOf(data: unknown): ConfigRole {
  if (typeof data !== 'object' || data === null) return 'designator';
  return SIGNS.find(([, keys]) => keys.some((key) => Object.hasOwn(data, key)))?.[0] ?? 'designator';
}

/** Where the commands find a process whose file names no control socket; null: it has none. */
export const DEFAULT_SOCKETS: Readonly<Record<ConfigRole, string | null>> = {
  designator: '/run/designator/control.sock',
  lns: '/run/designator/lns.sock',
  lac: '/run/designator/lac.sock',
  agent: null,
  gateway: '/run/designator/gateway.sock',
};
