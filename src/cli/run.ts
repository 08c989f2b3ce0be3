/** `designator run`: the appliance, in the foreground, until SIGTERM. SIGHUP reloads the configuration. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { formatProblem, isError } from '../config/problem.js';
import { DesignatorError, EXIT } from '../errors.js';
import type { CliContext } from './context.js';
import { addConfigOption } from './options.js';

/** DESIGN §5: SIGTERM ends the process in an orderly way within 10 s; beyond this it is ended anyhow. */
const STOP_LIMIT_MS = 9000;
/** The watchdog is told twice within its time (sd_watchdog_enabled(3)). */
const WATCHDOG_SHARE = 2;

interface RunOptions {
  readonly config: string;
  readonly pin?: boolean;
  readonly attached?: boolean;
}

export function register(program: Command, context: CliContext): void {
  addConfigOption(
    program.command('run').description('the appliance, in the foreground; SIGHUP reloads, SIGTERM ends it'),
  )
    .option('--pin', 'keep each shard on a CPU of its own')
    .option('--attached', 'end when standard input ends: for a program that carries this one')
    .action((options: RunOptions) => run(options, context));
}

/** `leave`: what the kernel forwards by itself goes on, for the next process (SIGUSR1). */
type Ending = 'end' | 'leave';

async function run(options: RunOptions, context: CliContext): Promise<void> {
  const { loadConfig, readConfig } = await import('../config/load.js');
  const file = resolve(context.cwd, options.config);
  const { config, warnings } = loadConfig(file, { shownAs: options.config });
  const [
    { DesignatorProcess },
    { shardCount },
    { openDatapath },
    { DesignatorAppliance },
    { startControlApi },
    { createLogger, flushLogger, logReady },
    { diffConfigs },
    { exitNow, notify, notifyReloading },
  ] = await Promise.all([
    import('../roles/designator/designator.js'),
    import('../roles/designator/shard-count.js'),
    import('../roles/designator/open-datapath.js'),
    import('../roles/designator/appliance.js'),
    import('../ops/control-api.js'),
    import('../ops/log.js'),
    import('../config/diff.js'),
    import('../roles/service.js'),
  ]);
  const logger = createLogger(config.log.level);
  for (const warning of warnings) logger.warn({ problem: formatProblem(warning) }, 'configuration');

  let end: (how: Ending) => void = () => {};
  const ended = new Promise<Ending>((settle) => {
    end = settle;
  });
  // From here on signals are ours: one that comes during the start must still end it in order.
  const forget = [
    context.onSignal('SIGTERM', () => end('end')),
    context.onSignal('SIGINT', () => end('end')),
    context.onSignal('SIGUSR1', () => end('leave')),
  ];
  if (options.attached === true) onInputEnd(context, () => end('end'));

  const datapath = openDatapath({ config, shards: shardCount(config), logger, processId: context.pid });
  const designator = new DesignatorProcess({
    config,
    logger,
    datapath,
    pin: options.pin === true,
    version: context.version,
    onFatal: (error) => {
      // A thread that hangs in native code cannot be joined: an ordinary exit would hang with it.
      logger.fatal({ err: error }, 'cannot go on');
      flushLogger(logger);
      exitNow(error instanceof DesignatorError ? error.exitStatus : EXIT.internal);
    },
    reload: async (current) => {
      const { config: next, problems, placeOf } = readConfig(file, { shownAs: options.config });
      if (next === null)
        return { config: null, result: { ok: false, problems: problems.filter(isError), changes: [] } };
      const { changes, refused } = diffConfigs(current, next, placeOf);
      if (refused.length > 0) return { config: null, result: { ok: false, problems: refused, changes: [] } };
      return { config: next, result: { ok: true, problems, changes } };
    },
  });
  const appliance = new DesignatorAppliance(designator, context.env.TD_TEST_COMMANDS === '1');
  forget.push(
    context.onSignal('SIGHUP', () => {
      if (!designator.ready()) return logger.warn({}, 'SIGHUP before the start was complete: nothing to reload');
      notifyReloading();
      designator.reloads
        .reload()
        .catch((error: unknown) => logger.error({ err: error }, 'reload failed'))
        .finally(() => notify('READY=1'));
    }),
  );
  // First the socket: a second designator on it must not touch the first one's interfaces.
  const api = await startControlApi({
    appliance,
    socket: config.control.socket,
    http: config.control.http,
    logger,
    version: context.version,
    nodeVersion: context.nodeVersion,
  });
  let watchdog: NodeJS.Timeout | null = null;
  let leaves = false;
  try {
    const started = designator.start();
    const first = await Promise.race([started.then(() => 'started' as const), ended]);
    if (first === 'started') {
      watchdog = startWatchdog(context, () => appliance.unhealthy() === null, notify);
      logReady(logger, {
        vips: config.vips.length,
        shards: designator.shards,
        io: designator.pool.ioOf[0],
        outside: config.outside.name,
        inside: config.inside.name,
        socket: config.control.socket,
        http: api.httpAddress,
        tunnels: designator.table.adopted,
      });
      notify(`READY=1\nSTATUS=${config.vips.length} VIPs on ${designator.shards} shards`);
      leaves = (await ended) === 'leave';
    }
    logger.info({}, leaves ? 'ending; the kernel goes on' : 'ending');
    notify('STOPPING=1');
  } finally {
    if (watchdog !== null) clearInterval(watchdog);
    const late = setTimeout(() => exitNow(EXIT.internal), STOP_LIMIT_MS);
    // While the API still answers, and before anything is forwarded no more.
    await designator.retreat();
    await api.close();
    if (leaves) leaves = await designator.leave();
    else await designator.stop();
    clearTimeout(late);
    for (const off of forget) off();
    logger.info({ forwarding: leaves }, 'ended');
    flushLogger(logger);
  }
}

/** Whoever carries this process keeps its standard input open; that it ends says that they are gone, whatever ended them. */
function onInputEnd({ stdin }: CliContext, listener: () => void): void {
  stdin.once('end', listener);
  stdin.once('error', listener);
  stdin.resume();
}

/** Tells systemd that all shards live, twice within WATCHDOG_USEC; a shard that hangs silences it. */
function startWatchdog(
  context: CliContext,
  healthy: () => boolean,
  notify: (message: string) => void,
): NodeJS.Timeout | null {
  const micros = Number(context.env.WATCHDOG_USEC ?? 0);
  const forUs = context.env.WATCHDOG_PID === undefined || Number(context.env.WATCHDOG_PID) === context.pid;
  if (!(micros > 0) || !forUs) return null;
  return setInterval(
    () => {
      if (healthy()) notify('WATCHDOG=1');
    },
    micros / 1000 / WATCHDOG_SHARE,
  );
}
