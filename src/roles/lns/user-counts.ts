/** How many sessions each user has. */
import type { LnsConfig } from '../../config/lns.js';
import type { Grant } from './grant.js';

export class UserCounts {
  readonly #counts = new Map<string, number>();

  of(user: string): number {
    return this.#counts.get(user) ?? 0;
  }

  /** null: a session of nobody, which is not counted. */
  count(user: string | null, by: 1 | -1): void {
    if (user === null) return;
    const count = this.of(user) + by;
    if (count > 0) this.#counts.set(user, count);
    else this.#counts.delete(user);
  }

  /** Why a user may not have one more; null: it may. `now`: whose the session has been so far. */
  refusal(grant: Grant, now: string | null, { sessions }: LnsConfig): string | null {
    const limit = grant.sessions ?? sessions.perUser;
    if (limit === 0 || now === grant.user) return null;
    return this.of(grant.user) >= limit ? 'too-many-sessions' : null;
  }
}
