/**
 * The section `master` of a tunnel endpoint: `designator lns` and `designator agent` may carry a designator that stands
 * for election as cluster master (document 001: "another tunnel endpoint becomes master").
 */
import { z } from 'zod';
import type { ConfigProblem } from './compiled.js';
import { configError, readConfig } from './load.js';
import { isError } from './problem.js';
import { text } from './schema-parts.js';
import { parsePath } from './values.js';

export const candidateSchema = z
  .strictObject({
    config: text(parsePath).describe(
      'Configuration of the designator that this process carries and supervises. Fixed until a restart; a reload reads the file again.',
    ),
  })
  .describe('This endpoint stands for election as cluster master; absent: it does not.');

export interface CandidateConfig {
  /** Absolute path. */
  readonly file: string;
}

export function compileCandidate(input: z.output<typeof candidateSchema> | undefined): CandidateConfig | null {
  return input === undefined ? null : { file: input.config };
}

/** For the start and `--check` of an endpoint. Errors: TD_CONFIG the file that the section names has errors. */
export function checkedCandidate(config: CandidateConfig | null): readonly ConfigProblem[] {
  if (config === null) return [];
  const problems = candidateProblems(config);
  if (problems.some(isError)) throw configError(config.file, problems);
  return problems;
}

/** What is wrong with the file that the section names, under that file's name. */
export function candidateProblems({ file }: CandidateConfig): readonly ConfigProblem[] {
  const { config, problems } = readConfig(file);
  if (config === null || config.gateway?.outside != null) return problems;
  const message = 'without `gateway.outside` nobody else knows of this candidate, and nobody takes over from it';
  return [...problems, { severity: 'warning', file, line: 1, column: 1, path: 'gateway', message }];
}
