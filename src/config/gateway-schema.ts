/** The shape of the configuration of `designator gateway`: keys, types, limits, defaults and what each key means. */
import { z } from 'zod';
import { controlSection, logSection } from './endpoint-parts.js';
import { bandwidth, COUNT_MAX, duration, name, rate, SECRET_LENGTH, section, text } from './schema-parts.js';
import { advertise } from './gateway-advertise.js';
import { parseDevice, parsePrefix, parseSharedAddress } from './values.js';

export const GROUPS_MAX = 64;
export const GROUP_ID_MAX = 65_535;
/** Cisco's prefix leaves ten bits for the group. */
export const CISCO_GROUP_ID_MAX = 1023;
export const MEMBER_MAX = 255;
export const ADDRESSES_MAX = 16;
export const HOSTS_MAX = 65_536;
export const TRACKS_MAX = 64;
const WEIGHT_MAX = 1000;
const PRIORITY_MAX = 254;
const DAY = 86_400;

export const GATEWAY_ALGORITHMS = ['round-robin', 'weighted', 'host', 'least-load', 'master'] as const;

const percent = z.string().regex(/^([1-9]\d?|100)%$/, { error: 'it must be a share: write 80%' });
const decrement = (what: string, most: number) =>
  z.int().min(1).max(most).optional().describe(`Taken off the ${what} while it fails.`);

const track = z
  .strictObject({
    name: name.optional().describe('Name in tables and events; made of what is watched when absent.'),
    interface: text(parseDevice).optional().describe('This interface must be up and have a carrier.'),
    route: text(parsePrefix).optional().describe('A route to exactly this prefix must be in the main table.'),
    script: z
      .array(z.string().min(1))
      .min(1)
      .max(64)
      .optional()
      .describe('Program and arguments, no shell; its exit status must be 0.'),
    load: percent.optional().describe('The own load must stay below this share.'),
    interval: duration(0.1, 3600).default('1s').describe('Time between two looks.'),
    timeout: duration(0.1, 600).default('2s').describe('A script that runs longer is ended, and has failed.'),
    rise: z.int().min(1).max(100).default(1).describe('Good looks in a row that end a failure.'),
    fall: z.int().min(1).max(100).default(1).describe('Bad looks in a row that make a failure.'),
    priority: decrement('priority', PRIORITY_MAX),
    weight: decrement('weight', WEIGHT_MAX),
    forward: z
      .boolean()
      .default(true)
      .describe('False: while it fails this gateway cannot forward; others serve its hosts, and it is no master.'),
  })
  .describe('What is watched, one of interface, route, script and load an item, and what a failure costs.');

