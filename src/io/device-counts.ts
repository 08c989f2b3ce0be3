/**
 * What network devices have taken in, by /proc/net/dev: unlike a question to rtnetlink it does not wait for the kernel's
 * lock of all networks, so it may be read every second by a thread that must not wait.
 */
import { readFileSync } from 'node:fs';
import type { VirtualMacTraffic } from './gateway-types.js';

const PATH = '/proc/net/dev';
const PACKETS = 1;
const MULTICAST = 7;

/** By device name; packets without broadcasts and multicasts. Empty when the file cannot be read. */
export function deviceCounts(read = readText): Map<string, VirtualMacTraffic> {
  const found = new Map<string, VirtualMacTraffic>();
  for (const line of read().split('\n')) {
    // A name may hold a colon itself, as aliases of old did.
    const colon = line.lastIndexOf(':');
    if (colon < 0) continue;
    const fields = line
      .slice(colon + 1)
      .trim()
      .split(/\s+/)
      .map(Number);
    if (fields.length <= MULTICAST || !fields.every(Number.isFinite)) continue;
    const packets = Math.max(0, fields[PACKETS] - fields[MULTICAST]);
    found.set(line.slice(0, colon).trim(), { bytes: fields[0], packets });
  }
  return found;
}

function readText(): string {
  try {
    return readFileSync(PATH, 'latin1');
  } catch {
    return '';
  }
}
