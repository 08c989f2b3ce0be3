/** What this gateway is at the moment: configuration, load and tracking taken together. */
import { createHash } from 'node:crypto';
import type { Standing } from './election.js';
import type { GatewayLoad, GroupOptions, GroupSettings, Tracking } from './types.js';

const PRIORITY_MAX = 254;

export class Self {
  load: GatewayLoad = { share: 0, bitsPerSecond: 0, packetsPerSecond: 0 };
  /** Forwarders for which packets came between the last two reports. */
  used: readonly number[] = [];
  tracking: Tracking = { priorityLoss: 0, weightLoss: 0, able: true, reasons: [] };
  settings: GroupSettings;
  readonly #options: GroupOptions;

  constructor(options: GroupOptions) {
    this.#options = options;
    this.settings = options;
  }

  setLoad(load: GatewayLoad): void {
    const before = this.load.perForwarder;
    this.used = [...(load.perForwarder ?? [])]
      .filter(([number, { packets }]) => packets > (before?.get(number)?.packets ?? packets))
      .map(([number]) => number);
    this.load = load;
  }

  get priority(): number {
    return Math.max(1, Math.min(PRIORITY_MAX, Math.round(this.settings.priority - this.tracking.priorityLoss)));
  }

  get weight(): number {
    return Math.max(0, Math.round(this.settings.weight - this.tracking.weightLoss));
  }

  standing(resigned: boolean): Standing {
    const { number, ownAddress } = this.#options;
    return { number, able: this.tracking.able, resigned, priority: this.priority, address: ownAddress };
  }
}

/** 32 bits of what the members of a group must have alike: its virtual MACs and addresses, in any order. */
export function settingsDigest({ scheme, addresses }: Pick<GroupOptions, 'scheme' | 'addresses'>): number {
  const texts = addresses.map((words) => words.map((word) => (word >>> 0).toString(16)).join(':')).sort();
  return createHash('sha256')
    .update(`${scheme} ${texts.join(' ')}`)
    .digest()
    .readUInt32BE(0);
}
