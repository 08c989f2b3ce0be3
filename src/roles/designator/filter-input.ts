/** What the host's filter has to know, out of the configuration and what it is bound to. */
import type { CompiledConfig } from '../../config/compiled.js';
import { ruleInputs } from '../../flow/rule-list.js';
import type { HostFilterInput } from '../../io/host-filter.js';
import type { Logger } from '../../ops/log.js';
import { DESCRIPTORS } from '../../tunnels/index.js';
import type { Binding } from './binding.js';

/**
 * VIPs and servers are the bound ones: those that the configuration no longer names are filtered until their last tunnel
 * has gone. `floatingPlaces`: address index << 16 | port, of tunnels whose server answers from another port.
 */
export function filterInput(
  config: CompiledConfig,
  binding: Binding,
  floatingPlaces: ReadonlySet<number>,
): HostFilterInput {
  const textOf = new Map(binding.servers.map((server) => [server.address, server.text]));
  return {
    outside: config.outside,
    inside: config.inside,
    vips: binding.vips.flatMap((vip) => [
      { address: vip.text, port: vip.port },
      ...(vip.natText === undefined ? [] : [{ address: vip.natText, port: vip.port }]),
    ]),
    locals: binding.vips.flatMap(({ localText }) => (localText === undefined ? [] : [localText])),
    // Answers that do not pass the tables may well pass the host.
    servers: binding.servers
      .filter(({ index }) => !binding.isOneWay(index))
      .map(({ text, port }) => ({ address: text, port })),
    floating: [...floatingPlaces].flatMap((place) => {
      const address = textOf.get(place >>> 16);
      return address === undefined ? [] : [{ address, port: place & 0xffff }];
    }),
    rules: ruleInputs(config.firewall.rules, config.vips, (protocol) => {
      const descriptor = DESCRIPTORS.get(protocol);
      return { ipProtocol: descriptor?.ipProtocol ?? 0, hasPorts: descriptor?.hasPorts ?? false };
    }),
    denyByDefault: config.firewall.default === 'deny',
  };
}

/** `error`: the table could not be written again; null: it is back. */
export function tellFilterLost(logger: Logger, error: Error | null): void {
  const lost = 'somebody removed the nftables table of the designator';
  if (error === null) logger.warn({}, `${lost}; it is back`);
  else logger.error({ err: error }, `${lost}, and it cannot be written`);
}
