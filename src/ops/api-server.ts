/**
 * What every API of the program has in common: how an app is made, how an error is said, and how the unix socket and the
 * HTTP address are listened on. Errors are `{ code, message, context }` with 400, 404, 409, 500 or 503.
 */
import type { AddressInfo } from 'node:net';
import fastify, { type FastifyError, type FastifyInstance, type FastifyReply } from 'fastify';
import { DesignatorError, type ErrorCode } from '../errors.js';
import { type Logger, limited } from './log.js';
import { asSocketError, claimSocketPath, inodeOf, removeSocket, restrictSocket } from './unix-socket.js';

/** No request of these APIs is large; a list of all server names fits many times. */
const BODY_LIMIT_BYTES = 256 * 1024;
const ERROR_LINES_PER_SECOND = 5;
/** Connections at one time, for each server. */
const CONNECTIONS_MAX = 256;

const STATUS_OF: Record<ErrorCode, number> = {
  TD_USAGE: 400,
  TD_CONFIG: 409,
  TD_UNAVAILABLE: 503,
  TD_NO_PERMISSION: 500,
  TD_NOT_RUNNING: 503,
  TD_NOT_FOUND: 404,
  TD_CONFLICT: 409,
  TD_INTERNAL: 500,
};

export interface HttpAddress {
  readonly host: string;
  readonly port: number;
}

/** A running API. */
export interface ControlApi {
  /** Where HTTP really listens (a configured port 0 is some port), null without `control.http`. */
  readonly httpAddress: HttpAddress | null;
  /** Ends open captures and requests, removes the socket. May be called twice. */
  close(): Promise<void>;
}

export interface ListenOptions {
  /** Path of the unix socket. */
  readonly socket: string;
  readonly http: HttpAddress | null;
  /** The routes of the unix socket. */
  control(): Promise<FastifyInstance>;
  /** The routes of the HTTP address; called when there is one. */
  pages(): Promise<FastifyInstance>;
}

/**
 * Listens. Errors: TD_CONFLICT another process has the socket or the port, TD_NO_PERMISSION, TD_UNAVAILABLE the HTTP
 * address is not one of this machine. After an error nothing listens.
 */
export async function listen({ socket, http, ...apps }: ListenOptions): Promise<ControlApi> {
  await claimSocketPath(socket);
  const control = await apps.control();
  const pages = http === null ? null : await apps.pages();
  let inode: number | null = null;
  const close = async () => {
    await Promise.all([control.close(), pages?.close()]);
    if (inode !== null) removeSocket(socket, inode);
    inode = null;
  };
  try {
    await control.listen({ path: socket });
    restrictSocket(socket);
    inode = inodeOf(socket);
  } catch (error) {
    await close();
    throw asSocketError(error, socket);
  }
  if (http === null || pages === null) return { httpAddress: null, close };
  try {
    await pages.listen({ host: http.host, port: http.port });
  } catch (error) {
    await close();
    throw asHttpError(error, http);
  }
  return { httpAddress: { host: http.host, port: (pages.server.address() as AddressInfo).port }, close };
}

/** An app without routes that answers errors in the common form. */
export function newApp(logger: Logger, exposeHeadRoutes = false): FastifyInstance {
  const app = fastify({
    bodyLimit: BODY_LIMIT_BYTES,
    exposeHeadRoutes,
    forceCloseConnections: true,
    ajv: { customOptions: { removeAdditional: false, allErrors: true, coerceTypes: true } },
  });
  app.server.maxConnections = CONNECTIONS_MAX;
  // The schemas describe the answers; what is sent is exactly what the appliance said, never a cut-down copy.
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  app.addHook('onSend', async (_request, reply) => {
    void reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff');
  });
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const known = asDesignatorError(error);
    const status = STATUS_OF[known.code];
    if (status === 500) {
      limited(logger, 'control-api', ERROR_LINES_PER_SECOND).error(
        { err: error, method: request.method, path: request.url },
        'a control request failed',
      );
    }
    return sendError(reply, status, known);
  });
  app.setNotFoundHandler((request, reply) =>
    sendError(
      reply,
      404,
      new DesignatorError('TD_NOT_FOUND', `no such route: ${request.method} ${request.url.split('?', 1)[0]}`),
    ),
  );
  return app;
}

function asDesignatorError(error: FastifyError): DesignatorError {
  if (error instanceof DesignatorError) return error;
  if (error.validation !== undefined) {
    const where = error.validationContext === 'querystring' ? 'query' : (error.validationContext ?? 'request');
    const findings = error.validation.map((finding) => {
      const name = finding.instancePath.slice(1).replaceAll('/', '.');
      const extra = finding.params.additionalProperty === undefined ? '' : `: "${finding.params.additionalProperty}"`;
      const allowed = Array.isArray(finding.params.allowedValues)
        ? ` (${finding.params.allowedValues.join(', ')})`
        : '';
      return `${name === '' ? where : `${where} ${name}`} ${finding.message}${extra}${allowed}`;
    });
    return new DesignatorError('TD_USAGE', findings.join('; '), {}, error);
  }
  if (error.statusCode !== undefined && error.statusCode < 500)
    return new DesignatorError('TD_USAGE', error.message, {}, error);
  return new DesignatorError('TD_INTERNAL', 'internal error; the log says more', {}, error);
}

function sendError(reply: FastifyReply, status: number, { code, message, context }: DesignatorError): FastifyReply {
  return reply.code(status).type('application/json; charset=utf-8').send({ code, message, context });
}

function asHttpError(error: unknown, http: HttpAddress): Error {
  const errno = (error as NodeJS.ErrnoException).code;
  const at = `control.http ${http.host}:${http.port}`;
  if (errno === 'EADDRINUSE')
    return new DesignatorError('TD_CONFLICT', `${at}: another process listens there`, { ...http }, error);
  if (errno === 'EACCES')
    return new DesignatorError('TD_NO_PERMISSION', `${at}: no permission to listen there`, { ...http }, error);
  if (errno === 'EADDRNOTAVAIL' || errno === 'ENOTFOUND') {
    return new DesignatorError('TD_UNAVAILABLE', `${at}: not an address of this machine`, { ...http, errno }, error);
  }
  return error as Error;
}
