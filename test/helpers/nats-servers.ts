/** A cluster of NATS servers in namespaces of a lab, which may be killed one by one. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Daemon } from '../../src/demo/lab/daemon.js';
import type { Bridge, Lab } from '../../src/demo/lab/lab.js';
import type { Namespace } from '../../src/demo/lab/namespace.js';

const CLIENTS = 4222;
const ROUTES = 6222;
export const NATS_USER = { user: 'td', password: 'secret' } as const;

export class NatsServers {
  readonly daemons: (Daemon | null)[] = [];
  readonly #spaces: Namespace[] = [];

  private constructor(
    readonly lab: Lab,
    readonly addresses: readonly string[],
  ) {}

  /** Started at once; that they have found each other is for their clients to see. */
  static async start(lab: Lab, bridge: Bridge, addresses: readonly string[], prefix = ''): Promise<NatsServers> {
    const servers = new NatsServers(lab, addresses);
    for (const [index, address] of addresses.entries()) {
      const space = await lab.namespace(`${prefix}n${index + 1}`);
      await lab.plug(bridge, space, 'eth0', [`${address}/24`]);
      servers.#spaces.push(space);
      const store = join(lab.folder, `${prefix}nats${index + 1}`);
      mkdirSync(store);
      const routes = addresses.map((other) => `nats://${other}:${ROUTES}`).join(', ');
      writeFileSync(
        `${store}.conf`,
        `listen: ${address}:${CLIENTS}\nserver_name: n${index + 1}\n` +
          `jetstream { store_dir: "${store}", max_mem: 64M, max_file: 64M }\n` +
          `cluster { name: lab, listen: ${address}:${ROUTES}, routes: [${routes}] }\n` +
          `authorization { user: ${NATS_USER.user}, password: ${NATS_USER.password} }\n`,
      );
      servers.daemons.push(servers.#start(index, `${store}.conf`));
    }
    return servers;
  }

  /** As a configuration names them. */
  get servers(): string[] {
    return this.addresses.map((address) => `${address}:${CLIENTS}`);
  }

  #start(index: number, file: string): Daemon {
    return this.#spaces[index].start(`nats${index + 1}`, 'nats-server', ['-c', file]);
  }

  async kill(number: number): Promise<void> {
    await this.daemons[number - 1]?.kill();
  }
}
