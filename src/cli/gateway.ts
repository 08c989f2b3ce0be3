/** `designator gateway`: a member of gateway groups, in the foreground; and the commands for a running one. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { formatProblem } from '../config/problem.js';
import { DesignatorError } from '../errors.js';
import { ControlClient, type Target, withTarget } from './client.js';
import type { CliContext } from './context.js';
import { write, writeJson } from './output.js';
import { hostValue, wholeNumber } from './values.js';

interface GatewayCommandOptions {
  /** Always there when the role is to run. */
  readonly config?: string;
  readonly check?: boolean;
}

interface CommandOptions extends Target {
  readonly group?: string;
  readonly json?: boolean;
}

const MEMBER_MAX = 255;

export function register(program: Command, context: CliContext): void {
  const gateway = program
    .command('gateway')
    .description('one of many gateways behind one address, in the foreground; SIGHUP reloads, SIGTERM ends it')
    .option('-c, --config <file>', 'configuration file')
    .option('--check', 'name every error of the configuration file and end')
    .action((options: GatewayCommandOptions) => run(options, context));
  const number = wholeNumber(1, MEMBER_MAX);
  const add = (name: string, description: string): Command =>
    withTarget(gateway.command(name).description(description))
      .option('--group <name>', 'of this group; needed when there are several')
      .option('--json', 'the answer as JSON');
  // The role's own `-c` takes what is written behind a command as well.
  const targetOf = (options: CommandOptions): CommandOptions => ({
    ...options,
    ...gateway.opts<GatewayCommandOptions>(),
  });
  add('resign', 'let another gateway be the master').action((options: CommandOptions) =>
    command('resign', {}, targetOf(options), context, ({ group }) => `${group}: resigned`),
  );
  add('move', 'give a host, or all hosts, to a gateway')
    .argument('<host>', 'MAC address, IP address, or all', hostValue)
    .argument('<gateway>', 'number of the gateway', number)
    .action((host: string, to: number, options: CommandOptions) =>
      command('move', { host, gateway: to }, targetOf(options), context, moved),
    );
  add('redistribute', 'take a dead gateway for failed for good: others get its hosts now')
    .argument('<gateway>', 'number of the gateway', number)
    .action((dead: number, options: CommandOptions) =>
      command('redistribute', { gateway: dead }, targetOf(options), context, moved),
    );
}

interface Answer {
  readonly group: string;
  readonly hosts?: number;
}

const moved = ({ group, hosts = 0 }: Answer): string =>
  `${group}: ${hosts} ${hosts === 1 ? 'host is' : 'hosts are'} given another gateway`;

async function command(
  name: string,
  body: Readonly<Record<string, unknown>>,
  { group, json, config, socket }: CommandOptions,
  context: CliContext,
  sentence: (answer: Answer) => string,
): Promise<void> {
  const client = new ControlClient({ config, socket }, context);
  const answer = await client.post<Answer>(`/v1/command/${name}`, group === undefined ? body : { ...body, group });
  if (json === true) return writeJson(context.stdout, answer);
  await write(context.stdout, `${sentence(answer)}\n`);
}

async function run(options: GatewayCommandOptions, context: CliContext): Promise<void> {
  if (options.config === undefined)
    throw new DesignatorError('TD_USAGE', "required option '-c, --config <file>' not specified");
  const { loadGatewayConfig, readGatewayConfig } = await import('../config/gateway.js');
  const shownAs = options.config;
  const file = resolve(context.cwd, shownAs);
  const { config, warnings } = loadGatewayConfig(file, shownAs);
  if (options.check === true) {
    await write(context.stdout, warnings.map((warning) => `${formatProblem(warning)}\n`).join(''));
    return write(context.stderr, `${shownAs}: fine\n`);
  }
  const [{ runRole }, { Gateway }, { realWorld }] = await Promise.all([
    import('./role.js'),
    import('../roles/gateway/gateway.js'),
    import('../roles/gateway/world.js'),
  ]);
  const { logLevel, control } = config;
  await runRole(context, { logLevel, control, warnings }, ({ logger, onFatal }) => {
    const reread = () => readGatewayConfig(file, shownAs);
    return new Gateway({ config, logger, onFatal, reread, world: realWorld });
  });
}
