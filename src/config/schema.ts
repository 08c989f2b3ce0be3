/**
 * The shape of the configuration file: keys, types, limits, defaults and what each key means. Unknown keys are errors.
 * What needs more than one value to judge is in `check.ts`. The same schema gives the JSON schema for editors and the
 * tables of `docs/configuration.md`.
 */
import { z } from 'zod';
import { firewall } from './firewall-schema.js';
import { announceSection, designatorCluster } from './cluster-schema.js';
import { designatorGroups } from './designator-group-schema.js';
import { globalAddress, part, replyKeys } from './reply-schema.js';
import { inactivationSchema } from './inactivation.js';
import { bandwidth, COUNT_MAX, duration, listOf, name, rate, SECRET_LENGTH, section, text } from './schema-parts.js';
import { VIP_LIMIT } from '../flow/layout.js';
import {
  BUILT_PROTOCOLS,
  notAvailable,
  PROTOCOLS,
  parseInterface,
  parseListen,
  parsePath,
  parseSocketPath,
  parseUnicast,
} from './values.js';

export const CONNECTIONS = { min: 16, max: 16_000_000, default: 65_536 } as const;
const WORKERS_MAX = 64;
/** As many CPUs as the program's map of them has room for. */
const SPREAD_MAX = 64;
const WEIGHT_MAX = 1000;

export const ALGORITHMS = [
  'round-robin',
  'weighted-round-robin',
  'least-recent-use',
  'least-load',
  'least-tunnels',
  'least-sessions',
  'power-of-two',
  'leaky-bucket',
  'maglev',
] as const;
export const GROUP_KEYS = ['host-name', 'realm', 'calling-number'] as const;
export const LOAD_FALLBACKS = ['least-tunnels', 'least-sessions', 'least-recent-use', 'none'] as const;

export { bandwidth, name, SECRET_LENGTH };

/** A word of the contract of which this version does only some. */
function available<const T extends readonly [string, ...string[]]>(
  words: T,
  isBuilt: (word: string) => boolean,
  what: string,
) {
  return z.enum(words).superRefine((word, context) => {
    if (!isBuilt(word)) context.addIssue({ code: 'custom', message: notAvailable(`${what} ${word}`), input: word });
  });
}

const port = z.int().min(1).max(65_535);
export const secret = z
  .string()
  .min(SECRET_LENGTH.min)
  .max(SECRET_LENGTH.max)
  .optional()
  .describe('Secret for the authentication of these messages, 16 to 256 characters.');
export const secretFile = text(parsePath)
  .optional()
  .describe(
    'File that holds the secret instead, read at the start and at a reload; white space at its end is ignored.',
  );

const serverLoad = z
  .strictObject({
    secret,
    secretFile,
    capacity: bandwidth
      .optional()
      .describe('Bits a second, each way, that a load of 1 stands for, when its messages do not say; `10Gbit/s`.'),
    tunnels: z.int().min(1).max(COUNT_MAX).optional().describe('Tunnels that a load of 1 stands for, likewise.'),
    sessions: z.int().min(1).max(COUNT_MAX).optional().describe('Sessions that a load of 1 stands for, likewise.'),
  })
  .describe('What is particular to this server’s load status messages.');

const leakyBucket = z
  .strictObject({
    rate: rate.default('50/s').describe('New tunnels a second for each unit of a server’s weight.'),
    burst: z.int().min(1).max(COUNT_MAX).default(50).describe('How many at once, for each unit of weight.'),
  })
  .describe('With `algorithm: leaky-bucket`: how fast servers are given new tunnels.');

const formulaTerm = (meaning: string, initial: number) =>
  z.int().min(0).max(WEIGHT_MAX).default(initial).describe(`How much ${meaning} counts in the load.`);

