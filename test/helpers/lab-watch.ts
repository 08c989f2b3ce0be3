/** Counts of packets at places in a namespace, by nftables; the rules change nothing. */
import type { Namespace } from '../../src/demo/lab/namespace.js';

/** `hook`: prerouting sees what the host takes in, input what is for itself, forward what it forwards, output what it sends. */
export interface Watched {
  readonly hook: 'prerouting' | 'input' | 'forward' | 'output';
  /** An nftables match: `udp dport 1701`. */
  readonly match: string;
}

export class Watch<Name extends string> {
  private constructor(
    private readonly namespace: Namespace,
    private readonly table: string,
  ) {}

  static async start<Name extends string>(
    namespace: Namespace,
    what: Readonly<Record<Name, Watched>>,
    table = 'watch',
  ): Promise<Watch<Name>> {
    const rules = Object.entries(what) as [Name, Watched][];
    const counters = rules.map(([name]) => `  counter n_${name} { }\n`).join('');
    const chains = rules
      .map(
        ([name, { hook, match }]) =>
          `  chain c_${name} { type filter hook ${hook} priority -350; ${match} counter name n_${name}; }\n`,
      )
      .join('');
    await namespace.nft(`table inet ${table} {\n${counters}${chains}}\n`);
    return new Watch<Name>(namespace, table);
  }

  /** Packets counted so far. */
  async packets(): Promise<Record<Name, number>> {
    const text = await this.namespace.run('nft', ['-j', 'list', 'counters', 'table', 'inet', this.table]);
    const { nftables } = JSON.parse(text) as { nftables: { counter?: { name: string; packets: number } }[] };
    const counts = nftables.flatMap(({ counter }) =>
      counter === undefined ? [] : [[counter.name.slice(2), counter.packets]],
    );
    return Object.fromEntries(counts) as Record<Name, number>;
  }
}
