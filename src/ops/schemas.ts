/** JSON schemas of the control API: they check requests, and `/openapi.json` is made of them. */
import { TOP_LIMIT_MAX, TOP_SORTS, TOP_VIEWS } from './top.js';

const text = { type: 'string' } as const;
const number = { type: 'number' } as const;
const integer = { type: 'integer' } as const;
const boolean = { type: 'boolean' } as const;
const textOrNull = { type: ['string', 'null'] } as const;
const numberOrNull = { type: ['number', 'null'] } as const;
const integerOrNull = { type: ['integer', 'null'] } as const;

type Properties = Record<string, object>;

/** An object whose properties are all there, as rows are. */
function row($id: string, properties: Properties) {
  return { $id, type: 'object', required: Object.keys(properties), properties } as const;
}

function arrayOf($id: string, description: string) {
  return { description, type: 'array', items: { $ref: `${$id}#` } } as const;
}

export const SERVER_STATES = ['up', 'slow-start', 'suspect', 'down', 'draining', 'disabled', 'inactive'] as const;

export const SHARED_SCHEMAS = [
  row('Vip', {
    name: text,
    address: text,
    port: integer,
    protocols: text,
    algorithm: text,
    tunnels: integer,
    sessions: integer,
    servers: integer,
    serversUp: integer,
    reply: { type: 'string', enum: ['vip', 'nat', 'direct'] },
    natAddress: textOrNull,
    following: { ...integer, description: 'clients that go on with the address that answered' },
    carried: { ...integer, description: 'clients that go on sending to the VIP and are carried on' },
    refusing: { ...integer, description: 'clients that take no answer but the VIP’s' },
    notFollowing: { ...textOrNull, description: 'the last of those that do not follow' },
  }),
  row('Nat', {
    vip: text,
    farAddress: text,
    farPort: integer,
    localAddress: text,
    localPort: integerOrNull,
    natAddress: text,
    natPort: integer,
    farTunnelId: integerOrNull,
    localTunnelId: integerOrNull,
    server: text,
    sessions: integer,
    packetsIn: integer,
    packetsOut: integer,
    bytesIn: integer,
    bytesOut: integer,
    state: { type: 'string', enum: ['half-open', 'established', 'closing'] },
  }),
  row('VipMap', {
    vip: text,
    address: text,
    port: integer,
    realAddress: text,
    realPort: integer,
    weight: integer,
    algorithm: text,
  }),
  row('TakeOver', {
    server: text,
    heir: text,
    kind: textOrNull,
    generation: integer,
    state: { type: 'string', enum: ['ready', 'working', 'done'] },
    tunnels: integer,
    left: integer,
    ageSeconds: numberOrNull,
  }),
  row('Server', {
    name: text,
    vip: text,
    address: text,
    port: integer,
    state: { type: 'string', enum: SERVER_STATES },
    weight: integer,
    load: numberOrNull,
    tunnels: integer,
    sessions: integer,
    reason: textOrNull,
    sinceSeconds: number,
    requests: { ...integer, description: 'tunnel requests that it got' },
    history: {
      type: 'array',
      description: 'its last changes of state, oldest first',
      items: {
        type: 'object',
        required: ['at', 'from', 'to', 'reason', 'detail'],
        properties: { at: text, from: text, to: text, reason: textOrNull, detail: textOrNull },
      },
    },
    loadStatus: { type: ['object', 'null'], additionalProperties: true, description: 'what its last load status said' },
  }),
  row('Tunnel', {
    vip: text,
    protocol: text,
    client: { ...text, description: 'address:port, [address]:port for IPv6' },
    clientTunnelId: integerOrNull,
    virtualTunnelId: integerOrNull,
    server: text,
    serverAddress: text,
    serverPort: integerOrNull,
    serverTunnelId: integerOrNull,
    state: { type: 'string', enum: ['half-open', 'established', 'closing'] },
    sessions: integer,
    packetsIn: { ...integer, description: 'client → server' },
    packetsOut: { ...integer, description: 'server → client' },
    bytesIn: integer,
    bytesOut: integer,
    ageSeconds: number,
    idleSeconds: number,
    shard: integer,
    offloaded: boolean,
    writer: { ...textOrNull, description: 'member of the cluster that answers for it; null: this one' },
  }),
  row('Worker', {
    shard: integer,
    state: text,
    io: text,
    packets: integer,
    restarts: integer,
    heartbeatAgeSeconds: number,
    reason: { ...textOrNull, description: 'why io is not a better one' },
  }),
  row('Counter', {
    counter: text,
    count: integer,
    level: { ...boolean, description: 'the count goes down, too' },
    description: text,
  }),
  row('Drop', { reason: text, packets: integer, description: text }),
  row('FirewallRule', {
    rule: { ...integerOrNull, description: 'as in the file, from 0; null for what is no rule' },
    name: text,
    action: { type: 'string', enum: ['allow', 'deny', 'limit'] },
    match: text,
    limit: textOrNull,
    matched: { ...integer, description: 'packets and tunnel requests that it decided about' },
    refused: { ...integer, description: 'tunnel requests over its rates' },
  }),
  row('Explanation', {
    server: textOrNull,
    reason: text,
    existing: { ...boolean, description: 'true: a tunnel of this client is in the table already' },
    refusal: { ...textOrNull, description: 'the drop reason that a refusal is counted under' },
    candidates: {
      type: 'array',
      description: 'every server of the VIP',
      items: {
        type: 'object',
        properties: {
          server: text,
          takes: { ...boolean, description: 'it may take a new tunnel' },
          why: { ...textOrNull, description: 'why it may not' },
          state: { type: 'string', enum: SERVER_STATES },
          sinceSeconds: number,
          weight: integer,
          load: numberOrNull,
          tunnels: integer,
          sessions: integer,
        },
      },
    },
    notes: { type: 'array', items: text, description: 'what may change the answer, and what comes after it' },
  }),
  row('Problem', {
    severity: { type: 'string', enum: ['error', 'warning'] },
    file: text,
    line: integer,
    column: integer,
    path: text,
    message: text,
  }),
  row('ReloadResult', {
    ok: boolean,
    problems: { type: 'array', items: { $ref: 'Problem#' } },
    changes: { type: 'array', items: text },
  }),
  row('Error', {
    code: { ...text, description: 'stable: TD_USAGE, TD_NOT_FOUND, TD_CONFLICT, TD_CONFIG …' },
    message: text,
    context: { type: 'object', additionalProperties: true },
  }),
  row('Health', { status: { type: 'string', enum: ['ok', 'degraded', 'failed'] }, reason: textOrNull, version: text }),
] as const;

