/** `designator unpin`: takes off what a designator left in the kernel when it was killed, or left on purpose. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { CliContext } from './context.js';
import { addConfigOption } from './options.js';
import { write, writeJson } from './output.js';

interface UnpinCommandOptions {
  readonly config: string;
  readonly json?: boolean;
}

export function register(program: Command, context: CliContext): void {
  addConfigOption(
    program
      .command('unpin')
      .description('end what the kernel goes on forwarding without a process: the interfaces are as they were'),
  )
    .option('--json', 'what was done as one JSON array')
    .action(async ({ config: file, json }: UnpinCommandOptions) => {
      const [{ loadConfig }, { unpin }] = await Promise.all([
        import('../config/load.js'),
        import('../roles/designator/unpin.js'),
      ]);
      const { config } = loadConfig(resolve(context.cwd, file), { shownAs: file });
      const done = await unpin(config);
      if (json === true) return await writeJson(context.stdout, done);
      const lines = done.length === 0 ? ['nothing was there'] : done;
      await write(context.stdout, lines.map((line) => `${line}\n`).join(''));
    });
}
