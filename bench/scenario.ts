/** What every scenario beside `forward` needs: a lab, one or more contestants, and their end. */
import { Lab } from '#designator/demo/lab/lab.js';
import { type Contestant, type ContestantOptions, openContestant, type Peer } from './contestants.js';

export interface ScenarioOptions {
  readonly self: readonly [string, string];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly pid: number;
  readonly flows?: number;
  /** Rounds; the median of them is the figure. */
  readonly pairs?: number;
  /** Seconds of one measurement. */
  readonly seconds?: number;
  readonly peers?: readonly Peer[];
  readonly progress?: (line: string) => void;
}

export const FLOWS = 1000;

/** Opens those that can run here, lets `use` have them, closes everything. Traffic is made in the kernel. */
export async function withContestants<T>(
  options: ScenarioOptions,
  peers: readonly Peer[],
  use: (contestants: readonly Contestant[], say: (line: string) => void) => Promise<T>,
  more: Partial<ContestantOptions> = {},
): Promise<T> {
  const say = options.progress ?? (() => {});
  const lab = await Lab.open({ pid: options.pid, env: options.env });
  const contestants: Contestant[] = [];
  try {
    for (const peer of peers) {
      say(`starting ${peer}`);
      const order = { lab, self: options.self, flows: options.flows ?? FLOWS, live: true, ...more };
      const contestant = await openContestant(peer, order, (reason) => say(`${peer} is left out: ${reason}`));
      if (contestant !== null) contestants.push(contestant);
    }
    return await use(contestants, say);
  } finally {
    for (const { bed } of contestants) await bed.close();
    await lab.close();
  }
}
