/** The shape of the configuration file of `designator lac`. What needs more than one value to judge is in `lac.ts`. */
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
import { lacSwitchoverKeys } from './lac-switchover.js';
import { radiusSchema } from './radius.js';
import { name } from './schema.js';
import { duration, listOf, rate, section, text } from './schema-parts.js';
import { parseInterface, parsePattern, parseUnicast } from './values.js';

const SESSIONS_MAX = 65_534;
const MRU = { min: 128, max: 65_535 } as const;
const label = z.string().min(1).max(255);
const pattern = text(parsePattern);
const count = z.int().min(1).max(1_000_000);

export const CHOICES = ['client', 'radius', 'number', 'table'] as const;
export const LAC_GROUPS = ['user', 'realm', 'calling-number'] as const;
export const LAC_AUTHENTICATION = ['chap-md5', 'pap', 'ms-chap-v2'] as const;

/** LNSs in order of priority; those in an inner list are alike and share the calls by weight. */
const lnsOrder = z
  .union([name, z.array(z.union([name, z.array(name).min(1)])).min(1)])
  .describe('Names of `lns` in order of priority; names in an inner list have the same, and share calls by weight.');

const requests = (perSecond: string, burst: number, meaning: string) =>
  section({
    rate: rate.default(perSecond).describe(`PADI and PADR that are answered ${meaning}.`),
    burst: count.default(burst).describe('So many at once.'),
  });

const pppoe = section({
  interfaces: listOf(text(parseInterface)).describe(
    'Ethernet interfaces that customers are on. They need no address and must be up.',
  ),
  acName: label.optional().describe('Name of the access concentrator in PADO; `name` when absent.'),
  services: z.array(z.string().max(255)).max(64).default([]).describe('Service names that are offered in every PADO.'),
  anyService: z
    .boolean()
    .default(true)
    .describe('Also offer whatever service a client asks for; with false other names than `services` are refused.'),
  sessions: z.int().min(1).max(SESSIONS_MAX).default(20_000).describe('Sessions at a time, at most.'),
  perClient: z.int().min(1).max(SESSIONS_MAX).default(8).describe('Sessions of one MAC address, at most.'),
  clientRequests: requests('5/s', 10, 'of one MAC address'),
  requests: requests('2000/s', 4000, 'on one interface'),
}).describe('PPPoE, RFC 2516.');

const lns = z
  .strictObject({
    name: name.describe('Name of the LNS, unique.'),
    address: text(parseUnicast).describe('IPv4 or IPv6 address that is dialled.'),
    port: z.int().min(1).max(65_535).default(1701).describe('UDP port that is dialled.'),
    secret: tunnelSecret,
    secretFile: tunnelSecretFile,
    hostName: label.optional().describe('Host Name that this LNS is told; `name` of the file when absent.'),
    serverName: label
      .optional()
      .describe('Host Name that this LNS must tell, else the tunnel is given up; any when absent.'),
    weight: z.int().min(1).max(1000).default(1).describe('Share of calls among LNSs of the same priority.'),
    sessions: z.int().min(1).max(65_535).default(65_535).describe('Sessions in one tunnel; more make another one.'),
    follow: z
      .boolean()
      .default(true)
      .describe('The far end is where the SCCRP came from, address and port; false refuses a change.'),
    hide: z
      .enum(['none', 'private', 'all'])
      .default('none')
      .describe('Attributes that go out hidden (RFC 2661 §4.3), which needs a secret; private: those of subscribers.'),
    sequencing: z
      .boolean()
      .default(false)
      .describe('Demand sequence numbers in data messages (Sequencing Required, RFC 2661 §4.4.6).'),
  })
  .describe('An LNS that tunnels can lead to.');

const tableRow = z
  .strictObject({
    realm: listOf(pattern)
      .optional()
      .describe('What follows the last @ of the user name; `*` and `?` as in file names.'),
    user: listOf(pattern).optional().describe('The whole user name.'),
    service: listOf(pattern).optional().describe('Service name that the client asked for.'),
    interface: listOf(text(parseInterface)).optional().describe('Interface that the client is on.'),
    client: listOf(pattern).optional().describe('MAC address of the client: `02:00:00:*`.'),
    lns: lnsOrder,
  })
  .describe('The first row of which all conditions hold is taken; a row without conditions holds always.');

const numberRow = z
  .strictObject({
    called: listOf(pattern).optional().describe('Called number.'),
    calling: listOf(pattern).optional().describe('Calling number.'),
    lns: lnsOrder,
  })
  .describe('The first row of which all conditions hold is taken.');

