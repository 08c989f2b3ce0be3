/** Where captures come together: the hub that they are opened at, the shards' rings, and the pump between them. */
import type { CompiledConfig } from '../../config/compiled.js';
import { CAPTURE_SLOTS } from '../../dataplane/capture-tap.js';
import { COUNTER } from '../../dataplane/counters.js';
import type { CaptureFilter } from '../../dataplane/plan.js';
import { FrameRing } from '../../flow/ring.js';
import { CaptureHub } from '../../ops/capture.js';
import type { Binding } from './binding.js';
import { captureFilters } from './capture-filters.js';
import { CapturePump } from './capture-pump.js';

export interface CaptureDeskParts {
  readonly config: CompiledConfig;
  readonly binding: Binding;
  readonly statistics: readonly Float64Array[];
  /** CLOCK_MONOTONIC seconds. */
  readonly now: () => number;
  /** Every shard is to know which captures run. */
  readonly onChange: (captures: readonly CaptureFilter[]) => void;
}

export class CaptureDesk {
  readonly hub: CaptureHub;
  /** One a shard, for its task. */
  readonly memory: readonly SharedArrayBuffer[];
  readonly #pump: CapturePump;

  constructor({ config, binding, statistics, now, onChange }: CaptureDeskParts) {
    this.memory = statistics.map(() => new SharedArrayBuffer(FrameRing.byteLength(CAPTURE_SLOTS)));
    this.hub = new CaptureHub({
      interfaces: [
        { name: config.outside.name, description: 'outside' },
        { name: config.inside.name, description: 'inside' },
      ],
      onChange: (captures) => {
        this.#pump.setActive(captures.length > 0);
        onChange(captureFilters(captures));
      },
    });
    const rings = this.memory.map((buffer) => new FrameRing(buffer, 0, CAPTURE_SLOTS));
    this.#pump = new CapturePump(this.hub, rings, now, (shard) => statistics[shard][COUNTER.captureLost], binding);
  }

  /** As the shards compare frames. */
  filters(): CaptureFilter[] {
    return captureFilters(this.hub.captures());
  }

  stop(): void {
    this.#pump.setActive(false);
    this.hub.close();
  }
}