const server = z
  .strictObject({
    name: name.describe('Name of the server, unique over the whole file.'),
    address: text(parseUnicast).describe('IPv4 or IPv6 address, of the same family as the VIP’s.'),
    globalAddress,
    port: port.optional().describe('Port that the server listens on; the protocol’s own port when absent.'),
    weight: z
      .int()
      .min(0)
      .max(WEIGHT_MAX)
      .default(1)
      .describe('Share of new tunnels with a weighted algorithm; 0 takes no new tunnels.'),
    loadStatus: serverLoad.optional(),
    peer: name
      .optional()
      .describe('Server of the same VIP that may take over the tunnels of this one; and this one its. See `takeOver`.'),
  })
  .describe('A real tunnel server.');

const vip = z
  .strictObject({
    name: name.describe('Name of the VIP, unique.'),
    address: text(parseUnicast).describe(
      'The virtual address that clients know. The designator answers ARP or neighbour discovery and ICMP echo for it; it must not be an address of the host.',
    ),
    port: port.optional().describe('Port that clients use; the protocol’s own port when absent (1701 for l2tp).'),
    protocols: listOf(available(PROTOCOLS, (word) => BUILT_PROTOCOLS.includes(word), 'protocol'))
      .default(['l2tp'])
      .describe('Tunnel protocols that are designated. This version: l2tp.'),
    algorithm: z
      .enum(ALGORITHMS)
      .default('weighted-round-robin')
      .describe('How a server is chosen for a new tunnel; docs/load.md describes each.'),
    leakyBucket: leakyBucket.optional(),
    ...replyKeys,
    serverPort: z
      .enum(['expose', 'hide'])
      .default('expose')
      .describe('What the client sees when a server answers from another port: that port, or always the VIP’s.'),
    clampMss: z
      .int()
      .min(536)
      .max(9000)
      .optional()
      .describe(
        'Largest TCP MSS that users’ connections inside the tunnels may agree on, over IPv4; over IPv6 it is 20 less. In both directions, in every SYN. For paths of 1,500 bytes 1400 keeps TCP out of fragments. Absent: none is changed.',
      ),
    tunnelSecret: z
      .string()
      .min(1)
      .max(255)
      .optional()
      .describe(
        'Tunnel secret that clients and servers share (RFC 2661 §5.1.1). With it, ids that they hide (§4.3) are read, and replaced where two servers choose alike. It is shown nowhere; the file should be readable for its owner alone.',
      ),
    hiddenIds: z
      .enum(['affinity', 'port'])
      .default('affinity')
      .describe(
        'What becomes of a tunnel whose server hides its id and no secret makes it readable. affinity: all tunnels of one client port go to one server, whose ids cannot be alike. port: the client sees every such tunnel at a port of its own and must follow it there (RFC 2661 §8.1).',
      ),
    clientPort: z
      .enum(['shared', 'distinct'])
      .default('shared')
      .describe(
        'Port that a server sees a client at. shared: the client’s own, unless the server could not tell two tunnels apart by it and the client’s id. distinct: no two tunnels of one client have the same port at one server, for servers that tell peers apart by address and port alone.',
      ),
    groupBy: z
      .enum(GROUP_KEYS)
      .optional()
      .describe(
        'Requests with the same key go to one server, at every designator with the same configuration. host-name: the Host Name of the request; realm: what follows its @, or else its first dot; calling-number: its Calling Number, where it has one. A request without the key, and every one when absent, goes by the algorithm.',
      ),
    inactivate: inactivationSchema,
    servers: z.array(server).min(1).describe('The servers behind the VIP.'),
  })
  .describe('One virtual address and its servers.');

const active = z.union([
  z.literal(false),
  z.strictObject({
    enabled: z.boolean().default(true).describe('False keeps the settings and turns the check off.'),
    type: z
      .enum(['l2tp', 'icmp'])
      .default('l2tp')
      .describe(
        'What is asked. l2tp: a control connection, which is then ended (SCCRQ, SCCRP, StopCCN); icmp: an echo.',
      ),
    every: duration(0.1, 3600).default('5s').describe('Time between two checks of a server that answers.'),
    timeout: duration(0.05, 10).default('300ms').describe('How long an answer may take.'),
    failures: z.int().min(1).max(10).default(2).describe('Checks in a row without an answer: the server is down.'),
  }),
]);

