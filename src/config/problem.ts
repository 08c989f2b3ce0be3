/** Problems of a configuration file, as people read them. Apart from what finds them, so that printing loads nothing. */
import type { ConfigProblem } from './compiled.js';

export function isError(problem: ConfigProblem): boolean {
  return problem.severity === 'error';
}

/** `file:line:col: path: message`; what is unknown is left out, a warning says so. */
export function formatProblem({ severity, file, line, column, path, message }: ConfigProblem): string {
  const place = line === 0 ? file : `${file}:${line}:${column}`;
  const mark = severity === 'warning' ? 'warning: ' : '';
  return `${place}: ${path === '' ? '' : `${path}: `}${mark}${message}`;
}
