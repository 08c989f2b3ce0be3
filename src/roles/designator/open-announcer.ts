/** What the announcer needs of a designator. */
import { Announcer, KernelRoutes } from './announcer.js';
import type { DesignatorOptions, DesignatorProcess } from './designator.js';

/** null: it makes no routes. */
export function openAnnouncer(process: DesignatorProcess, options: DesignatorOptions): Announcer | null {
  const config = options.config.announce ?? null;
  if (config === null) return null;
  const notReady = (): readonly string[] => (process.ready() ? [] : ['it is starting']);
  return new Announcer({
    config,
    host: new KernelRoutes(process.addon),
    logger: options.logger,
    events: process.events.log,
    reasons: () => [...notReady(), ...process.ability.outsideReasons],
    insideReasons: () => [...notReady(), ...process.ability.insideReasons],
    now: () => process.addon.monotonicSeconds(),
  });
}
