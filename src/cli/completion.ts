/** `designator completion bash|zsh|fish`: a completion script, made from the commands as they are declared. */
import { Argument, type Command } from 'commander';
import type { CliContext } from './context.js';
import { write } from './output.js';

/** One place on the command line, for example `designator show`, and what may come next there. */
interface Place {
  readonly path: readonly string[];
  readonly commands: readonly Word[];
  readonly options: readonly Word[];
}
interface Word {
  readonly text: string;
  readonly description: string;
}

export type Shell = 'bash' | 'zsh' | 'fish';

export function register(program: Command, context: CliContext): void {
  program
    .command('completion')
    .description('print a completion script for a shell')
    .addArgument(new Argument('<shell>', 'the shell').choices(['bash', 'zsh', 'fish']))
    .action((shell: Shell) => write(context.stdout, completionScript(program, shell)));
}

export function completionScript(program: Command, shell: Shell): string {
  const name = program.name();
  const places = placesOf(program, [name]);
  // Options whose value is a file are found by the name of their value, as `-c <file>` declares it.
  const flags = optionsOf(program).flatMap((option) =>
    /<(file|path)>/i.test(option.flags) ? [option.short, option.long] : [],
  );
  const fileOptions = [...new Set(flags)].filter((flag) => flag !== undefined);
  if (shell === 'bash') return bash(name, places, fileOptions);
  return shell === 'zsh' ? zsh(name, places, fileOptions) : fish(name, places);
}

function placesOf(command: Command, path: readonly string[]): Place[] {
  const visible = command
    .createHelp()
    .visibleCommands(command)
    .filter((child) => child.name() !== 'help');
  const place = {
    path,
    commands: visible.map((child) => ({ text: child.name(), description: child.description() })),
    options: command
      .createHelp()
      .visibleOptions(command)
      .map((option) => ({ text: option.long ?? option.short ?? '', description: option.description })),
  };
  return [place, ...visible.flatMap((child) => placesOf(child, [...path, child.name()]))];
}

function optionsOf(command: Command): Command['options'] {
  return [...command.options, ...command.commands.flatMap((child) => optionsOf(child))];
}

/** Shell lines that walk the words typed so far and leave the place in `place`. */
function walk(places: readonly Place[]): string {
  return `case "$place $word" in
      ${places
        .slice(1)
        .map(({ path }) => `"${path.join(' ')}"`)
        .join('|')}) place="$place $word" ;;
    esac`;
}

function bash(name: string, places: readonly Place[], fileOptions: readonly string[]): string {
  const cases = places.map(({ path, commands, options }) => {
    const words = [...commands, ...options].map(({ text }) => text).join(' ');
    return `    "${path.join(' ')}") candidates="${words}" ;;`;
  });
  return `# bash completion of ${name}
_${name}() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" place="${name}" word candidates=""
  case "$previous" in
    ${fileOptions.join('|')}) COMPREPLY=($(compgen -f -- "$current")); return ;;
  esac
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    ${walk(places)}
  done
  case "$place" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$candidates" -- "$current"))
}
complete -F _${name} ${name}
`;
}

function zsh(name: string, places: readonly Place[], fileOptions: readonly string[]): string {
  const cases = places.map(({ path, commands, options }) => {
    const words = [...commands, ...options].map(({ text, description }) =>
      quote(`${text.replaceAll(':', '\\:')}:${description}`),
    );
    return `    "${path.join(' ')}") candidates=(${words.join(' ')}) ;;`;
  });
  return `#compdef ${name}
_${name}() {
  local place="${name}" word
  local -a candidates
  case "$words[CURRENT-1]" in
    ${fileOptions.join('|')}) _files; return ;;
  esac
  for word in "\${(@)words[2,CURRENT-1]}"; do
    ${walk(places)}
  done
  case "$place" in
${cases.join('\n')}
  esac
  _describe '${name}' candidates
}
compdef _${name} ${name}
`;
}

function fish(name: string, places: readonly Place[]): string {
  const lines = places.flatMap(({ path, commands, options }) => {
    const below = path.slice(1).map((word) => `__fish_seen_subcommand_from ${word}`);
    const notYet =
      commands.length === 0 ? [] : [`not __fish_seen_subcommand_from ${commands.map(({ text }) => text).join(' ')}`];
    const condition = quote([...below, ...notYet].join('; and ') || 'true');
    return [
      ...commands.map(
        ({ text, description }) => `complete -c ${name} -f -n ${condition} -a ${text} -d ${quote(description)}`,
      ),
      ...options
        .filter(({ text }) => text.startsWith('--'))
        .map(
          ({ text, description }) => `complete -c ${name} -n ${condition} -l ${text.slice(2)} -d ${quote(description)}`,
        ),
    ];
  });
  return `# fish completion of ${name}\n${lines.join('\n')}\n`;
}

/** One word for a shell, whatever the description holds. */
function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
