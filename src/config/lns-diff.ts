/** What a reload of an LNS would change, and what it may not change. */
import type { ConfigProblem } from './compiled.js';
import type { LnsConfig } from './lns.js';

/** Keys that a running process cannot change. */
const FIXED: readonly (readonly [key: string, read: (config: LnsConfig) => unknown])[] = [
  ['name', ({ name }) => name],
  ['listen', ({ listen }) => listen],
  ['answerFrom', ({ answerFrom }) => answerFrom],
  ['workers', ({ workers }) => workers],
  ['tunnels.ids', ({ tunnels }) => tunnels.ids],
  ['tunnels.limit', ({ tunnels }) => tunnels.limit],
  ['tunnels.floatingPort', ({ tunnels }) => tunnels.floatingPort],
  ['tun.device', ({ tun }) => tun.device],
  ['tun.mtu', ({ tun }) => tun.mtu],
  ['sessions.limit', ({ sessions }) => sessions.limit],
  ['offload', ({ offload }) => offload],
  ['takeOver', ({ takeOver }) => takeOver],
  ['master', ({ master }) => master],
  ['cluster', ({ cluster }) => cluster],
  ['control', ({ control }) => control],
];

/** `changes`: names of the sections that differ. `refused` not empty: the reload is refused as a whole. */
export function diffLns(
  old: LnsConfig,
  next: LnsConfig,
): { readonly changes: readonly string[]; readonly refused: readonly ConfigProblem[] } {
  const differs = (a: unknown, b: unknown): boolean => JSON.stringify(a) !== JSON.stringify(b);
  const refused = FIXED.filter(([, read]) => differs(read(old), read(next))).map(
    ([key]): ConfigProblem => ({
      severity: 'error',
      file: next.file,
      line: 0,
      column: 0,
      path: key,
      message: `${key} cannot change while the LNS runs: restart it`,
    }),
  );
  const sections = (Object.keys(next) as (keyof LnsConfig)[]).filter((key) => differs(old[key], next[key]));
  return { changes: sections, refused };
}
