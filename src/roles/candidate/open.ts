/** A candidate that tells what happens to it in the endpoint's log and events. */
import type { CandidateConfig } from '../../config/candidate.js';
import type { EventLog } from '../../ops/events.js';
import type { Logger } from '../../ops/log.js';
import { Candidate, type CandidateRow, type CandidateWorld } from './candidate.js';
import { candidateWorld } from './world.js';

export interface CandidateHost {
  readonly logger: Logger;
  /** Absent: of an endpoint without events. */
  readonly events?: EventLog;
  /** The words that start this program. */
  readonly self: readonly [string, string];
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Null: this endpoint stands for nothing. `world`: for tests. */
export function openCandidate(
  config: CandidateConfig | null,
  { logger, events, self, env }: CandidateHost,
  world?: CandidateWorld,
): Candidate | null {
  if (config === null) return null;
  return new Candidate(config.file, world ?? candidateWorld(self, env), {
    log: (level, fields, message) => logger[level](fields, message),
    changed: ({ state, reason, process, restarts }: CandidateRow) => {
      const facts = { state, reason, process, restarts };
      const isTrouble = state === 'waiting' || state === 'refused';
      logger[isTrouble ? 'error' : 'info'](facts, `master part: ${state}`);
      events?.emit('master-part', facts);
    },
  });
}
