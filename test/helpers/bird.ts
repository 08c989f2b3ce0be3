/** bird2 in namespaces of a lab, with the files of docs/examples/bird. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Daemon } from '../../src/demo/lab/daemon.js';
import type { Lab } from '../../src/demo/lab/lab.js';
import type { Namespace } from '../../src/demo/lab/namespace.js';

const EXAMPLES = join(import.meta.dirname, '../../docs/examples/bird');

/** Definitions of an example (`define SELF = …;`) and other text of it, changed. */
export interface BirdChanges {
  readonly defines?: Readonly<Record<string, string | number>>;
  readonly texts?: Readonly<Record<string, string>>;
}

export class Bird {
  readonly socket: string;
  readonly daemon: Daemon;

  constructor(
    lab: Lab,
    readonly namespace: Namespace,
    example: 'designator' | 'router',
    changes: BirdChanges = {},
  ) {
    const label = `bird-${namespace.short}`;
    this.socket = join(lab.folder, `${label}.ctl`);
    const file = join(lab.folder, `${label}.conf`);
    writeFileSync(file, changed(readFileSync(join(EXAMPLES, `${example}.conf`), 'utf8'), changes));
    this.daemon = namespace.start(label, 'bird', ['-f', '-c', file, '-s', this.socket]);
  }

  async ask(...words: string[]): Promise<string> {
    return (await this.namespace.tryRun('birdc', ['-s', this.socket, ...words])).stdout;
  }

  /** Names of its BGP sessions that stand. */
  async sessions(): Promise<string[]> {
    const lines = (await this.ask('show', 'protocols')).split('\n');
    return lines.filter((line) => / BGP .*Established/.test(line)).map((line) => line.split(/\s+/)[0]);
  }
}

/** Errors: Error, the example has nothing of the kind: a test that changes nothing would test another file. */
function changed(text: string, { defines = {}, texts = {} }: BirdChanges): string {
  let result = text;
  for (const [name, value] of Object.entries(defines)) {
    const pattern = new RegExp(`^define ${name} = [^;]+;`, 'm');
    if (!pattern.test(result)) throw new Error(`the example defines no ${name}`);
    result = result.replace(pattern, `define ${name} = ${value};`);
  }
  for (const [from, to] of Object.entries(texts)) {
    if (!result.includes(from)) throw new Error(`the example has no ${from}`);
    result = result.replaceAll(from, to);
  }
  return result;
}

/** Next hops that the kernel has for an address or prefix, sorted; empty: no route. */
export async function nextHops(namespace: Namespace, prefix: string): Promise<string[]> {
  const family = prefix.includes(':') ? '-6' : '-4';
  const text = await namespace.run('ip', [family, 'route', 'show', prefix]);
  return [...text.matchAll(/via (?:inet6 )?(\S+)/g)].map(([, hop]) => hop).sort();
}
