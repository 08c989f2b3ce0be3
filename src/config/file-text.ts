/** The text of a file that an operator wrote, whole or not at all: half a file would be another configuration. */
import { readFileSync } from 'node:fs';
import type { ConfigProblem } from './compiled.js';

/** The file's text, or the one problem, without a line, that it cannot be read or has more than `limit` bytes. */
export function readFileText(file: string, shownAs: string, limit: number): string | ConfigProblem {
  const problem = (message: string): ConfigProblem => ({
    severity: 'error',
    file: shownAs,
    line: 0,
    column: 0,
    path: '',
    message,
  });
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    return problem(`cannot be read: ${(error as NodeJS.ErrnoException).code}`);
  }
  if (bytes.length > limit) return problem(`has ${bytes.length} bytes, at most ${limit} are read`);
  return bytes.toString('utf8');
}
