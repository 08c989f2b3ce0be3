/** What the host's drop filter has to know: the configuration, and servers that it no longer names but tunnels use. */
import type { CompiledConfig } from '../../config/compiled.js';
import type { FilterInput } from '../../io/host-filter.js';
import type { Binding } from './binding.js';

const familyOf = (address: string): 4 | 6 => (address.includes(':') ? 6 : 4);

/** `floating`: address index << 16 | port. */
export function filterInput(config: CompiledConfig, binding: Binding, floating: Iterable<number>): FilterInput {
  const addressOf = new Map(binding.servers.map((server) => [server.address, server.text]));
  return {
    outside: config.outside,
    inside: config.inside,
    vips: binding.vips.map((vip) => ({ address: vip.text, family: familyOf(vip.text), port: vip.port, name: vip.name })),
    servers: binding.servers.map((server) => ({ address: server.text, family: familyOf(server.text), port: server.port })),
    denyByDefault: config.firewall.default === 'deny',
    rules: config.firewall.rules,
    floating: [...floating].flatMap((place) => {
      const address = addressOf.get(place >>> 16);
      return address === undefined ? [] : [{ address, port: place & 0xffff }];
    }),
  };
}
