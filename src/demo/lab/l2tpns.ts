/** l2tpns, an L2TP server in user space (it needs /dev/net/tun), and the RADIUS server that it asks for users. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Daemon } from './daemon.js';
import { FreeRadius } from './freeradius.js';
import type { Lab } from './lab.js';
import type { Namespace } from './namespace.js';
import { waitFor } from './wait.js';

const RADIUS_SECRET = 'rsecret';

export interface L2tpnsOptions {
  /** Address that it listens on. */
  readonly address: string;
  /** Clients get addresses from `<pool>.128/25`; this end is `<pool>.1`. */
  readonly pool: string;
  /** Where clients' addresses come from, if not there. */
  readonly network?: string;
  /** How much it logs, 0 … 5; 3 by default. */
  readonly debug?: number;
  /** Where it speaks to a cluster; eth0 by default. */
  readonly clusterInterface?: string;
  /** Of tunnels (Challenge); none when absent. */
  readonly secret?: string;
  /** Name and password of the one user. */
  readonly user?: readonly [string, string];
  /** More of them: it lets a name in once only. */
  readonly moreUsers?: readonly (readonly [string, string])[];
  /** Instances on one network with the same address here would form a cluster. */
  readonly clusterAddress: string;
}

export class L2tpns {
  readonly daemon: Daemon;

  constructor(
    lab: Lab,
    readonly namespace: Namespace,
    label: string,
    readonly options: L2tpnsOptions,
  ) {
    const { address, pool, secret, user = ['alice', 's3cret'], moreUsers = [], clusterAddress } = options;
    const { network = `${pool}.128/25`, debug = 3, clusterInterface = 'eth0' } = options;
    const folder = join(lab.folder, label);
    const etc = join(folder, 'etc');
    mkdirSync(etc, { recursive: true });
    const users = [user, ...moreUsers].map(([name, password]) => ({ name, password }));
    new FreeRadius(lab, namespace, `${label}-radius`, { secret: RADIUS_SECRET, users });
    writeFileSync(
      join(etc, 'ip_pool'),
      `${network}
`,
    );
    writeFileSync(join(etc, 'users'), '');
    const lines = [
      `set debug ${debug}`,
      `set pid_file "${join(folder, 'pid')}"`,
      `set log_file "${join(folder, 'log')}"`,
      ...(secret === undefined ? [] : [`set l2tp_secret "${secret}"`]),
      'set primary_dns 10.0.0.1',
      'set primary_radius 127.0.0.1',
      `set radius_secret "${RADIUS_SECRET}"`,
      'set radius_authtypes "chap,pap"',
      'set allow_duplicate_users yes',
      `set bind_address ${address}`,
      'set cli_bind_address 127.0.0.1',
      `set peer_address ${pool}.1`,
      `set cluster_address ${clusterAddress}`,
      `set cluster_interface ${clusterInterface}`,
      'set cluster_hb_interval 2',
      'set cluster_hb_timeout 10',
    ];
    writeFileSync(join(etc, 'startup-config'), `${lines.join('\n')}\n`);
    // It reads some of its files at a fixed place.
    this.daemon = namespace.start(label, 'l2tpns', ['-c', '/etc/l2tpns/startup-config'], {
      binds: [[etc, '/etc/l2tpns']],
    });
  }

  /** Resolves when its interface has the address. */
  async ready(): Promise<void> {
    const hasAddress = async (): Promise<boolean> =>
      (await this.namespace.tryRun('ip', ['-br', 'addr', 'show', 'tun0'])).stdout.includes(this.options.address);
    await waitFor(`${this.daemon.label} to be up`, hasAddress, 20_000, () => this.daemon.tail());
  }
}
