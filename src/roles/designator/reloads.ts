/** Changes of the configuration, one after the other: a request waits for those before it. */
import type { CompiledConfig } from '../../config/compiled.js';
import type { ReloadResult } from '../../ops/appliance.js';
import type { EventLog } from '../../ops/events.js';
import type { Logger } from '../../ops/log.js';

export interface ReloadsParts {
  readonly logger: Logger;
  readonly events: () => EventLog;
  /** Reads the configuration again; null: it is refused. */
  readonly read: () => Promise<{ config: CompiledConfig | null; result: ReloadResult }>;
  /** Makes a configuration the one in force, or throws and leaves the old one. */
  readonly apply: (config: CompiledConfig) => Promise<void>;
}

export class Reloads {
  readonly counts = { ok: 0, failed: 0, lastOkSeconds: Date.now() / 1000 };
  #last: Promise<unknown> = Promise.resolve();

  constructor(readonly parts: ReloadsParts) {}

  reload(): Promise<ReloadResult> {
    const next = this.#last.then(() => this.#reload());
    this.#last = next.catch(() => {});
    return next;
  }

  /** The same configuration once more, since something else has changed. `what` failed, if it fails. */
  again(current: () => CompiledConfig, what: string): void {
    const done = this.#last.then(() => this.parts.apply(current()));
    this.#last = done.catch((error: unknown) => this.parts.logger.error({ err: error }, what));
  }

  async #reload(): Promise<ReloadResult> {
    const { logger, events, read, apply } = this.parts;
    const { config, result } = await read();
    if (config === null) {
      this.counts.failed++;
      for (const problem of result.problems) logger.error({ problem }, 'reload refused: the old configuration stays');
      events().emit('reload', { ok: false, changes: '', problems: result.problems.length });
      return result;
    }
    try {
      await apply(config);
    } catch (error) {
      this.counts.failed++;
      throw error;
    }
    this.counts.ok++;
    this.counts.lastOkSeconds = Date.now() / 1000;
    logger.info({ changes: result.changes }, 'reloaded');
    events().emit('reload', { ok: true, changes: result.changes.join('; '), problems: 0 });
    return result;
  }
}
