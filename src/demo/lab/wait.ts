/** Waiting for a condition, never for a while. */
import { setTimeout as sleep } from 'node:timers/promises';
import { LabError } from './command.js';

const POLL_MS = 40;

/**
 * The first answer of `condition` that is neither false nor null nor undefined. LabError `timed out …` after
 * `timeoutMs`, with what `detail` says about the state then.
 */
export async function waitFor<T>(
  what: string,
  condition: () => T | Promise<T>,
  timeoutMs = 10_000,
  detail: () => string | Promise<string> = () => '',
): Promise<Exclude<T, false | null | undefined>> {
  const until = performance.now() + timeoutMs;
  for (;;) {
    const answer = await condition();
    if (answer !== false && answer !== null && answer !== undefined)
      return answer as Exclude<T, false | null | undefined>;
    if (performance.now() > until) {
      const said = await detail();
      throw new LabError(`timed out after ${timeoutMs / 1000} s: ${what}${said === '' ? '' : `\n${said}`}`);
    }
    await sleep(POLL_MS);
  }
}
