/** Room for connection tracking: its limits are the machine's, not the namespace's. */
import { readFileSync, writeFileSync } from 'node:fs';

const LIMIT = '/proc/sys/net/netfilter/nf_conntrack_max';
const BUCKETS = '/sys/module/nf_conntrack/parameters/hashsize';

/**
 * Widens them for so many flows, hash buckets included, never narrows them. Returns what puts them back. Where they cannot be
 * widened connection tracking drops what is new, and the benchmark shows it as loss.
 */
export function widenConntrack(flows: number): () => void {
  const undo = [raise(LIMIT, Math.ceil(flows * 1.2)), raise(BUCKETS, flows)];
  return () => {
    for (const put of undo) put();
  };
}

function raise(file: string, wanted: number): () => void {
  try {
    const before = readFileSync(file, 'utf8').trim();
    if (Number(before) >= wanted) return () => {};
    writeFileSync(file, String(wanted));
    return () => writeFileSync(file, before);
  } catch {
    return () => {};
  }
}
