/** The one way from a file to a configuration: everything that is wrong, at once and with its place, or what it means. */
import { DesignatorError } from '../errors.js';
import { checkAnnounce } from './announce.js';
import { checkRelations } from './check.js';
import { checkCluster } from './cluster.js';
import { compile } from './compile.js';
import type { CompiledConfig, ConfigProblem } from './compiled.js';
import { checkDesignatorGroups } from './designator-group.js';
import { readFileText } from './file-text.js';
import { checkOperatorAccess, type OperatorSession } from './operator-access.js';
import { isError } from './problem.js';
import { checkRuleReach } from './rule-reach.js';
import { checkShape } from './shape.js';
import { ConfigSource, type Path, type Place } from './source.js';

/** More than a configuration with every limit reached. */
const LENGTH_LIMIT = 16 * 1024 * 1024;

export interface LoadOptions {
  /** The operator's own session, which `check` holds against the firewall rules. */
  readonly session?: OperatorSession | null;
  /** Name of the file in problems, when it is not the path that is read. */
  readonly shownAs?: string;
}

export interface Loaded {
  /** Null when there is an error. */
  readonly config: CompiledConfig | null;
  /** In the order of the file; errors and warnings. */
  readonly problems: readonly ConfigProblem[];
  /** Where something stands in the file, for problems that others find. */
  placeOf(path: Path): Place;
}

export function parseConfig(file: string, text: string, options: LoadOptions = {}): Loaded {
  const source = new ConfigSource(options.shownAs ?? file, text);
  const placeOf = (path: Path): Place => source.placeOf(path);
  if (source.data === undefined) return { config: null, problems: source.problems, placeOf };
  const { input, problems: shape } = checkShape(source);
  const problems = [...source.problems, ...shape, ...checkRelations(source)];
  if (input !== null) {
    problems.push(...checkDesignatorGroups(source, input.gateway, input.vips, input.interfaces));
    problems.push(...checkCluster(source, input.cluster));
    problems.push(...checkAnnounce(source, input));
  }
  const config = input === null || problems.some(isError) ? null : compile(file, input);
  if (config !== null) {
    for (const { path, message } of [
      ...checkRuleReach(config),
      ...checkOperatorAccess(config, options.session ?? null),
    ]) {
      problems.push(source.problem('warning', path, message));
    }
  }
  problems.sort((a, b) => a.line - b.line || a.column - b.column);
  return { config, problems, placeOf };
}

/** Reads and parses. A file that cannot be read is a problem of the file, without a line. */
export function readConfig(file: string, options: LoadOptions = {}): Loaded {
  const content = readFileText(file, options.shownAs ?? file, LENGTH_LIMIT);
  if (typeof content !== 'string')
    return { config: null, problems: [content], placeOf: () => ({ line: 0, column: 0 }) };
  return parseConfig(file, content, options);
}

/** The configuration and its warnings. Errors: TD_CONFIG with all problems in `context.problems`. */
export function loadConfig(
  file: string,
  options: LoadOptions = {},
): { config: CompiledConfig; warnings: readonly ConfigProblem[] } {
  const { config, problems } = readConfig(file, options);
  if (config === null) throw configError(file, problems);
  return { config, warnings: problems };
}

export function configError(file: string, problems: readonly ConfigProblem[]): DesignatorError {
  const count = problems.filter(isError).length;
  return new DesignatorError('TD_CONFIG', `${file} has ${count} ${count === 1 ? 'error' : 'errors'}`, {
    file,
    problems,
  });
}
