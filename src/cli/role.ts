/**
 * What `designator lns` and `designator lac` have in common: a role in the foreground until SIGTERM, with its control
 * API; SIGHUP reads the configuration again.
 */
import { formatProblem } from '../config/problem.js';
import type { ConfigProblem } from '../config/compiled.js';
import { DesignatorError, EXIT } from '../errors.js';
import type { Endpoint } from '../ops/endpoint.js';
import type { Logger, LogLevel } from '../ops/log.js';
import type { CliContext } from './context.js';

/** DESIGN §5: SIGTERM ends the process in an orderly way within 10 s; beyond this it is ended anyhow. */
const STOP_LIMIT_MS = 9000;

export interface RoleSettings {
  readonly logLevel: LogLevel;
  readonly control: { readonly socket: string; readonly http: { readonly host: string; readonly port: number } | null };
  readonly warnings: readonly ConfigProblem[];
}

export interface RoleProcess {
  readonly endpoint: Endpoint;
  /** Resolves when calls are taken. Errors: DesignatorError; the process then ends with its status. */
  start(): Promise<Record<string, unknown>>;
  /** Ends tunnels in an orderly way and frees what was taken of the host. */
  stop(): Promise<void>;
}

export interface RoleHooks {
  readonly logger: Logger;
  /** The role cannot go on: ends the process. */
  onFatal(error: Error): void;
}

/** Runs a role until a signal ends it. */
export async function runRole(
  context: CliContext,
  settings: RoleSettings,
  build: (hooks: RoleHooks) => RoleProcess | Promise<RoleProcess>,
): Promise<void> {
  const [{ startEndpointApi }, { createLogger, flushLogger, logReady }, { exitNow, notify, notifyReloading }] =
    await Promise.all([import('../ops/endpoint-api.js'), import('../ops/log.js'), import('../roles/service.js')]);
  const logger = createLogger(settings.logLevel);
  for (const warning of settings.warnings) logger.warn({ problem: formatProblem(warning) }, 'configuration');
  let end: () => void = () => {};
  const ended = new Promise<'ended'>((settle) => {
    end = () => settle('ended');
  });
  // From here on signals are ours: one that comes during the start must still end it in order.
  const forget = (['SIGTERM', 'SIGINT'] as const).map((signal) => context.onSignal(signal, end));
  const onFatal = (error: Error): void => {
    logger.fatal({ err: error }, 'cannot go on');
    flushLogger(logger);
    exitNow(error instanceof DesignatorError ? error.exitStatus : EXIT.internal);
  };
  const role = await build({ logger, onFatal });
  const { endpoint } = role;
  forget.push(
    context.onSignal('SIGHUP', () => {
      if (!endpoint.ready()) return logger.warn({}, 'SIGHUP before the start was complete: nothing to reload');
      notifyReloading();
      endpoint
        .reload()
        .then(({ ok, problems, changes }) => {
          const facts = { problems: problems.map(formatProblem), changes };
          if (ok) logger.info(facts, 'configuration reloaded');
          else logger.error(facts, 'the configuration was not applied; the old one goes on');
        })
        .catch((error: unknown) => logger.error({ err: error }, 'reload failed'))
        .finally(() => notify('READY=1'));
    }),
  );
  // First the socket: a second process on it must not touch the first one's addresses.
  const api = await startEndpointApi({
    endpoint,
    ...settings.control,
    logger,
    version: context.version,
    nodeVersion: context.nodeVersion,
  });
  try {
    const first = await Promise.race([role.start(), ended]);
    if (first !== 'ended') {
      logReady(logger, { role: endpoint.role, ...first, socket: settings.control.socket, http: api.httpAddress });
      notify('READY=1');
      await ended;
    }
    logger.info({}, 'ending');
    notify('STOPPING=1');
  } finally {
    const late = setTimeout(() => exitNow(EXIT.internal), STOP_LIMIT_MS);
    await api.close();
    await role.stop();
    clearTimeout(late);
    for (const off of forget) off();
    logger.info({}, 'ended');
    flushLogger(logger);
  }
}
