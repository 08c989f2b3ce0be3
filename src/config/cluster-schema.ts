/**
 * The sections `cluster` and `announce`: the bus that members of a cluster speak on, what they share over it, and the routes
 * by which routers find a designator (docs/cluster.md, docs/operations.md).
 */
import { z } from 'zod';
import { duration, listOf, name, SECRET_LENGTH, section, text } from './schema-parts.js';
import { parseAddressOnly, parseDevice, parseHost, parsePath, parsePrefix } from './values.js';

export const BUS_DRIVERS = ['local', 'udp', 'nats'] as const;
export const MEMBER_MAX = 255;
/** As many as a datagram is sent to, one by one. */
export const BUS_PEERS_MAX = 16;
export const BUS_PORT = 1702;
const PREFIXES_MAX = 64;
const RATE = { min: 100, max: 1_000_000, default: 20_000 } as const;

const port = z.int().min(1).max(65_535);
const credential = z.string().min(1).max(255);

const peer = z
  .strictObject({
    number: z.int().min(1).max(MEMBER_MAX).describe('Its `cluster.number`.'),
    address: text(parseHost).describe('Address that it takes messages at.'),
    port: port.optional().describe('UDP port there; `bus.port` when absent.'),
  })
  .describe('Another member, with the driver udp.');

/** A NATS server: a name or an address, and a port. */
export function parseServer(written: string) {
  const match = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?$/.exec(written);
  if (match === null || Number(match[2] ?? 1) < 1 || Number(match[2] ?? 1) > 65_535)
    return { error: `${JSON.stringify(written)} is no server: write 192.0.2.1:4222, [2001:db8::1]:4222 or a name` };
  return { value: match[2] === undefined ? `${match[1]}:4222` : written };
}

const bus = section({
  driver: z
    .enum(BUS_DRIVERS)
    .default('local')
    .describe(
      'What carries messages. local: members on this machine, through a folder; udp: up to 16 with fixed addresses; nats: NATS servers.',
    ),
  folder: text(parsePath)
    .optional()
    .describe('With local: folder of the members’ sockets, mode 0700; `/run/designator/cluster-NAME` when absent.'),
  address: text(parseHost).optional().describe('With udp: address of this machine that messages are taken at.'),
  port: port.default(BUS_PORT).describe('With udp: port there.'),
  peers: z.array(peer).max(BUS_PEERS_MAX).optional().describe('With udp: the other members.'),
  servers: z
    .array(text(parseServer))
    .min(1)
    .max(BUS_PEERS_MAX)
    .optional()
    .describe('With nats: servers, `host:port`; one that can be reached is enough.'),
  user: credential.optional().describe('With nats: who this member is.'),
  password: credential.optional().describe('With nats: its password.'),
  passwordFile: text(parsePath).optional().describe('With nats: file that holds the password instead.'),
  token: credential.optional().describe('With nats: token, instead of user and password.'),
  tls: z
    .strictObject({
      ca: text(parsePath).optional().describe('File (PEM) of the authorities that servers’ certificates are of.'),
      certificate: text(parsePath).optional().describe('File (PEM) of this member’s certificate.'),
      key: text(parsePath).optional().describe('File (PEM) of its key.'),
    })
    .optional()
    .describe('With nats: TLS, also without any key in it.'),
  replicas: z
    .union([z.literal(1), z.literal(3)])
    .default(1)
    .describe('With nats: servers that keep the few entries in JetStream, 1 or 3.'),
  secret: z
    .string()
    .min(SECRET_LENGTH.min)
    .max(SECRET_LENGTH.max)
    .optional()
    .describe('Secret that authenticates all messages, 16 to 256 characters. udp: obligatory; nats: besides its own.'),
  secretFile: text(parsePath).optional().describe('File that holds the secret instead.'),
}).describe('How members reach one another.');

const share = section({
  tunnels: z
    .boolean()
    .default(true)
    .describe('Tell the others every tunnel and hold theirs, so that any of them can go on with them.'),
  rate: z
    .int()
    .min(RATE.min)
    .max(RATE.max)
    .default(RATE.default)
    .describe('Messages with connection state that are sent a second at most; the rest waits.'),
}).describe('What designators of the cluster share.');

const own = {
  name: name.describe('Name of the cluster: letters, digits, `-` and `_` with nats.'),
  number: z.int().min(1).max(MEMBER_MAX).describe('Number of this member, no other’s.'),
  member: name.optional().describe('Name of this member in `show cluster`; the host’s name when absent.'),
  bus,
} as const;

/** Of an LNS or an agent: it has no tunnels to share, but tells its load on the bus. */
export const endpointCluster = z
  .strictObject(own)
  .optional()
  .describe('Tell the load status on the bus of a cluster as well. Fixed until a restart.');

export const designatorCluster = z
  .strictObject({ ...own, share })
  .optional()
  .describe('The cluster that this designator is a member of. Fixed until a restart.');

export const announceSection = z
  .strictObject({
    addresses: z
      .union([z.literal('vips'), z.array(text(parseAddressOnly)).max(PREFIXES_MAX)])
      .default('vips')
      .describe(
        'Addresses that routers outside are to send here while this designator can forward: all VIPs with their NAT addresses, or these; `[]` for none.',
      ),
    inside: listOf(text(parsePrefix))
      .optional()
      .describe('Prefixes, `0.0.0.0/0` say, that routers and servers inside are to send here while the outside is up.'),
    table: z
      .int()
      .min(1)
      .max(2 ** 31 - 1)
      .default(1701)
      .describe('Table of the kernel for the routes of the addresses, which the host itself must not use.'),
    insideTable: z
      .int()
      .min(1)
      .max(2 ** 31 - 1)
      .default(1702)
      .describe('Table for the prefixes, likewise.'),
    device: text(parseDevice)
      .default('designator0')
      .describe('Device that the routes lead to; it is made for them, and goes with the process however that ends.'),
    settle: duration(0, 3600)
      .default('1s')
      .describe('A designator that can forward again waits so long before it says so; what it cannot it says at once.'),
    linger: duration(0, 8)
      .default('300ms')
      .describe('At the end it goes on forwarding so long after its routes are gone, until routers have heard of it.'),
  })
  .optional()
  .describe('Routes for a routing daemon (bird2): docs/operations.md. Fixed until a restart.');
