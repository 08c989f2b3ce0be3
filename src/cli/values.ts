/** Values of options, checked while the command line is read; what is wrong ends with exit 64. */
import { InvalidArgumentError } from 'commander';
import { parseDuration } from '../config/durations.js';
import { canonicalClient, canonicalCustomer, isStationName } from '../ops/client-address.js';

/** Parses a whole number within limits. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max))
      throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
    return value;
  };
}

/** Rows, frames. */
export const countValue = wholeNumber(1, 1_000_000_000);
/** L2TPv2 ids have 16 bits, L2TPv3's have 32. */
export const tunnelId = wholeNumber(0, 0xffffffff);
/** `OWN:PEER`: two 16-bit tunnel ids. */
export function tunnelPair(text: string): string {
  const ids = /^(\d{1,5}):(\d{1,5})$/.exec(text);
  if (ids === null || [ids[1], ids[2]].some((id) => Number(id) < 1 || Number(id) > 65_535))
    throw new InvalidArgumentError('Write two tunnel ids from 1 to 65535, as 7:40505.');
  return text;
}

export const weightValue = wholeNumber(0, 1000);

/** `250ms`, `30s`, `2m`, `1h` → seconds. */
export function durationSeconds(text: string): number {
  const seconds = parseDuration(text);
  if (seconds === null || seconds === 0) throw new InvalidArgumentError('Write a duration as 250ms, 30s, 2m or 1h.');
  return seconds;
}

/** `30` or `30s` → seconds. */
export function secondsOrDuration(text: string): number {
  return durationSeconds(/^\d+(\.\d+)?$/.test(text) ? `${text}s` : text);
}

/** `IP:PORT` in its canonical form. */
export function customerValue(text: string): string {
  try {
    return canonicalCustomer(text);
  } catch {
    throw new InvalidArgumentError('Write it as 192.0.2.1:1701, [2001:db8::1]:1701, or 02:00:00:00:00:07 of a LAC.');
  }
}

/** A host on a segment: a MAC address, an IP address, or `all`. */
export function hostValue(text: string): string {
  if (text === 'all' || isStationName(text)) return text;
  throw new InvalidArgumentError('Write a MAC address as 02:00:00:00:00:07, an IP address, or all.');
}

export function clientValue(text: string): string {
  try {
    return canonicalClient(text);
  } catch {
    throw new InvalidArgumentError('Write it as 192.0.2.1:1701 or [2001:db8::1]:1701.');
  }
}
