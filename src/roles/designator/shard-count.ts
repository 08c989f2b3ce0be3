import { availableParallelism } from 'node:os';
import type { CompiledConfig } from '../../config/compiled.js';
import { SHARD_LIMIT } from '../../flow/layout.js';

/** Shards that a configuration asks for. */
export function shardCount(config: CompiledConfig): number {
  return config.workers === 'auto' ? Math.min(availableParallelism(), SHARD_LIMIT) : config.workers;
}
