/** Files of roles other than the designator's: whose one is, and what is wrong with it. */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { DesignatorError } from '../errors.js';
import { loadAgentConfig } from './agent.js';
import { type CandidateConfig, candidateProblems } from './candidate.js';
import type { ConfigProblem } from './compiled.js';
import { readGatewayConfig } from './gateway.js';
import { loadLacConfig } from './lac.js';
import { readLnsConfig } from './lns.js';
import { type ConfigRole, roleOf } from './role-of.js';

/** A file that cannot be read, or is no YAML, is the designator's: its reader says what is wrong. */
export function roleOfFile(file: string): ConfigRole {
  try {
    return roleOf(parse(readFileSync(file, 'utf8')));
  } catch {
    return 'designator';
  }
}

/** Errors and warnings, in the order of the file. */
export function readRoleConfig(
  role: Exclude<ConfigRole, 'designator'>,
  file: string,
  shownAs = file,
): readonly ConfigProblem[] {
  const carried = (master: CandidateConfig | null): readonly ConfigProblem[] =>
    master === null ? [] : candidateProblems(master);
  if (role === 'lns') {
    const { config, problems } = readLnsConfig(file, shownAs);
    return [...problems, ...carried(config?.master ?? null)];
  }
  if (role === 'gateway') return readGatewayConfig(file, shownAs).problems;
  try {
    if (role === 'lac') return loadLacConfig(file, shownAs).warnings;
    const { config, warnings } = loadAgentConfig(file, shownAs);
    return [...warnings, ...carried(config.master)];
  } catch (error) {
    const { problems } = error instanceof DesignatorError ? error.context : {};
    if (Array.isArray(problems)) return problems as readonly ConfigProblem[];
    throw error;
  }
}
