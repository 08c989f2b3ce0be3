/** Options that several commands share, so that they are spelled and explained alike. */
import type { Command } from 'commander';

/** `-c, --config FILE`, required: for commands that need the configuration itself. */
export function addConfigOption(command: Command): Command {
  return command.requiredOption('-c, --config <file>', 'configuration file');
}