/** One group at one gateway; the designator's own section is made of the same keys. */
export const gatewayGroupSchema = z.strictObject({
  name: name.describe('Name of the group here, unique in the file.'),
  group: z.int().min(1).max(GROUP_ID_MAX).describe('Number of the group, the same at all members.'),
  interface: text(parseDevice).describe('Interface on the segment of the hosts.'),
  number: z
    .int()
    .min(1)
    .max(MEMBER_MAX)
    .describe('Number of this gateway in the group, another at each; its virtual MAC follows from it.'),
  addresses: z
    .array(text(parseSharedAddress))
    .min(1)
    .max(ADDRESSES_MAX)
    .describe('Shared addresses, IPv4 and IPv6, the same at all members; hosts have one as their gateway.'),
  key: z
    .strictObject({
      file: z
        .string()
        .min(1)
        .optional()
        .describe(
          'File that holds the key; relative to the configuration’s folder, white space at its end is ignored.',
        ),
      text: z
        .string()
        .min(1)
        .max(SECRET_LENGTH.max)
        .optional()
        .describe('The key itself, 16 to 256 characters, instead of a file; with GLBP any that it has room for.'),
    })
    .optional()
    .describe('Key of the messages between members (HMAC-SHA-256), the same at all. Required, but for GLBP without.'),
  priority: z
    .int()
    .min(1)
    .max(PRIORITY_MAX)
    .default(100)
    .describe('The highest that is able becomes master; among equals the higher address.'),
  preempt: z
    .union([
      z.boolean(),
      z.strictObject({
        delay: duration(0, 3600)
          .default('5s')
          .describe(
            'A better gateway takes the office from a living master when it has been there for so long; `preempt: false`: it does not.',
          ),
      }),
    ])
    .default(true)
    .describe('Whether a better gateway becomes master while there is one; true: after 5s.'),
  adverts: section({
    interval: duration(0.02, 10).default('100ms').describe('Time between two adverts, the same at all members.'),
    losses: z
      .int()
      .min(2)
      .max(10)
      .default(3)
      .describe('Messages in a row that must be missing before a member counts as dead.'),
  }).describe('Adverts between members.'),
  algorithm: z
    .enum(GATEWAY_ALGORITHMS)
    .default('weighted')
    .describe('How the master selects a gateway for a host; `master`: all hosts get the master, the others stand by.'),
  weight: z.int().min(0).max(WEIGHT_MAX).default(100).describe('Share of hosts that this gateway is given; 0 none.'),
  capacity: bandwidth
    .optional()
    .describe('Traffic that is a load of 1, `1Gbit/s`; the load is then the greater of it and the processor’s.'),
  sticky: z
    .boolean()
    .default(true)
    .describe('Whether a host that is known keeps its gateway; false: each request selects anew.'),
  replies: z
    .enum(['master', 'forwarder'])
    .default('master')
    .describe('Which port the answers leave from: the master’s, or that of the gateway that they name.'),
  takeover: z
    .enum(['master', 'least-loaded'])
    .default('master')
    .describe('Who takes over the virtual MAC of a dead gateway.'),
  permanentAfter: z
    .union([z.literal('never'), duration(0, DAY)])
    .default('30s')
    .describe('A gateway that is dead for so long has failed for good: its hosts are given to others.'),
  redirect: duration(1, DAY)
    .default('10m')
    .describe('The virtual MAC of a dead gateway is given to hosts no longer than this.'),
  timeout: duration(2, 7 * DAY)
    .default('4h')
    .describe('The virtual MAC of a dead gateway is served no longer than this.'),
  return: z
    .enum(['gradual', 'stay', 'at-once'])
    .default('gradual')
    .describe('How hosts come back to a gateway that has returned: some at a time, not, or with its virtual MAC.'),
  rebalance: z
    .union([
      z.literal(false),
      z.strictObject({
        by: z
          .enum(['load', 'hosts'])
          .default('load')
          .describe(
            'Hosts are moved until this is even: the load that gateways report, or the number of hosts by weight. Without `rebalance` nothing is moved.',
          ),
        every: duration(1, 3600).default('10s').describe('Time between two looks at the balance.'),
        hosts: z.int().min(1).max(HOSTS_MAX).default(8).describe('Hosts that are moved at most each time.'),
        difference: percent
          .default('20%')
          .describe('Difference of load, between the most and the least loaded, that is left alone.'),
      }),
    ])
    .default(false)
    .describe('Whether hosts are moved when the load of gateways differs.'),
  hosts: section({
    limit: z
      .int()
      .min(16)
      .max(HOSTS_MAX)
      .default(4096)
      .describe('Hosts that are remembered, the same at all members; beyond it hosts are answered and not remembered.'),
    idle: duration(60, 30 * DAY)
      .default('4h')
      .describe('A host that was not seen for so long is forgotten.'),
  }).describe('The host table.'),
  limits: section({
    perSource: rate.default('50/s').describe('Requests that one host, by its MAC address, is answered.'),
    burst: z.int().min(1).max(COUNT_MAX).default(100).describe('How many at once.'),
  }).describe('Bounds for floods.'),
  mac: z
    .enum(['local', 'cisco'])
    .default('local')
    .describe('Virtual MACs: locally administered 02:54:44 (group, number), or Cisco’s 0007.b4 (groups up to 1023).'),
  accept: z
    .boolean()
    .default(true)
    .describe('Whether the host itself has the shared addresses, so that it answers a ping to them.'),
  advertise: advertise.optional(),
  track: z.array(track).max(TRACKS_MAX).default([]).describe('What the priority, weight and ability depend on.'),
  compatibility: z
    .enum(['none', 'glbp'])
    .default('none')
    .describe('With glbp the members speak GLBP on UDP port 3222 instead of the own messages.'),
  glbp: section({
    authentication: z
      .enum(['none', 'text', 'md5', 'md5-chain'])
      .default('md5-chain')
      .describe('How GLBP messages prove where they come from.'),
    keyNumber: z.int().min(0).max(255).default(1).describe('Number of the key in its chain.'),
    hello: duration(0.05, 60).default('3s').describe('Time between two hellos.'),
    hold: duration(0.1, 180).default('10s').describe('Silence after which a gateway counts as dead.'),
    learnTimers: z.boolean().default(true).describe('Take over the timers that the active gateway tells.'),
    forwarderDelay: duration(0, 3600)
      .default('30s')
      .describe('How long an owner waits before it takes its virtual MAC back.'),
  }).describe('With `compatibility: glbp`.'),
});

export const gatewaySchema = z.strictObject({
  groups: z.array(gatewayGroupSchema).min(1).max(GROUPS_MAX).describe('Groups that this machine is a gateway of.'),
  control: controlSection('/run/designator/gateway.sock'),
  log: logSection,
});