export const lacShape = {
  name: label.describe('Name of this LAC: Host Name in tunnels, and name of the access concentrator.'),
  listen: listOf(listenText)
    .default('0.0.0.0:1701')
    .describe('Addresses and ports that tunnels come from; for LNSs with IPv6 addresses add `[::]:1701`.'),
  pppoe: pppoe.optional(),
  ppp: section({
    mode: z
      .enum(['terminate', 'relay'])
      .default('terminate')
      .describe(
        'With terminate LCP and the client’s first words of authentication end here and go to the LNS as proxy attributes; with relay every PPP frame goes to the LNS; neither user nor realm is known then.',
      ),
    authentication: z
      .array(z.enum(LAC_AUTHENTICATION))
      .min(1)
      .default(['chap-md5', 'pap'])
      .describe('What clients are asked for, best first. ms-chap-v2 has no proxy attributes: the LNS asks again.'),
    mru: z
      .int()
      .min(MRU.min)
      .max(MRU.max)
      .optional()
      .describe('MRU that is told to clients; what PPPoE carries when absent.'),
  }).describe('How much of PPP ends here.'),
  call: section({
    called: z
      .string()
      .max(255)
      .default('service')
      .describe('Called Number: `service` (the PPPoE service name), `interface`, or a number or text as it is.'),
    calling: z
      .enum(['mac', 'circuit-id', 'remote-id'])
      .default('mac')
      .describe('Calling Number: the client’s MAC address, or what the access node told of the line (else the MAC).'),
    speed: z
      .int()
      .min(1)
      .max(2 ** 32 - 1)
      .default(1_000_000_000)
      .describe('Tx and Rx Connect Speed that LNSs are told, bits a second.'),
  }).describe('What LNSs are told of a call.'),
  lns: z.array(lns).min(1).max(1000).describe('LNSs that tunnels can lead to.'),
  choose: z
    .array(z.enum(CHOICES))
    .min(1)
    .default(['client', 'radius', 'number', 'table'])
    .describe('Who says where a call goes, in this order; the first that has an answer is taken.'),
  table: z.array(tableRow).max(10_000).default([]).describe('Choice by realm, user, service, interface or client.'),
  numbers: z.array(numberRow).max(10_000).default([]).describe('Choice by called or calling number.'),
  groupBy: z
    .enum(LAC_GROUPS)
    .optional()
    .describe(
      'Calls with the same key go to one LNS, the same at any LAC with these LNSs; each by the load of this LAC when absent.',
    ),
  statement: section({
    in: z
      .enum(['user', 'service'])
      .default('user')
      .describe(
        'Where it stands. With user it is what follows the separator in the user name (`alice@isp%lns2`), with service in the service name.',
      ),
    separator: z.string().min(1).max(8).default('%').describe('What stands before the name of the LNS.'),
    allow: z.array(name).max(1000).default([]).describe('LNSs that clients may ask for; none when empty.'),
    strip: z.boolean().default(true).describe('The LNS is told the user name without the statement.'),
  }).describe('The client’s own statement of the LNS that it wants.'),
  radiusQuestion: section({
    ask: z
      .enum(['user', 'realm', 'number'])
      .default('user')
      .describe(
        'What about: user with the client’s name and proof, realm for the realm with Service-Type Outbound, number for the calling number with Service-Type Call-Check.',
      ),
    password: z.string().max(128).default('').describe('Password of realms and numbers.'),
    noAnswer: z
      .enum(['refuse', 'next'])
      .default('next')
      .describe('When no server answers: refuse the call, or go on to who is next in `choose`.'),
  }).describe('How RADIUS is asked.'),
  radius: radiusSchema.optional(),
  tunnels: section({
    ...tunnelTimerKeys,
    limit: z.int().min(1).max(65_535).default(4096).describe('Tunnels at a time.'),
    setup: duration(1, 120).default('10s').describe('A tunnel or a call that does not stand after this is given up.'),
    dead: duration(0, 3600)
      .default('30s')
      .describe('An LNS that did not answer or refused a tunnel comes last for so long.'),
    idle: duration(0, 86_400).default('60s').describe('A tunnel without calls is closed after this.'),
    perGroup: z
      .boolean()
      .default(false)
      .describe(
        'Tunnels that only calls of one group share (`groupBy`); with calling-number the request for one says the number.',
      ),
  }).describe('Control connections (RFC 2661 §5).'),
  buffer: section({
    session: z
      .int()
      .min(0)
      .max(16_777_216)
      .default(65_536)
      .describe('Bytes of data that are kept for one session while its tunnel moves to another LNS.'),
    total: z.int().min(0).max(4_294_967_295).default(67_108_864).describe('The same for all sessions.'),
    time: duration(0.1, 60).default('5s').describe('Older data is dropped.'),
  }).describe('Data of sessions during a switchover.'),
  switchover: section(lacSwitchoverKeys).describe('How calls move to another LNS (document 002).'),
  setup: duration(1, 300)
    .default('30s')
    .describe('A client whose call does not stand after this is told that its session has ended.'),
  control: controlSection('/run/designator/lac.sock'),
  workers: workersKey,
  log: logSection,
};
export const lacSchema = z.strictObject(lacShape);
export type LacInput = z.output<typeof lacSchema>;
