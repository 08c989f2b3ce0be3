/** The shape of the section `firewall`: rules, what they match, and limits of tunnel requests. */
import { z } from 'zod';
import { COUNT_MAX, duration, listOf, rate, section, text } from './schema-parts.js';
import {
  parseChannels,
  parsePattern,
  parsePrefix,
  parseProtocolVersion,
  parseRuleProtocol,
  type Parsed,
} from './values.js';

const RULE_LIMIT = 1024;

/** A value that a parser of `values.ts` accepts, whatever its kind. */
function accepts<V>(parse: (value: V) => Parsed<unknown>) {
  return (value: V, context: z.RefinementCtx): void => {
    const result = parse(value);
    if ('error' in result) context.addIssue({ code: 'custom', message: result.error, input: value });
  };
}

const match = z
  .strictObject({
    from: listOf(text(parsePrefix)).optional().describe('Source prefix or address.'),
    to: listOf(text(parsePrefix)).optional().describe('Destination prefix or address.'),
    vip: listOf(z.string())
      .optional()
      .describe('Name of a VIP: packets to its address; of its tunnel protocol, to its port.'),
    protocol: listOf(
      z.union([z.string(), z.int()]).superRefine((value, context) => {
        const result = parseRuleProtocol(value);
        if ('error' in result) context.addIssue({ code: 'custom', message: result.error, input: value });
      }),
    )
      .optional()
      .describe('A tunnel protocol (traffic to its VIPs), or an IP protocol by name or number.'),
    hostName: listOf(text(parsePattern))
      .optional()
      .describe(
        'Tunnel requests by the host name that the client gives: `*` is any run of characters, `?` one, `\\` takes their meaning; ASCII letters in either case. This and the keys that follow make a rule for tunnel requests only.',
      ),
    vendorName: listOf(text(parsePattern))
      .optional()
      .describe('Tunnel requests by the vendor name, written likewise; absent is empty.'),
    protocolVersion: listOf(z.union([z.string(), z.number()]).superRefine(accepts(parseProtocolVersion)))
      .optional()
      .describe('Tunnel requests by the protocol version that the client speaks: `"1.0"`.'),
    framing: listOf(z.enum(['synchronous', 'asynchronous', 'none']))
      .optional()
      .describe('Tunnel requests by the kinds of framing that the client can do: any of these.'),
    bearer: listOf(z.enum(['digital', 'analog', 'none']))
      .optional()
      .describe('Tunnel requests by the kinds of bearer that the client can do; absent is none.'),
    clientTunnelId: listOf(z.union([z.int(), z.string()]).superRefine(accepts(parseChannels)))
      .optional()
      .describe('Tunnel requests by the tunnel id that the client assigned: a number, or a range as `1-99`.'),
  })
  .describe('What a packet must match: all of what is written, any value of a list. Empty matches every packet.');

const rule = z
  .strictObject({
    allow: match.optional().describe('Packets to let through.'),
    deny: match.optional().describe('Packets to drop.'),
    limit: match
      .optional()
      .describe('Tunnel requests to let through at the rates that stand beside it, and to drop beyond.'),
    rate: rate.optional().describe('With `limit`: tunnel requests of all that the rule matches, as `N/s`.'),
    burst: z
      .int()
      .min(1)
      .max(COUNT_MAX)
      .optional()
      .describe('With `rate`: how many of them may come at once; one second’s worth when absent.'),
    perSource: rate.optional().describe('With `limit`: tunnel requests of each source, as `N/s`.'),
    perSourceBurst: z
      .int()
      .min(1)
      .max(COUNT_MAX)
      .optional()
      .describe('With `perSource`: how many of them may come at once; one second’s worth when absent.'),
    name: z.string().min(1).max(100).optional().describe('For messages, counters and metrics.'),
  })
  .superRefine((value, context) => {
    const say = (message: string): void => context.addIssue({ code: 'custom', message, input: value });
    const actions = [value.allow, value.deny, value.limit].filter((action) => action !== undefined).length;
    if (actions !== 1) say(`a rule ${actions === 0 ? 'needs' : 'has only one of'} allow, deny or limit`);
    if (value.limit === undefined) {
      const stray = (['rate', 'burst', 'perSource', 'perSourceBurst'] as const).find((key) => value[key] !== undefined);
      if (stray !== undefined) say(`${stray} belongs to a rule with limit`);
      return;
    }
    if (value.rate === undefined && value.perSource === undefined) say('a rule with limit needs rate or perSource');
    if (value.burst !== undefined && value.rate === undefined) say('burst means nothing without rate');
    if (value.perSourceBurst !== undefined && value.perSource === undefined)
      say('perSourceBurst means nothing without perSource');
  })
  .describe('One rule.');

const tunnelRequestRate = z
  .strictObject({
    perSource: rate
      .optional()
      .describe('Tunnel requests of one client address that would make a new tunnel, as `N/s`.'),
    burst: z
      .int()
      .min(1)
      .max(COUNT_MAX)
      .optional()
      .describe('How many such requests may come at once; one second’s worth when absent.'),
    halfOpen: z
      .int()
      .min(1)
      .max(COUNT_MAX)
      .optional()
      .describe('Tunnels that may be half open at a time, of all clients.'),
    total: rate.optional().describe('Tunnel requests of all clients that would make a new tunnel, as `N/s`.'),
    totalBurst: z
      .int()
      .min(1)
      .max(COUNT_MAX)
      .optional()
      .describe('How many such requests may come at once; one second’s worth of `total` when absent.'),
    prefixIpv4: z.int().min(8).max(32).default(32).describe('Bits of an IPv4 address that make one source.'),
    prefixIpv6: z.int().min(16).max(128).default(64).describe('Bits of an IPv6 address that make one source.'),
    unknownSources: z
      .enum(['repeat', 'admit'])
      .default('repeat')
      .describe(
        'While a flood of requests comes (more than `total`, or half of `halfOpen` in use, or three quarters of the table half open): sources that had no tunnel so far must repeat their request, as every client does after a second (repeat), or are treated as all others (admit).',
      ),
    duplicates: duration(0, 10)
      .default('100ms')
      .describe('Copies of a tunnel request that follow the last one so soon are dropped; 0ms lets all through.'),
  })
  .prefault({})
  .describe('Limits of tunnel requests; no limit when absent.');

export const firewall = section({
  default: z.enum(['allow', 'deny']).default('allow').describe('What happens to packets that no rule matches.'),
  rules: z
    .array(rule)
    .max(RULE_LIMIT)
    .default([])
    .describe(
      'Rules for every packet that comes in outside, tunnel or not, before anything else; the first match wins.',
    ),
  tunnelRequestRate,
}).describe('The firewall.');