const onDown = section({
  tunnels: z
    .enum(['close', 'keep'])
    .default('close')
    .describe('Tunnels of a server that is down: close tells their clients with a StopCCN, keep leaves them alone.'),
  result: z.int().min(1).max(65_535).default(2).describe('Result code of that StopCCN (RFC 2661 §4.4.2).'),
  error: z
    .int()
    .min(0)
    .max(65_535)
    .default(7)
    .describe('Error code, with result 2: 7 is “try another”. 0 leaves it out.'),
  pace: rate.default('1000/s').describe('Tunnels that are ended at most, over all servers: those behind wait.'),
});

export const configSchema = z.strictObject({
  interfaces: z
    .strictObject({
      outside: text(parseInterface).describe(
        'Interface towards the tunnel clients; `wan0.100` is VLAN tag 100 on wan0.',
      ),
      inside: text(parseInterface).describe(
        'Interface towards the servers; the same as `outside` for a one-armed layout.',
      ),
    })
    .describe('Where packets come and go. Fixed until a restart.'),
  io: z
    .enum(['auto', 'xdp', 'packet'])
    .default('auto')
    .describe(
      'Packet input and output: xdp (a program in the driver, and AF_XDP), packet (AF_PACKET); auto takes the best that this machine can do and says why. Fixed until a restart.',
    ),
  offload: z
    .boolean()
    .default(true)
    .describe('Let the XDP program forward known tunnels by itself; only with xdp. Fixed until a restart.'),
  spread: z
    .int()
    .min(0)
    .max(SPREAD_MAX)
    .default(0)
    .describe(
      `CPUs that the XDP program spreads known tunnels over, session by session, when few receive queues carry much: 0 to ${SPREAD_MAX}, 0 = none. Fixed until a restart.`,
    ),
  workers: z
    .union([z.literal('auto'), z.int().min(1).max(WORKERS_MAX)])
    .default('auto')
    .describe(`Threads that forward: 1 to ${WORKERS_MAX}, auto = available cores. Fixed until a restart.`),
  part,
  vips: z.array(vip).min(1).max(VIP_LIMIT).describe('The virtual addresses.'),
  firewall,
  health: section({
    passive: z.boolean().default(true).describe('Learn the health of servers from the traffic that crosses.'),
    suspectAfter: duration(0.2, 60)
      .default('800ms')
      .describe('A server that clients wait for so long, asking again, is suspect: it gets no new tunnels.'),
    downAfter: duration(0.5, 300)
      .default('2500ms')
      .describe('One that several tunnels wait for so long without any packet of it is down.'),
    downAfterAlone: duration(0.5, 300)
      .default('20s')
      .describe('The same while no more than one tunnel asks, which may be the way’s loss and not the server.'),
    slowStart: duration(0, 3600)
      .default('30s')
      .describe('A server that is back takes its full share of new tunnels after this; 0s at once.'),
    lendFirst: duration(0.2, 3600)
      .default('2s')
      .describe('A server that is down is lent one request of a client after this, and again at doubled intervals.'),
    lendMost: duration(0.2, 86_400).default('60s').describe('The longest such interval.'),
    onDown,
    active: active.optional().describe('Check servers actively as well; not done when absent.'),
  }).describe('Health of servers.'),
  loadStatus: section({
    listen: text(parseListen)
      .optional()
      .describe('Address of the host and UDP port on which load status messages are taken; none are when absent.'),
    secret,
    secretFile,
    staleAfter: duration(0.5, 3600)
      .default('5s')
      .describe('A server’s load is unknown again when so long no message came.'),
    clockSkew: duration(0.5, 3600)
      .default('30s')
      .describe('How far a message’s time may be from the time here; older ones are late, newer ones early.'),
    fallback: z
      .enum(LOAD_FALLBACKS)
      .default('least-tunnels')
      .describe('What decides among servers whose load is unknown, with least-load; none: they get no new tunnel.'),
    tunnelLoad: z
      .number({ error: 'it must be a number: write 0.001' })
      .min(0.000_001)
      .max(1)
      .default(0.001)
      .describe('The least that a tunnel designated since the last message is expected to add to the load.'),
    formula: z
      .strictObject({
        traffic: formulaTerm('traffic against capacity', 0),
        cpu: formulaTerm('processor use', 0),
        memory: formulaTerm('memory use', 0),
        tunnels: formulaTerm('the number of tunnels against its limit', 0),
        sessions: formulaTerm('the number of sessions against its limit', 0),
        combine: z
          .enum(['mean', 'max'])
          .default('mean')
          .describe('The load is the weighted mean of the terms, or the greatest of those with a weight.'),
      })
      .default({ traffic: 1, cpu: 0, memory: 0, tunnels: 0, sessions: 0, combine: 'mean' })
      .describe('How the fields of a message become a load; traffic alone when absent.'),
  }).describe('Load status messages of the servers.'),
  takeOver: section({
    listen: text(parseListen)
      .optional()
      .describe(
        'Address of the host and UDP port on which servers’ take-over messages are taken; none are when absent.',
      ),
    secret,
    secretFile,
    clockSkew: duration(0.5, 3600)
      .default('30s')
      .describe('How far a message’s time may be from the time here; older ones are late, newer ones early.'),
    quiet: duration(0.2, 60)
      .default('1s')
      .describe('A server from which anything came in this time is not dead: its peer’s claim is refused.'),
    wait: duration(0, 3600)
      .default('10s')
      .describe('Tunnels of a server that is down and has a peer wait so long for it before their clients are told.'),
  }).describe('Servers that take over the tunnels of a dead peer.'),
  gateway: designatorGroups,
  cluster: designatorCluster,
  announce: announceSection,
  control: section({
    socket: text(parseSocketPath)
      .default('/run/designator/control.sock')
      .describe('Unix socket that the commands use. Fixed until a restart.'),
    http: text(parseListen)
      .optional()
      .describe(
        'Address and port of metrics, health and pages, which change nothing; none when absent. Fixed until a restart.',
      ),
  }).describe('How a running designator is reached.'),
  state: section({
    pin: text(parsePath)
      .default('/run/designator/bpf')
      .describe('Folder for what outlives the process. Fixed until a restart.'),
  }).describe('What outlives the process.'),
  timeouts: section({
    halfOpen: duration(1, 3600)
      .default('60s')
      .describe('A tunnel request that nobody answers is forgotten after this.'),
    idle: duration(1, 7 * 86_400)
      .default('10m')
      .describe('A tunnel without any packet is forgotten after this.'),
    closing: duration(1, 3600)
      .default('35s')
      .describe('How long a closed tunnel stays mapped, so that retransmissions still find their way (RFC 2661 §5.7).'),
  }).describe('When the table forgets.'),
  table: section({
    connections: z
      .int()
      .min(CONNECTIONS.min)
      .max(CONNECTIONS.max)
      .default(CONNECTIONS.default)
      .describe('Tunnels that the table holds; the memory is reserved at the start. Fixed until a restart.'),
  }).describe('Size of the connection table.'),
  log: section({
    level: z
      .enum(['trace', 'debug', 'info', 'warn', 'error'])
      .default('info')
      .describe('Least important level to log.'),
  }).describe('Logging, as JSON lines on standard output.'),
});

/** What `compile` takes: valid, with defaults filled in, values as written. */
export type ConfigInput = z.output<typeof configSchema>;
export type VipInput = ConfigInput['vips'][number];
export type RuleInput = ConfigInput['firewall']['rules'][number];
