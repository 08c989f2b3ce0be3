/** `designator replay`: a capture through the true pipeline, offline, without privileges. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { CliContext } from './context.js';
import { addConfigOption } from './options.js';
import { write, writeJson } from './output.js';

interface ReplayCommandOptions {
  readonly config: string;
  readonly out: string;
  readonly passed?: string;
  readonly json?: boolean;
}

export function register(program: Command, context: CliContext): void {
  addConfigOption(
    program
      .command('replay')
      .description('send a capture through the pipeline, offline')
      .argument('<in.pcap>', 'capture to read'),
  )
    .requiredOption('--out <out.pcap>', 'capture of what would have been sent')
    .option('--passed <file>', 'capture of what would have gone to the host')
    .option('--json', 'the result as one JSON object')
    .action((input: string, options: ReplayCommandOptions) => run(input, options, context));
}

async function run(input: string, options: ReplayCommandOptions, context: CliContext): Promise<void> {
  const [{ loadConfig }, { replay }] = await Promise.all([
    import('../config/load.js'),
    import('../roles/replay/replay.js'),
  ]);
  const at = (file: string): string => resolve(context.cwd, file);
  const { config } = loadConfig(at(options.config), { shownAs: options.config });
  const result = replay({
    config,
    input: at(input),
    output: at(options.out),
    ...(options.passed === undefined ? {} : { passed: at(options.passed) }),
  });
  if (options.json === true) return await writeJson(context.stdout, result);
  const lines = [
    `${result.frames} frames: ${result.sent} sent, ${result.passed} for the host, ${result.answered} answered, ${result.requests} new tunnels`,
    ...(result.translated > 0 ? [`${result.translated} frames from a VIP taken as its server's answers`] : []),
    ...result.drops.map((row) => `dropped ${row.packets}: ${row.reason} (${row.description})`),
    ...result.tunnels.map(
      (t) =>
        `${t.client} tunnel ${t.clientTunnelId} ⇄ ${t.server} tunnel ${t.serverTunnelId}: ${t.state}, ${t.sessions} sessions, ${t.packetsIn} in, ${t.packetsOut} out`,
    ),
  ];
  await write(context.stdout, `${lines.join('\n')}\n`);
}
