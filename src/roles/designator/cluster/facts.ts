/**
 * What all designators of a cluster must have alike, so that one can go on with another's tunnels. Who differs is refused,
 * and these names and values are what the refusal says (Introductions).
 */
import type { Facts } from '../../../cluster/introductions.js';
import type { CompiledConfig } from '../../../config/compiled.js';
import { formatEndpoint } from '../../../wire/address.js';

export function clusterFacts({ vips }: Pick<CompiledConfig, 'vips'>): Facts {
  const facts = new Map<string, string>();
  for (const vip of vips) {
    const answers = vip.reply ?? 'vip';
    const extras = [
      ...(vip.serverPort === 'hide' ? ['hides ports'] : []),
      ...(vip.natAddress === null || vip.natAddress === undefined ? [] : [vip.natAddress.address]),
    ];
    facts.set(
      `vip ${vip.name}`,
      [formatEndpoint(...vip.words, vip.port), vip.protocols.join(','), answers, ...extras].join(' '),
    );
    for (const server of vip.servers)
      facts.set(`server ${server.name}`, `${formatEndpoint(...server.words, server.port)} of ${vip.name}`);
  }
  return facts;
}
