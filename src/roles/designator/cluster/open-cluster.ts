/** A designator's place in its cluster: what the desk needs of it. */
import { HEADER } from '../../../flow/layout.js';
import type { MemberText } from '../../../wire/cluster-member.js';
import type { DesignatorOptions, DesignatorProcess } from '../designator.js';
import { ClusterDesk } from './cluster-desk.js';
import { clusterFacts } from './facts.js';
import { LoadRelay } from './load-relay.js';
import { ServerOrders } from './server-orders.js';

/** null: it is a member of none. */
export function openCluster(process: DesignatorProcess, options: DesignatorOptions): ClusterDesk | null {
  const config = options.config.cluster ?? null;
  if (config === null) return null;
  return new ClusterDesk({
    config,
    logger: options.logger.child({ part: 'cluster' }),
    events: process.events.log,
    facts: () => clusterFacts(process.config),
    describe: () => describe(process, options.version ?? null),
  });
}

/** What designators of a cluster tell one another besides connection state. */
export interface ClusterParts {
  readonly orders: ServerOrders;
  readonly relay: LoadRelay;
}

export function openParts(process: DesignatorProcess): ClusterParts | null {
  const desk = process.cluster;
  if (desk === null) return null;
  const { inactivation } = process;
  const duty = desk.duty('inactivation', (held) => {
    if (held) orders.retry();
  });
  inactivation.decides = () => duty.isHeld;
  const orders = new ServerOrders({
    desk,
    events: process.events.log,
    run: (command) => void process.commands.run(command),
    follow: (server, fact) => inactivation.follow(server, fact),
    decides: () => duty.isHeld,
  });
  inactivation.onFact = (server, fact) => orders.did(server, fact);
  return { orders, relay: new LoadRelay(desk, process.load) };
}

function describe(process: DesignatorProcess, version: string | null): Omit<MemberText, 'name'> {
  const { config, binding, designator, ability, table } = process;
  const { header } = table.memory;
  const state = process.state();
  const { cells } = designator;
  const serversUp = binding.servers.filter(({ index }) => cells.eligible(index)).length;
  return {
    role: 'designator',
    part: config.part ?? 'all',
    state,
    reason: state === 'unable' ? ability.trouble : null,
    version,
    address: config.cluster?.bus.driver === 'udp' ? config.cluster.bus.address : null,
    tunnels: header[HEADER.recordsUsed],
    sessions: header[HEADER.sessionsUsed],
    shards: process.shards,
    serversUp,
  };
}
