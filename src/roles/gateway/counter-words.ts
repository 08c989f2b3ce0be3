/** What the counters of a gateway group mean, in one sentence each. */

const WORDS: Readonly<Record<string, string>> = {
  'port-received': 'frames that were looked at',
  'port-dropped': 'frames that the kernel had no room for',
  'port-truncated': 'frames that were too long to be looked at',
  'port-sent': 'frames that were sent',
  'port-refused': 'frames that could not leave the interface',
};

const DROPS: ReadonlySet<string> = new Set(['port-dropped', 'port-truncated', 'port-refused']);

export function counterWords(name: string): string {
  return WORDS[name] ?? name;
}

/** Does the counter count what ended here, rather than what was done? */
export function isDrop(name: string): boolean {
  return DROPS.has(name);
}
