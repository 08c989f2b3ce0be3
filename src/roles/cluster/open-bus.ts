/** The bus of a cluster, from its configuration, for every role that is a member. */
import type { ClusterBus } from '../../cluster/bus.js';
import type { NatsStore } from '../../cluster/drivers/nats-store.js';
import type { ClusterMemberConfig } from '../../config/cluster.js';
import { keyOf } from '../secret.js';

export interface OpenedBus {
  readonly bus: ClusterBus;
  /** JetStream's store, which only NATS has; null with other drivers. Errors: those of JetStream, later tries may do. */
  readonly store: (() => Promise<NatsStore>) | null;
}

const PASSWORD_LENGTH = { min: 1, max: 255 } as const;

/**
 * Does not wait for other members, nor for a NATS server. Errors: TD_CONFIG a secret that cannot be read; TD_CONFLICT an
 * address or a socket that cannot be had; TD_NO_PERMISSION the folder.
 */
export async function openBus({ name: cluster, number, bus }: ClusterMemberConfig): Promise<OpenedBus> {
  switch (bus.driver) {
    case 'local': {
      const { openLocalBus } = await import('../../cluster/drivers/local.js');
      return { bus: await openLocalBus({ cluster, number, folder: bus.folder }), store: null };
    }
    case 'udp': {
      const { openUdpBus } = await import('../../cluster/drivers/udp.js');
      const { address, port, peers, secret } = bus;
      return { bus: await openUdpBus({ cluster, number, key: keyOf(secret), address, port, peers }), store: null };
    }
    case 'nats': {
      const [{ openNatsBus }, { NatsStore: Store }] = await Promise.all([
        import('../../cluster/drivers/nats.js'),
        import('../../cluster/drivers/nats-store.js'),
      ]);
      const { servers, user, password, token, tls, secret, replicas } = bus;
      const opened = openNatsBus({
        cluster,
        number,
        key: secret === null ? null : keyOf(secret),
        servers,
        ...(user === null ? {} : { user }),
        ...(password === null ? {} : { password: Buffer.from(keyOf(password, PASSWORD_LENGTH)).toString('utf8') }),
        ...(token === null ? {} : { token }),
        ...(tls === null
          ? {}
          : {
              tls: {
                ...(tls.ca === null ? {} : { caFile: tls.ca }),
                ...(tls.certificate === null ? {} : { certFile: tls.certificate }),
                ...(tls.key === null ? {} : { keyFile: tls.key }),
              },
            }),
      });
      const store = async (): Promise<NatsStore> => Store.open(await opened.connection, { cluster, number, replicas });
      return { bus: opened, store };
    }
  }
}
