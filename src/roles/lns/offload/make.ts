/** Makes the part of an LNS that shares state with a peer, from its configuration. */
import type { Logger } from '../../../ops/log.js';
import { NetworkTakeOver } from '../../take-over/network-take-over.js';
import { tunnelSecretOf } from '../../secret.js';
import type { LnsOffload } from '../offload-face.js';
import type { LnsOffloadHost } from '../offload-host.js';
import { LnsOffloadDesk } from './desk.js';

/** Null: the LNS has no peer. Errors: TD_CONFIG a secret cannot be read. */
export function makeOffload(host: LnsOffloadHost, logger: Logger): LnsOffload | null {
  const { config, random, events } = host.lns;
  if (config.offload === null) return null;
  const { secret, peer } = config.offload;
  // The first socket of the peer's family is that which it knows this LNS by.
  const isIpv6 = peer.host.includes(':');
  const listening = config.listen.findIndex(({ host: address }) => address.includes(':') === isIpv6);
  return new LnsOffloadDesk(host, {
    settings: config.offload,
    secret: secret === null ? null : Buffer.from(tunnelSecretOf(secret), 'utf8'),
    network: config.takeOver === null ? null : new NetworkTakeOver(config.takeOver, logger),
    logger,
    events,
    random,
    socket: Math.max(0, listening),
  });
}
