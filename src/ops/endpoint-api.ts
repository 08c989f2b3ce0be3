/**
 * The control API over an `Endpoint` (an LNS, a LAC or a gateway): the same two servers as the designator's, the unix socket with
 * tables and commands, and `control.http` with metrics and health, which changes nothing. Every answer of the socket
 * carries the role in `x-designator-role`, so that one `show` serves all roles.
 */
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { DesignatorError } from '../errors.js';
import { type ControlApi, type HttpAddress, listen, newApp } from './api-server.js';
import { canonicalCustomer } from './client-address.js';
import type { Endpoint, EndpointTable, TableFilter } from './endpoint.js';
import { EndpointMetrics } from './endpoint-metrics.js';
import { type EventQuery, sendEvents } from './event-route.js';
import { jsonArray } from './json-stream.js';
import type { Logger } from './log.js';

export const ROLE_HEADER = 'x-designator-role';

export interface EndpointApiOptions {
  readonly endpoint: Endpoint;
  /** Path of the unix socket. */
  readonly socket: string;
  readonly http: HttpAddress | null;
  readonly logger: Logger;
  readonly version: string;
  readonly nodeVersion: string;
}

const LIMIT_MAX = 1_000_000_000;
const FILTERS: Readonly<Record<keyof TableFilter, object>> = {
  limit: { type: 'integer', minimum: 1, maximum: LIMIT_MAX },
  tunnel: { type: 'integer', minimum: 0, maximum: 0xffff },
  session: { type: 'integer', minimum: 0, maximum: 0xffff },
  user: { type: 'string', maxLength: 253 },
  client: { type: 'string', maxLength: 80 },
  group: { type: 'string', maxLength: 63 },
  gateway: { type: 'integer', minimum: 1, maximum: 255 },
  host: { type: 'string', maxLength: 45 },
};
const EVENT_QUERY = {
  type: 'object',
  additionalProperties: false,
  properties: {
    type: { type: 'string', maxLength: 1024 },
    vip: { type: 'string', maxLength: 63 },
    server: { type: 'string', maxLength: 63 },
    client: { type: 'string', maxLength: 80 },
    sinceSeconds: { type: 'number', minimum: 0, maximum: 1e9 },
    follow: { type: 'boolean' },
    count: { type: 'integer', minimum: 1, maximum: LIMIT_MAX },
  },
} as const;

/** Listens. Errors: as `startControlApi` of the designator. */
export async function startEndpointApi(options: EndpointApiOptions): Promise<ControlApi> {
  const metrics = new EndpointMetrics(options.endpoint, { version: options.version, node: options.nodeVersion });
  return listen({
    socket: options.socket,
    http: options.http,
    control: () => endpointApp(options, metrics),
    pages: () => endpointPages(options, metrics),
  });
}

/** The routes of the unix socket; exported for `app.inject` in tests. */
export async function endpointApp(options: EndpointApiOptions, metrics: EndpointMetrics): Promise<FastifyInstance> {
  const { endpoint, logger } = options;
  const app = newApp(logger);
  app.addHook('onSend', async (_request, reply) => void reply.header(ROLE_HEADER, endpoint.role));

  app.get('/v1/role', async () => ({
    role: endpoint.role,
    tables: [...endpoint.tables].map(([name, { description }]) => ({ name, description })),
    commands: [...endpoint.commands].map(([name, { description, body }]) => ({ name, description, body })),
  }));
  addParts(app, endpoint, logger);
  app.post('/v1/reload', async () => {
    const result = await endpoint.reload();
    if (result.ok) return result;
    throw new DesignatorError('TD_CONFIG', 'the configuration was not applied; the old one goes on', {
      problems: result.problems,
    });
  });
  const streams = new Set<() => void>();
  app.get<{ Querystring: EventQuery }>('/v1/events', { schema: { querystring: EVENT_QUERY } }, (request, reply) => {
    sendEvents(reply, endpoint.events, request.query, streams);
  });
  app.addHook('preClose', (done) => {
    for (const end of [...streams]) end();
    done();
  });
  addHealth(app, options, metrics);
  await app.ready();
  return app;
}

/** The routes of `control.http`. */
export async function endpointPages(options: EndpointApiOptions, metrics: EndpointMetrics): Promise<FastifyInstance> {
  const app = newApp(options.logger, true);
  addHealth(app, options, metrics);
  await app.ready();
  return app;
}

/** Tables as `GET /v1/<name>`, commands as `POST /v1/command/<name>`. */
export function addParts(
  app: FastifyInstance,
  { tables, commands }: Pick<Endpoint, 'tables' | 'commands'>,
  logger: Logger,
): void {
  for (const [name, table] of tables) addTable(app, name, table);
  for (const [name, command] of commands) {
    app.post<{ Body: Record<string, unknown> }>(
      `/v1/command/${name}`,
      { schema: { hide: true, body: command.body } },
      async (request) => {
        const answer = await command.run(request.body);
        logger.info({ command: name, ...request.body }, 'command');
        return answer;
      },
    );
  }
}

function addTable(app: FastifyInstance, name: string, table: EndpointTable): void {
  const known = ['limit', ...table.filters] as (keyof TableFilter)[];
  const querystring = {
    type: 'object',
    additionalProperties: false,
    properties: Object.fromEntries(known.map((filter) => [filter, FILTERS[filter]])),
  };
  app.get<{ Querystring: TableFilter }>(`/v1/${name}`, { schema: { hide: true, querystring } }, (request, reply) => {
    const { client, ...rest } = request.query;
    const filter = client === undefined ? rest : { ...rest, client: canonicalCustomer(client) };
    const slices = atMost(table.rows(filter), filter.limit ?? LIMIT_MAX);
    void reply.type('application/json; charset=utf-8').send(Readable.from(jsonArray(slices)));
  });
}

function* atMost(slices: Iterable<readonly object[]>, limit: number): Generator<readonly object[]> {
  let left = limit;
  for (const slice of slices) {
    if (left === 0) return;
    const part = slice.length > left ? slice.slice(0, left) : slice;
    left -= part.length;
    yield part;
  }
}

function addHealth(app: FastifyInstance, { endpoint, version }: EndpointApiOptions, metrics: EndpointMetrics): void {
  app.get('/metrics', async (_request, reply) => {
    void reply.type(metrics.contentType);
    // As bytes, because the JSON serializer would quote a string.
    return Buffer.from(await metrics.text());
  });
  const health = (reply: FastifyReply, reason: string | null) => {
    void reply.code(reason === null ? 200 : 503);
    return { status: reason === null ? 'ok' : 'failed', reason, version };
  };
  app.get('/healthz', async (_request, reply) => health(reply, endpoint.unhealthy()));
  app.get('/readyz', async (_request, reply) => health(reply, endpoint.ready() ? null : 'not ready yet'));
}