const ERRORS = {
  '4xx': { description: 'The request cannot be done as it stands.', $ref: 'Error#' },
  '5xx': { description: 'The designator could not do it.', $ref: 'Error#' },
} as const;

function answers(schema: object) {
  return { 200: schema, ...ERRORS };
}

const TUNNEL_ID = { type: 'integer', minimum: 0, maximum: 4294967295, description: 'clientTunnelId' } as const;
const CLIENT = { type: 'string', description: 'IP:PORT, [IPv6]:PORT' } as const;

function query(properties: Properties, required: readonly string[] = []) {
  return { type: 'object', additionalProperties: false, required, properties } as const;
}

function list(summary: string, $id: string, description: string) {
  return { summary, tags: ['tables'], querystring: query({}), response: answers(arrayOf($id, description)) };
}

const NO_QUERY = query({});
const HEALTH = {
  tags: ['health'],
  querystring: NO_QUERY,
  response: { 200: { $ref: 'Health#' }, 503: { description: 'Not now; the reason is named.', $ref: 'Health#' } },
};

export const ROUTES = {
  vips: list('Virtual addresses', 'Vip', 'One row a VIP.'),
  vipMap: list(
    'Which real servers a virtual address stands for',
    'VipMap',
    'One row a server, in the order of the file.',
  ),
  nat: list('Whom the NAT address stands for', 'Nat', 'One row a tunnel that is answered from a NAT address.'),
  servers: list('Servers', 'Server', 'One row a server.'),
  workers: list('Shards', 'Worker', 'One row a shard.'),
  drops: list('Packets that ended here', 'Drop', 'One row a reason.'),
  firewall: list('Firewall rules and what they matched', 'FirewallRule', 'One row a rule, then the default.'),
  takeOvers: list(
    'Servers whose tunnels went to their peers',
    'TakeOver',
    'One row an order, then the pairs without one.',
  ),
  counters: list('What shards count besides packets and drops', 'Counter', 'One row a counter.'),
  tunnels: {
    summary: 'Tunnels',
    description: 'Sent while it is made, one row a line; tunnels that come or go meanwhile may be listed or not.',
    tags: ['tables'],
    querystring: query({
      vip: text,
      server: text,
      client: CLIENT,
      tunnel: TUNNEL_ID,
      limit: { type: 'integer', minimum: 1, description: 'rows at most' },
    }),
    response: answers(arrayOf('Tunnel', 'One row a tunnel.')),
  },
  top: {
    summary: 'Rates of tunnels, servers or shards since the last look; the first rows by one of them',
    description:
      'The counters are read at most twice a second, for all who ask. `seconds` is null at the first look: ask again after some time.',
    tags: ['tables'],
    querystring: query({
      view: { type: 'string', enum: TOP_VIEWS, default: 'tunnels' },
      sort: { type: 'string', enum: [...new Set(Object.values(TOP_SORTS).flat())] },
      reverse: boolean,
      limit: { type: 'integer', minimum: 1, maximum: TOP_LIMIT_MAX, default: 50 },
      vip: text,
      server: text,
      client: CLIENT,
    }),
    response: answers({ type: 'object', additionalProperties: true }),
  },
  explain: {
    summary: 'Which server a tunnel request would get, and why; nothing is sent and no turn is used up',
    tags: ['tables'],
    querystring: query(
      {
        client: CLIENT,
        vip: text,
        tunnel: TUNNEL_ID,
        recover: {
          type: 'string',
          pattern: '^[0-9]{1,5}:[0-9]{1,5}$',
          description: 'ids of the tunnel that the request recovers: the client’s own, and the one that it was shown',
        },
        tie: { type: 'boolean', description: 'the request has a tie breaker' },
        group: {
          type: 'string',
          minLength: 1,
          maxLength: 255,
          description: 'its Host Name or Calling Number, as `groupBy` of the VIP asks',
        },
      },
      ['client', 'vip'],
    ),
    response: answers({ $ref: 'Explanation#' }),
  },
  command: {
    summary: 'Drain, enable or disable servers, or give them another weight',
    tags: ['changes'],
    querystring: NO_QUERY,
    body: {
      type: 'object',
      additionalProperties: false,
      required: ['action', 'names'],
      properties: {
        action: { type: 'string', enum: ['drain', 'enable', 'disable', 'weight', 'activate', 'inactivate'] },
        names: { type: 'array', minItems: 1, maxItems: 4096, items: { type: 'string', minLength: 1 } },
        weight: { type: 'integer', minimum: 0, maximum: 1000, description: 'with action weight, and only there' },
        deadlineSeconds: {
          type: 'number',
          exclusiveMinimum: 0,
          description: 'with action drain or inactivate, and only there: tunnels that are left then are closed',
        },
      },
    },
    response: answers(arrayOf('Server', 'The rows of the servers that were named, as they are now.')),
  },
  reload: {
    summary: 'Read the configuration file again; on an error nothing changes (409, problems in the context)',
    tags: ['changes'],
    querystring: NO_QUERY,
    response: answers({ $ref: 'ReloadResult#' }),
  },
  capture: {
    summary: 'Frames as they cross, before and after the rewrite, and those that are dropped, as an endless stream',
    description:
      'pcapng has a comment for every frame, which says what was decided. Ends after `seconds` or `count`, or when the reader goes. Trailers: x-captured-frames, x-dropped-frames.',
    tags: ['tables'],
    querystring: query({
      tunnel: TUNNEL_ID,
      client: CLIENT,
      seconds: { type: 'number', exclusiveMinimum: 0, maximum: 86400 },
      count: { type: 'integer', minimum: 1 },
      format: { type: 'string', enum: ['pcap', 'pcapng'], default: 'pcap' },
    }),
    produces: ['application/vnd.tcpdump.pcap', 'application/x-pcapng'],
    response: ERRORS,
  },
  events: {
    summary: 'What happens, as it happens: one JSON object a line, without an end',
    description:
      'A reader that is too slow loses events and gets one of type `lost` with their count in their place. Ends after `count`, or when the reader goes.',
    tags: ['tables'],
    querystring: query({
      type: { ...text, description: 'types, commas between them' },
      vip: text,
      server: text,
      client: CLIENT,
      sinceSeconds: { type: 'number', minimum: 0, description: 'begin so far back, with what is remembered' },
      follow: { ...boolean, default: true, description: 'false: only what is remembered' },
      count: { type: 'integer', minimum: 1 },
    }),
    produces: ['application/x-ndjson'],
    response: ERRORS,
  },
  health: {
    ...HEALTH,
    summary:
      '200 while all parts run, `degraded` with what ails the cluster; 503 with the reason when a part does not run',
  },
  ready: { ...HEALTH, summary: '200 while traffic flows, else 503' },
  metrics: {
    summary: 'Metrics in the Prometheus text format',
    tags: ['health'],
    querystring: NO_QUERY,
    produces: ['text/plain'],
    response: { 200: { type: 'string' } },
  },
} as const;
