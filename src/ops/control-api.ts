/**
 * The control API over an `Appliance`. Two servers:
 *
 * - the unix socket: all tables and all changes, guarded by its file mode (DESIGN §5). The commands speak to it.
 * - `control.http`, optional: metrics, health and the status page. It has no route that changes anything.
 *
 * Errors are `{ code, message, context }` with 400, 404, 409, 500 or 503.
 */
import { Readable } from 'node:stream';
import swagger from '@fastify/swagger';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { DesignatorError } from '../errors.js';
import { type ControlApi, type HttpAddress, listen, newApp } from './api-server.js';
import type { Appliance, ExplainRequest, ServerCommand, TunnelFilter } from './appliance.js';
import type { CaptureFormat } from './capture.js';
import { sendCapture } from './capture-route.js';
import { canonicalClient } from './client-address.js';
import { jsonArray, tunnelSlices } from './json-stream.js';
import { addParts } from './endpoint-api.js';
import { type EventQuery, sendEvents } from './event-route.js';
import type { Logger } from './log.js';
import { Metrics } from './metrics.js';
import { ROUTES, SHARED_SCHEMAS } from './schemas.js';
import { PAGE_POLICY, statusPage } from './status-page.js';
import { TOP_SORTS, type TopQuery } from './top.js';
export type { ControlApi } from './api-server.js';

export interface ControlApiOptions {
  readonly appliance: Appliance;
  /** Path of the unix socket. */
  readonly socket: string;
  readonly http: HttpAddress | null;
  readonly logger: Logger;
  readonly version: string;
  /** For the metrics' HELP text: process.versions.node. */
  readonly nodeVersion: string;
}

/**
 * Listens. Errors: TD_CONFLICT another designator has the socket or another process the port, TD_NO_PERMISSION,
 * TD_UNAVAILABLE the HTTP address is not one of this machine. After an error nothing listens.
 */
export async function startControlApi(options: ControlApiOptions): Promise<ControlApi> {
  const { socket, http } = options;
  const metrics = new Metrics(options.appliance, { version: options.version, node: options.nodeVersion });
  return listen({ socket, http, control: () => controlApp(options, metrics), pages: () => pagesApp(options, metrics) });
}

