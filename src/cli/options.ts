/** Options that many commands share, so that they are spelled and explained alike. */
import { InvalidArgumentError, Option, type Command } from 'commander';

/** `-c, --config FILE`, required: for commands that need the configuration itself. */
export function addConfigOption(command: Command): Command {
  return command.requiredOption('-c, --config <file>', 'configuration file');
}

/** `-c FILE` or `--socket PATH`: for commands that speak to a running designator (`connectionFrom` reads them). */
export function addConnectionOptions(command: Command): Command {
  return command
    .addOption(new Option('-c, --config <file>', 'configuration file, which names the control socket'))
    .addOption(new Option('--socket <path>', 'control socket of the running designator').conflicts('config'));
}

/** Parses a whole number within limits, for `.option(flags, text, wholeNumber(1, 64))`. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max))
      throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
    return value;
  };
}
