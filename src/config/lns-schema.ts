/** The shape of the configuration of `designator lns`: keys, types, limits, defaults and what each key means. */
import { z } from 'zod';
import {
  controlSection,
  listenText,
  logSection,
  tunnelSecret,
  tunnelSecretFile,
  tunnelTimerKeys,
  workersKey,
} from './endpoint-parts.js';
import { candidateSchema } from './candidate.js';
import { endpointCluster } from './cluster-schema.js';
import { radiusSchema } from './radius.js';
import { name, secret, secretFile } from './schema.js';
import { COUNT_MAX, duration, listOf, section, text } from './schema-parts.js';
import { offloadSchema } from './lns-offload.js';
import { takeOverSchema } from './take-over.js';
import {
  parseHost,
  parseIdRange,
  parseIpv4Range,
  parseListen,
  parsePath,
  parsePattern,
  parsePrefix,
  parseUnicast,
} from './values.js';

export const TUNNELS_MAX = 65_535;
export const SESSIONS_MAX = 262_144;
export const AUTH_METHODS = ['pap', 'chap-md5', 'ms-chap-v2'] as const;
const DAYS = 86_400;

const percent = z.int().min(1).max(100);
const prefix6 = text((written) => {
  const parsed = parsePrefix(written);
  return 'value' in parsed && parsed.value.family !== 6 ? { error: `${written} is no IPv6 prefix` } : parsed;
});

const peer = z
  .strictObject({
    from: listOf(text(parsePrefix)).optional().describe('Addresses that the other end’s packets come from.'),
    hostName: listOf(text(parsePattern))
      .optional()
      .describe('Patterns of which its host name (AVP 7) matches one; `*` and `?` as in shells.'),
    allow: z.boolean().default(true).describe('False: its tunnels are refused, with result 4 (not authorised).'),
    secret: tunnelSecret,
    secretFile: tunnelSecretFile,
    hide: z.boolean().default(false).describe('Hide what this end says of calls (RFC 2661 §4.3); needs a secret.'),
    proxy: z
      .enum(['none', 'lcp', 'authentication'])
      .optional()
      .describe('What is believed of the LAC’s negotiations, if other than `ppp.proxy`.'),
  })
  .describe('What is particular to some other ends; the first that fits counts.');

const answerFrom = z
  .strictObject({
    listen: listenText.describe('One of `listen`, as it is written there.'),
    address: listenText.describe(
      'Address of the host, of the same family, that requests to it are answered from; its port is that of `listen` where none is written.',
    ),
    except: listOf(text(parsePrefix))
      .optional()
      .describe(
        'Who is answered from where the request came to: localAddress of the designators’ VIPs, and where their active checks come from.',
      ),
  })
  .describe('Requests that come to one address and are answered from another (document 001, FIG. 4).');

const pool = z
  .strictObject({
    name: name.describe('Name of the pool, unique; RADIUS and users refer to it.'),
    ipv4: listOf(text(parseIpv4Range))
      .optional()
      .describe('Addresses, as prefixes (`10.64.0.0/16`) or ranges (`10.64.0.10-10.64.0.99`).'),
    ipv6: listOf(prefix6)
      .optional()
      .describe('Prefixes that subscribers’ prefixes are cut from, the first 1,048,576 of each.'),
    length: z.int().min(32).max(64).default(64).describe('Length of the IPv6 prefix that a subscriber gets.'),
  })
  .describe('Addresses for subscribers: either IPv4 or IPv6.');

