/** A small valid configuration, and changes to it. */
import type { CompiledConfig, ConfigProblem } from '../../src/config/compiled.js';
import { type LoadOptions, parseConfig } from '../../src/config/load.js';
import { formatProblem } from '../../src/config/problem.js';

export const MINIMAL = `interfaces: { outside: wan0, inside: lan0 }
vips:
  - name: access
    address: 200.200.100.1
    servers:
      - { name: lns1, address: 10.10.1.1 }
`;

export function problemsOf(text: string, options: LoadOptions = {}): readonly ConfigProblem[] {
  return parseConfig('d.yaml', text, options).problems;
}

export function linesOf(text: string, options: LoadOptions = {}): string[] {
  return problemsOf(text, options).map(formatProblem);
}

/** Throws with the problems when there is an error. */
export function compiled(text: string): CompiledConfig {
  const { config, problems } = parseConfig('d.yaml', text);
  if (config === null) throw new Error(problems.map(formatProblem).join('\n'));
  return config;
}

/** One VIP with the fields given, in JSON, which is YAML; the rest as in MINIMAL. */
export function withVip(fields: Record<string, unknown>, top: Record<string, unknown> = {}): string {
  const servers = [{ name: 'lns1', address: '10.10.1.1' }];
  return JSON.stringify({
    interfaces: { outside: 'wan0', inside: 'lan0' },
    vips: [{ name: 'access', address: '200.200.100.1', servers, ...fields }],
    ...top,
  });
}

export const withTop = (top: Record<string, unknown>): string => withVip({}, top);
