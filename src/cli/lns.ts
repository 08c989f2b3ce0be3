/** `designator lns`: terminates L2TP tunnels and PPP, in the foreground until SIGTERM. SIGHUP reloads the configuration. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { formatProblem } from '../config/problem.js';
import type { EventLog } from '../ops/events.js';
import type { CliContext } from './context.js';
import { ControlClient, type Target, withTarget } from './client.js';
import { addConfigOption } from './options.js';
import { write, writeJson } from './output.js';
import { wholeNumber } from './values.js';

interface LnsOptions {
  readonly config: string;
  readonly check?: boolean;
}

interface DisconnectOptions extends Target {
  readonly user?: string;
  readonly tunnel?: number;
  readonly session?: number;
  readonly json?: boolean;
}

const ID_MAX = 65_535;

export function register(program: Command, context: CliContext): void {
  addConfigOption(
    program.command('lns').description('an L2TP network server, in the foreground; SIGHUP reloads, SIGTERM ends it'),
  )
    .option('--check', 'name every error of the configuration file and end')
    .action((options: LnsOptions) => run(options, context));
  const id = wholeNumber(1, ID_MAX);
  withTarget(program.command('disconnect').description('end sessions of a running LNS'))
    .option('--user <name>', 'of this user')
    .option('--tunnel <id>', 'of this tunnel, by the id assigned here', id)
    .option('--session <id>', 'only this session, by the id assigned here', id)
    .option('--json', 'the answer as JSON')
    .action((options: DisconnectOptions) => disconnect(options, context));
}

async function run(options: LnsOptions, context: CliContext): Promise<void> {
  const { loadLnsConfig, readLnsConfig } = await import('../config/lns.js');
  const file = resolve(context.cwd, options.config);
  const { config, warnings } = loadLnsConfig(file, options.config);
  if (options.check === true) {
    const { loadUsers } = await import('../config/users.js');
    if (config.usersFile !== null) loadUsers(config.usersFile);
    const { checkedCandidate } = await import('../config/candidate.js');
    const all = [...warnings, ...checkedCandidate(config.master)];
    await write(context.stdout, all.map((warning) => `${formatProblem(warning)}\n`).join(''));
    return write(context.stderr, `${options.config}: fine\n`);
  }
  const [{ runRole }, { Lns }, { makeOffload }, { openCandidate }] = await Promise.all([
    import('./role.js'),
    import('../roles/lns/lns.js'),
    import('../roles/lns/offload/make.js'),
    import('../roles/candidate/open.js'),
  ]);
  const { logLevel, control } = config;
  await runRole(context, { logLevel, control, warnings }, ({ logger, onFatal }) => {
    const reread = () => readLnsConfig(file, options.config);
    const candidate = (events: EventLog) =>
      openCandidate(config.master, { logger, events, self: context.self, env: context.env });
    return new Lns({ config, logger, onFatal, reread, offload: makeOffload, candidate });
  });
}

async function disconnect(options: DisconnectOptions, context: CliContext): Promise<void> {
  const { user, tunnel, session } = options;
  const answer = await new ControlClient(options, context).post<{ ended: number }>('/v1/command/disconnect', {
    user,
    tunnel,
    session,
  });
  if (options.json === true) return writeJson(context.stdout, answer);
  await write(context.stdout, `${answer.ended} ended\n`);
}