export const lnsSchema = z.strictObject({
  name: name.describe('Host name that this LNS tells other ends, and its name in load status messages.'),
  listen: listOf(listenText).describe(
    'Addresses of the host that tunnels come to, with a port where it is not 1701. Fixed until a restart.',
  ),
  answerFrom: z
    .array(answerFrom)
    .max(64)
    .default([])
    .describe('Requests that come to one address and are answered from another, where their tunnels live.'),
  workers: workersKey,
  tunnels: section({
    ids: text(parseIdRange)
      .default('1-65535')
      .describe(
        'Tunnel ids that this LNS gives away. The LNSs of a pair have ranges that do not overlap. Fixed until a restart.',
      ),
    limit: z.int().min(1).max(TUNNELS_MAX).default(16_384).describe('Tunnels at one time.'),
    sessions: z.int().min(1).max(TUNNELS_MAX).default(TUNNELS_MAX).describe('Sessions of one tunnel at one time.'),
    ...tunnelTimerKeys,
    secret: tunnelSecret,
    secretFile: tunnelSecretFile,
    floatingPort: z
      .boolean()
      .default(false)
      .describe('Answer tunnel requests from another port than the one they came to (RFC 2661 §8.1).'),
    sequencing: z
      .enum(['peer', 'always'])
      .default('peer')
      .describe('Sequence numbers on data: when the other end wants them, or always (RFC 2661 §5.4).'),
    peers: z.array(peer).max(1024).default([]).describe('What is particular to some other ends.'),
    others: z
      .enum(['allow', 'refuse'])
      .default('allow')
      .describe('What becomes of tunnels of ends that no item of `peers` fits.'),
  }).describe('Tunnels.'),
  ppp: section({
    authentication: listOf(z.enum([...AUTH_METHODS, 'none']))
      .default(['ms-chap-v2', 'chap-md5', 'pap'])
      .describe('How subscribers prove who they are, best first; none alone: they need not.'),
    mru: z.int().min(576).max(1500).default(1460).describe('Largest packet that subscribers may send, bytes.'),
    clampMss: z
      .union([z.literal('auto'), z.literal('off'), z.int().min(536).max(9000)])
      .default('auto')
      .describe(
        'Largest TCP MSS that subscribers’ connections may agree on over IPv4 (20 less over IPv6): auto fits it to what the subscriber takes.',
      ),
    echo: duration(0, 3600).default('30s').describe('An echo is asked for when a link was silent so long; 0s never.'),
    echoFailures: z.int().min(1).max(100).default(3).describe('Echoes without an answer that end a session.'),
    proxy: z
      .enum(['none', 'lcp', 'authentication'])
      .default('authentication')
      .describe(
        'What is believed of what a LAC has negotiated: nothing (LCP begins anew), the LCP options, or the authentication too (RFC 2661 §4.4.5).',
      ),
    authenticateWithin: duration(1, 300).default('30s').describe('Time that authentication may take.'),
    networkWithin: duration(1, 600).default('60s').describe('Time from authentication to the first address.'),
  }).describe('PPP links.'),
  ipv4: section({
    local: text(parseUnicast)
      .optional()
      .describe('Address of this end of every link; the first of `pool` when absent.'),
    pool: name.optional().describe('Pool of subscribers that are not given another one.'),
    dns: z.array(text(parseUnicast)).max(2).default([]).describe('Name servers for subscribers.'),
  }).describe('IPv4 for subscribers.'),
  ipv6: section({
    pool: name.optional().describe('Pool of subscribers that are not given another one; no IPv6 when absent.'),
    dns: z.array(text(parseUnicast)).max(3).default([]).describe('Name servers in router advertisements.'),
  }).describe('IPv6 for subscribers.'),
  pools: z.array(pool).min(1).max(1024).describe('Addresses for subscribers.'),
  authenticate: listOf(z.enum(['users', 'radius']))
    .optional()
    .describe(
      'Who is asked about a subscriber, in this order; whatever of users and radius is configured when absent.',
    ),
  users: z
    .strictObject({ file: text(parsePath).describe('File of users; read again at a reload.') })
    .optional()
    .describe('Subscribers in a file.'),
  radius: radiusSchema.optional(),
  tun: section({
    device: z
      .string()
      .regex(/^[A-Za-z0-9_-]{1,15}$/, { error: 'a device name has 1 to 15 letters, digits, hyphens or underscores' })
      .default('lns0')
      .describe('TUN device that subscribers’ packets come out of. Fixed until a restart.'),
    mtu: z.int().min(576).max(9000).default(1500).describe('MTU of the device. Fixed until a restart.'),
    routes: z
      .enum(['pools', 'none'])
      .default('pools')
      .describe('Routes to the device: those of all pools, or none for who makes them otherwise.'),
  }).describe('The way to the network.'),
  sessions: section({
    limit: z
      .int()
      .min(1)
      .max(SESSIONS_MAX)
      .default(32_768)
      .describe('Sessions at one time; the memory is reserved at the start. Fixed until a restart.'),
    idle: duration(0, 365 * DAYS)
      .default('0s')
      .describe('A session without data is ended after this; 0s never.'),
    timeout: duration(0, 365 * DAYS)
      .default('0s')
      .describe('A session is ended after this; 0s never.'),
    perUser: z.int().min(0).max(COUNT_MAX).default(0).describe('Sessions of one user at one time; 0 any number.'),
    spoofing: z
      .enum(['drop', 'allow'])
      .default('drop')
      .describe('What becomes of packets whose source is not the subscriber’s address.'),
  }).describe('Sessions of subscribers.'),
  loadStatus: z
    .strictObject({
      designators: listOf(text(parseListen))
        .optional()
        .describe('Address and port of loadStatus.listen of each designator; obligatory without `cluster`.'),
      servers: listOf(name)
        .optional()
        .describe('Name of this server in the designators’ configuration, or all of them; `name` when absent.'),
      secret,
      secretFile,
      every: duration(0.1, 60).default('1s').describe('Time between two messages.'),
    })
    .optional()
    .describe('Load status messages to designators; none when absent.'),
  cluster: endpointCluster,
  refuseAbove: section({
    cpu: percent.optional().describe('Percent of processor time of the machine.'),
    memory: percent.optional().describe('Percent of the machine’s memory in use.'),
    sessions: z.int().min(1).max(SESSIONS_MAX).optional().describe('Number of sessions.'),
  }).describe('New tunnels and calls are refused while one of these is exceeded.'),
  offload: offloadSchema.optional(),
  takeOver: takeOverSchema.optional(),
  master: candidateSchema.optional(),
  control: controlSection('/run/designator/lns.sock'),
  log: logSection,
});

/** Subscribers, in the file that `users.file` names. */
export const usersSchema = z.strictObject({
  users: z
    .array(
      z.strictObject({
        name: z.string().min(1).max(253).describe('As the subscriber writes it.'),
        password: z.string().max(253).describe('In clear, because CHAP needs it so.'),
        address: text(parseHost).optional().describe('IPv4 address that is always this subscriber’s.'),
        prefix: prefix6.optional().describe('IPv6 prefix that is always this subscriber’s.'),
        pool: name.optional().describe('Pool of IPv4 addresses.'),
        pool6: name.optional().describe('Pool of IPv6 prefixes.'),
        routes: z.array(text(parsePrefix)).max(64).default([]).describe('Networks behind the subscriber.'),
        idle: duration(0, 365 * DAYS)
          .optional()
          .describe('Instead of sessions.idle.'),
        timeout: duration(0, 365 * DAYS)
          .optional()
          .describe('Instead of sessions.timeout.'),
        sessions: z.int().min(1).max(COUNT_MAX).optional().describe('Sessions at one time.'),
        disabled: z.boolean().default(false).describe('True: refused.'),
      }),
    )
    .max(1_000_000)
    .describe('The users; names are unique.'),
});
