/** What tells a repeated request from another one with the same id. */
import type { Batch } from './batch.js';

const UDP_HEADER_LENGTH = 8;

/** FNV-1a over the message behind the UDP header; never 0. */
export function requestPrint(batch: Batch, i: number): number {
  const { bytes } = batch;
  const end = batch.end[i];
  let hash = 0x811c9dc5 | 0;
  for (let at = batch.l4[i] + UDP_HEADER_LENGTH; at < end; at++) hash = Math.imul(hash ^ bytes[at], 0x01000193);
  return hash === 0 ? 1 : hash;
}
