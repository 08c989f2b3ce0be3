/** The programs of a lab and the Debian packages that hold them. */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { type Environment, labEnvironment } from './command.js';

/** Program → Debian package. */
export const PACKAGES = {
  ip: 'iproute2',
  nft: 'nftables',
  ethtool: 'ethtool',
  ping: 'iputils-ping',
  sysctl: 'procps',
  xl2tpd: 'xl2tpd',
  pppd: 'ppp',
  'slirp-fullbolt': 'slirp',
  'linux.uml': 'user-mode-linux',
  modprobe: 'kmod',
  l2tpns: 'l2tpns',
  freeradius: 'freeradius',
  tcpdump: 'tcpdump',
  tshark: 'tshark',
  clang: 'clang',
  setpriv: 'util-linux',
  arping: 'iputils-arping',
  ndisc6: 'ndisc6',
  rdisc6: 'ndisc6',
  keepalived: 'keepalived',
  ucarp: 'ucarp',
  'nats-server': 'nats-server',
  bird: 'bird2',
} as const;
export type Program = keyof typeof PACKAGES;

/** What every lab needs. */
export const BASE: readonly Program[] = ['ip', 'nft', 'ethtool', 'ping', 'sysctl'];
/** xl2tpd in user-space mode. */
export const USER_SPACE: readonly Program[] = ['xl2tpd', 'pppd', 'slirp-fullbolt'];
/** Guests with PPP in their kernel. */
export const GUESTS: readonly Program[] = ['linux.uml', 'modprobe', 'xl2tpd', 'pppd'];
export const RADIUS: readonly Program[] = ['freeradius'];
export const L2TPNS: readonly Program[] = ['l2tpns', ...RADIUS];

/** Debian packages whose programs are not here. */
export function missingPackages(env: Environment, programs: readonly Program[]): string[] {
  const folders = labEnvironment(env).PATH.split(':');
  const here = (program: string): boolean =>
    folders.some((folder) => {
      try {
        accessSync(join(folder, program), constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
  return [...new Set(programs.filter((program) => !here(program)).map((program) => PACKAGES[program]))];
}