/** The routes of the unix socket; exported for `app.inject` in tests. */
export async function controlApp(options: ControlApiOptions, metrics: Metrics): Promise<FastifyInstance> {
  const { appliance } = options;
  const app = newApp(options.logger);
  for (const schema of SHARED_SCHEMAS) app.addSchema(schema);
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Tunnel designator, control API',
        version: options.version,
        description:
          'Served on the unix socket `control.socket`; whoever may open the socket may change the appliance.',
      },
      tags: [
        { name: 'tables', description: 'What runs now; changes nothing' },
        { name: 'changes', description: 'Changes to what runs' },
        { name: 'health', description: 'For supervisors and collectors' },
      ],
    },
    refResolver: { buildLocalReference: (json, _base, _fragment, index) => String(json.$id ?? `schema${index}`) },
  });

  app.get('/v1/vips', { schema: ROUTES.vips }, async () => appliance.vips());
  app.get('/v1/vip-map', { schema: ROUTES.vipMap }, async () => appliance.vipMap());
  app.get('/v1/nat', { schema: ROUTES.nat }, (_request, reply) => {
    void reply.type('application/json; charset=utf-8').send(Readable.from(jsonArray(appliance.natSlices())));
  });
  app.get('/v1/servers', { schema: ROUTES.servers }, async () => appliance.servers());
  app.get('/v1/workers', { schema: ROUTES.workers }, async () => appliance.workers());
  app.get('/v1/drops', { schema: ROUTES.drops }, async () => appliance.drops());
  app.get('/v1/counters', { schema: ROUTES.counters }, async () => appliance.counters());

  app.get('/v1/take-overs', { schema: ROUTES.takeOvers }, async () => appliance.takeOvers());

  app.get('/v1/firewall', { schema: ROUTES.firewall }, async () => appliance.firewall());

  app.get<{ Querystring: TunnelFilter }>('/v1/tunnels', { schema: ROUTES.tunnels }, (request, reply) => {
    const slices = tunnelSlices(appliance, withClient(request.query));
    void reply.type('application/json; charset=utf-8').send(Readable.from(jsonArray(slices)));
  });

  app.get<{ Querystring: Partial<TopQuery> }>('/v1/top', { schema: ROUTES.top }, async (request) => {
    const { view = 'tunnels', sort, limit = 50, ...rest } = withClient(request.query);
    return appliance.top({ ...rest, view, limit, sort: sort ?? TOP_SORTS[view][0] });
  });

  app.get<{ Querystring: ExplainRequest }>('/v1/explain', { schema: ROUTES.explain }, async (request) =>
    appliance.explain(withClient(request.query)),
  );

  app.post<{ Body: ServerCommand }>('/v1/servers/command', { schema: ROUTES.command }, async (request) => {
    checkCommand(request.body);
    const rows = appliance.command(request.body);
    const { action, names, weight, deadlineSeconds } = request.body;
    options.logger.info({ action, names, weight, deadlineSeconds }, 'servers changed by command');
    return rows;
  });

  app.post('/v1/reload', { schema: ROUTES.reload }, async () => {
    const result = await appliance.reload();
    if (result.ok) return result;
    throw new DesignatorError('TD_CONFIG', 'the configuration was not applied; the old one goes on', {
      problems: result.problems,
    });
  });

  // Not for operators: answers only where the process was started with TD_TEST_COMMANDS=1.
  const crashQuery = { type: 'object', required: ['shard'], properties: { shard: { type: 'integer', minimum: 0 } } };
  app.post<{ Querystring: { shard: number } }>(
    '/v1/test/crash',
    { schema: { hide: true, querystring: crashQuery } },
    async (request) => {
      appliance.crashShard(request.query.shard);
      return {};
    },
  );

  interface CaptureQuery {
    tunnel?: number;
    client?: string;
    seconds?: number;
    count?: number;
    format?: CaptureFormat;
  }
  const captures = new Set<() => void>();
  app.get<{ Querystring: CaptureQuery }>('/v1/capture', { schema: ROUTES.capture }, (request, reply) => {
    const { seconds, count, format = 'pcap', ...filter } = withClient(request.query);
    sendCapture(reply, appliance.capture(filter, format), { seconds, count, format }, captures, options.logger);
  });
  const eventStreams = new Set<() => void>();
  app.get<{ Querystring: EventQuery }>('/v1/events', { schema: ROUTES.events }, (request, reply) => {
    sendEvents(reply, appliance.events, withClient(request.query), eventStreams);
  });
  app.addHook('preClose', (done) => {
    for (const end of [...captures, ...eventStreams]) end();
    done();
  });

  const groups = appliance.groups?.() ?? null;
  if (groups !== null) addParts(app, groups, options.logger);
  addHealthRoutes(app, options, metrics);
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger());
  await app.ready();
  return app;
}

/** The routes of `control.http`. */
export async function pagesApp(options: ControlApiOptions, metrics: Metrics): Promise<FastifyInstance> {
  const app = newApp(options.logger, true);
  for (const schema of SHARED_SCHEMAS) app.addSchema(schema);
  addHealthRoutes(app, options, metrics);
  app.get('/', async (_request, reply) => {
    void reply.header('content-security-policy', PAGE_POLICY).type('text/html; charset=utf-8');
    return statusPage(options.appliance, options.version);
  });
  await app.ready();
  return app;
}

function addHealthRoutes(app: FastifyInstance, { appliance, version }: ControlApiOptions, metrics: Metrics): void {
  app.get('/metrics', { schema: ROUTES.metrics }, async (_request, reply) => {
    void reply.type(metrics.contentType);
    // As bytes, because the JSON serializer would quote a string.
    return Buffer.from(await metrics.text());
  });
  const health = (reply: FastifyReply, reason: string | null, degraded: string | null = null) => {
    void reply.code(reason === null ? 200 : 503);
    const status = reason !== null ? 'failed' : degraded === null ? 'ok' : 'degraded';
    return { status, reason: reason ?? degraded, version };
  };
  app.get('/healthz', { schema: ROUTES.health }, async (_request, reply) =>
    health(reply, appliance.unhealthy(), appliance.degraded?.() ?? null),
  );
  app.get('/readyz', { schema: ROUTES.ready }, async (_request, reply) =>
    health(reply, appliance.ready() ? null : 'not ready yet'),
  );
}

function withClient<T extends { client?: string }>(query: T): T {
  return query.client === undefined ? query : { ...query, client: canonicalClient(query.client) };
}

function checkCommand({ action, weight, deadlineSeconds }: ServerCommand): void {
  if ((action === 'weight') !== (weight !== undefined)) {
    throw new DesignatorError('TD_USAGE', '"weight" belongs to the action "weight", which needs it');
  }
  if (deadlineSeconds !== undefined && action !== 'drain' && action !== 'inactivate') {
    throw new DesignatorError('TD_USAGE', '"deadlineSeconds" belongs to the actions "drain" and "inactivate"');
  }
}
