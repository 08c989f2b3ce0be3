/** The section `advertise` of a gateway group: what its router advertisements say (RFC 4861 §6.2.1, RFC 8106). */
import { z } from 'zod';
import type { AddressWords, Prefix } from './compiled.js';
import { seconds, valid } from './endpoint-parts.js';
import { duration, text } from './schema-parts.js';
import { familyOf, parsePrefix, parseUnicast } from './values.js';

const DAY = 86_400;

const prefix6 = text((written) => {
  const parsed = parsePrefix(written);
  return 'value' in parsed && parsed.value.family !== 6 ? { error: `${written} is no IPv6 prefix` } : parsed;
});
const address6 = text((written) => {
  const parsed = parseUnicast(written);
  return 'value' in parsed && familyOf(parsed.value) !== 6 ? { error: `${written} is no IPv6 address` } : parsed;
});

export const advertise = z
  .strictObject({
    prefixes: z
      .array(
        z.strictObject({
          prefix: prefix6.describe('Prefix of the segment.'),
          onLink: z.boolean().default(true).describe('Hosts reach its addresses directly.'),
          autonomous: z.boolean().default(true).describe('Hosts make addresses of it.'),
          valid: duration(0, 365 * DAY)
            .default('720h')
            .describe('Lifetime of such addresses.'),
          preferred: duration(0, 365 * DAY)
            .default('168h')
            .describe('How long they are used for new connections.'),
        }),
      )
      .max(16)
      .default([])
      .describe('Prefixes of the segment.'),
    interval: duration(3, 1800).default('60s').describe('Longest time between two advertisements.'),
    lifetime: duration(0, 9000).default('30m').describe('How long a host uses the gateway after one; 0s: not.'),
    routes: z
      .array(prefix6)
      .max(16)
      .default([])
      .describe('Networks that the gateway leads to (RFC 4191), besides being the default router for `lifetime`.'),
    managed: z.boolean().default(false).describe('Addresses are had by DHCPv6.'),
    other: z.boolean().default(false).describe('Other settings are had by DHCPv6.'),
    mtu: z.int().min(1280).max(65_535).optional().describe('MTU of the segment.'),
    dns: z.array(address6).max(8).default([]).describe('Name servers.'),
  })
  .describe('Router advertisements, from the shared link-local address; none when absent.');

export interface AdvertiseConfig {
  readonly prefixes: readonly {
    readonly prefix: Prefix;
    readonly onLink: boolean;
    readonly autonomous: boolean;
    readonly validSeconds: number;
    readonly preferredSeconds: number;
  }[];
  readonly intervalSeconds: number;
  readonly lifetimeSeconds: number;
  readonly routes: readonly Prefix[];
  readonly managed: boolean;
  readonly other: boolean;
  readonly mtu: number | null;
  readonly dns: readonly AddressWords[];
}

/** `input` has passed the schema. */
export function compileAdvertise(input: z.output<typeof advertise>): AdvertiseConfig {
  return {
    prefixes: input.prefixes.map(({ prefix, onLink, autonomous, valid: lasting, preferred }) => ({
      prefix: valid(parsePrefix(prefix)),
      onLink,
      autonomous,
      validSeconds: seconds(lasting),
      preferredSeconds: seconds(preferred),
    })),
    intervalSeconds: seconds(input.interval),
    lifetimeSeconds: seconds(input.lifetime),
    routes: input.routes.map((text) => valid(parsePrefix(text))),
    managed: input.managed,
    other: input.other,
    mtu: input.mtu ?? null,
    dns: input.dns.map((text) => valid(parseUnicast(text))),
  };
}
