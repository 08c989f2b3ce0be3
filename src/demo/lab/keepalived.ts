/** keepalived (VRRP, RFC 9568) as one gateway of a LAN: a master with one virtual MAC, the others wait. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Daemon } from './daemon.js';
import { type LanGateway, SHARED } from './gateway-lan.js';
import type { Lab } from './lab.js';

export interface KeepalivedOptions {
  /** Seconds between adverts: the program's own default is 1; less than 1 needs VRRP version 3. */
  readonly interval: number;
  readonly name: string;
}

/** Gateway 1 has the highest priority. */
export function startKeepalived(lab: Lab, { namespace, number }: LanGateway, options: KeepalivedOptions): Daemon {
  const { interval, name } = options;
  const folder = join(lab.folder, `${name}-${number}`);
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'keepalived.conf');
  writeFileSync(
    file,
    `global_defs {
 router_id g${number}
 vrrp_version ${interval < 1 ? 3 : 2}
 vrrp_garp_master_delay 1
}
vrrp_instance lan {
 state BACKUP
 interface eth0
 use_vmac vr7
 vmac_xmit_base
 virtual_router_id 7
 priority ${210 - number * 10}
 advert_int ${interval}
 virtual_ipaddress {
  ${SHARED}/16
 }
}
`,
  );
  // It keeps files below /run whose names do not tell instances apart.
  const run = 'mount -t tmpfs tmpfs /run && exec keepalived -n -l -P -f "$1" -p "$2/pid" -r "$2/vrrp-pid"';
  return namespace.start(`${name}-${number}`, 'unshare', ['-m', 'sh', '-c', run, 'sh', file, folder]);
}
