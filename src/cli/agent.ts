/** `designator agent`: on a tunnel server that is not ours, sends its load status to designators. */
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { formatProblem } from '../config/problem.js';
import type { CliContext } from './context.js';
import { addConfigOption } from './options.js';
import { write, writeJson } from './output.js';

interface AgentOptions {
  readonly config: string;
  readonly once?: boolean;
  readonly dryRun?: boolean;
  readonly check?: boolean;
}

export function register(program: Command, context: CliContext): void {
  addConfigOption(
    program.command('agent').description('send the load status of a tunnel server to designators, until SIGTERM'),
  )
    .option('--once', 'send one status and end')
    .option('--dry-run', 'print what would be sent, as JSON lines, and send nothing')
    .option('--check', 'name every error of the configuration file and end')
    .action((options: AgentOptions) => run(options, context));
}

async function run(options: AgentOptions, context: CliContext): Promise<void> {
  const { loadAgentConfig } = await import('../config/agent.js');
  const { config, warnings } = loadAgentConfig(resolve(context.cwd, options.config), options.config);
  if (options.check === true) {
    const { checkedCandidate } = await import('../config/candidate.js');
    const all = [...warnings, ...checkedCandidate(config.master)];
    await write(context.stdout, all.map((warning) => `${formatProblem(warning)}\n`).join(''));
    return write(context.stderr, `${options.config}: fine\n`);
  }
  const [{ Agent, realWorld }, { BusTeller }, { createLogger, flushLogger, logReady }, { keyOf }, { openCandidate }] =
    await Promise.all([
      import('../roles/agent/agent.js'),
      import('../roles/cluster/bus-teller.js'),
      import('../ops/log.js'),
      import('../roles/secret.js'),
      import('../roles/candidate/open.js'),
    ]);
  const isQuiet = options.dryRun === true || options.once === true;
  const logger = createLogger(isQuiet ? 'error' : config.logLevel);
  for (const warning of warnings) logger.warn({ problem: formatProblem(warning) }, 'configuration');
  const world = realWorld();
  const agent = new Agent(config, keyOf(config.secret), logger, world);
  const bus =
    config.cluster === null || options.dryRun === true
      ? null
      : await BusTeller.open(config.cluster, { role: 'agent', version: context.version }, logger);
  if (bus !== null) agent.onBus = (bytes) => bus.tell(bytes);
  const ending = new AbortController();
  const forget = (['SIGTERM', 'SIGINT'] as const).map((signal) => context.onSignal(signal, () => ending.abort()));
  const candidate = isQuiet ? null : openCandidate(config.master, { logger, self: context.self, env: context.env });
  // The agent itself keeps nothing of its file: a reload is the master part's.
  if (candidate !== null) forget.push(context.onSignal('SIGHUP', () => candidate.reload()));
  const every = config.everySeconds * 1000;
  const pause = (until: number): Promise<unknown> =>
    sleep(Math.max(0, until - performance.now()), undefined, { signal: ending.signal }).catch(() => {});
  try {
    // Rates need two looks; the first is said at once all the same, so that the server is known.
    let report = await agent.look();
    if (!isQuiet)
      logReady(logger, { servers: config.servers, designators: config.designators, source: config.source.kind });
    candidate?.start();
    let next = performance.now();
    if (options.once === true) {
      await pause(next + Math.min(every, 1000));
      report = await agent.look();
      if (report === null) context.setExitStatus(69);
    }
    while (!ending.signal.aborted) {
      if (report !== null && options.dryRun === true)
        await writeJson(context.stdout, { servers: config.servers, ...report });
      else if (report !== null) await agent.tell(report);
      if (options.once === true) break;
      // Late by more than one: not all at once, but from now on again.
      next = Math.max(next + every, performance.now());
      await pause(next);
      if (!ending.signal.aborted) report = await agent.look();
    }
  } finally {
    // Before the signals are forgotten: a second one must not leave it behind.
    await candidate?.stop();
    for (const off of forget) off();
    await agent.close();
    await bus?.close();
    world.close();
    logger.info({ sent: agent.sent }, 'ended');
    flushLogger(logger);
  }
}
