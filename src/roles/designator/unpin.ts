/** Everything of ours off the host, when no process is there to do it. */
import fs from 'node:fs';
import type { CompiledConfig } from '../../config/compiled.js';
import { DesignatorError } from '../../errors.js';
import { removeHostFilter } from '../../io/host-filter.js';
import { native } from '../../io/native.js';
import { restoreTags } from '../../io/rx-vlan.js';
import { unpinAll } from '../../io/xdp-unpin.js';
import { tableFile, tagFile } from './table-file.js';

/**
 * Program, links, pins, and the host's filter. Returns a sentence for each thing that was there. The tunnels that the
 * kernel forwarded end with it. Errors: TD_CONFLICT a designator is running, TD_NO_PERMISSION.
 */
export async function unpin(config: CompiledConfig): Promise<string[]> {
  const addon = native();
  const file = tableFile(config.control.socket);
  const lock = fs.existsSync(file) ? lockFile(file) : -1;
  try {
    const devices = [...new Set([config.outside.device, config.inside.device])].flatMap((name) => {
      try {
        return [{ name, index: addon.interfaceInfo(name).index }];
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENODEV') return []; // an interface that has gone holds nothing
        throw error;
      }
    });
    const done = unpinAll({ addon, pinPath: config.state.pin, devices });
    for (const device of restoreTags(addon, tagFile(config.control.socket))) {
      done.push(`${device}: rx-vlan-offload is on again`);
    }
    if (await removeHostFilter(config.outside)) done.push('nftables table of the designator removed');
    return done;
  } finally {
    if (lock >= 0) addon.closeFd(lock);
  }
}

/** A living process holds its table's file, whatever its adapter. */
function lockFile(file: string): number {
  try {
    return native().lockPath(file);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EAGAIN') throw cause;
    throw new DesignatorError(
      'TD_CONFLICT',
      'a designator runs with this configuration: end it first',
      { file },
      cause,
    );
  }
}
