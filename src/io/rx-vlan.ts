/**
 * VLAN tags stay in received frames while XDP has to read them: a device that takes them out (rx-vlan-offload) is told not
 * to, and told to again at the end. Which ones were changed stands in a file, because a process may be killed between.
 */
import fs from 'node:fs';
import { DesignatorError } from '../errors.js';
import { LinkQuery, NetlinkRefusal } from './link-query.js';
import type { NativeAddon } from './native.js';

type Addon = Pick<NativeAddon, 'NetlinkSocket' | 'interfaceInfo'>;

/** Errors: TD_UNAVAILABLE the driver refuses, or the disk is full; what was changed before is in the file. */
export function keepTags(addon: Addon, file: string, devices: readonly string[]): void {
  withQuery(addon, (query) => {
    for (const device of devices) {
      const { index } = addon.interfaceInfo(device);
      if (query.rxVlanOffload(index) === 'off') continue;
      remember(file, [...new Set([...changed(file), device])]);
      try {
        query.setRxVlanOffload(index, false);
      } catch (error) {
        throw refused(error, device);
      }
    }
  });
}

/** Everything as it was. Returns the devices; one that has gone is forgotten. */
export function restoreTags(addon: Addon, file: string): string[] {
  const devices = changed(file);
  if (devices.length === 0) return [];
  const done: string[] = [];
  withQuery(addon, (query) => {
    for (const device of devices) {
      try {
        query.setRxVlanOffload(addon.interfaceInfo(device).index, true);
        done.push(device);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENODEV') throw refused(error, device);
      }
    }
  });
  fs.rmSync(file, { force: true });
  return done;
}

function withQuery(addon: Addon, run: (query: LinkQuery) => void): void {
  const query = new LinkQuery(addon);
  try {
    run(query);
  } finally {
    query.close();
  }
}

/** Whole or not at all: a full disk must not cost what stands there. */
function remember(file: string, devices: readonly string[]): void {
  try {
    fs.writeFileSync(`${file}.new`, JSON.stringify(devices));
    fs.renameSync(`${file}.new`, file);
  } catch (cause) {
    fs.rmSync(`${file}.new`, { force: true });
    const text = `${file} cannot be written: ${(cause as Error).message}; rx-vlan-offload stays as it is`;
    throw new DesignatorError('TD_UNAVAILABLE', text, { file }, cause);
  }
}

function changed(file: string): string[] {
  try {
    const names: unknown = JSON.parse(fs.readFileSync(file, 'utf8'));
    return Array.isArray(names) ? names.filter((name): name is string => typeof name === 'string') : [];
  } catch {
    return []; // there is none, or a dying process cut it short before anything was changed
  }
}

function refused(error: unknown, device: string): unknown {
  if (!(error instanceof NetlinkRefusal)) return error;
  return new DesignatorError('TD_UNAVAILABLE', `rx-vlan-offload of ${device}: ${error.message}`, { device }, error);
}
