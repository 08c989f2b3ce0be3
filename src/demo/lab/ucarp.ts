/** ucarp (CARP in user space) as one gateway of a LAN: the master puts the shared address on its interface, by scripts. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Daemon } from './daemon.js';
import { type LanGateway, SHARED } from './gateway-lan.js';
import type { Lab } from './lab.js';

export interface UcarpOptions {
  /** Whole seconds between adverts, its default is 1. */
  readonly interval: number;
  /** The others take over after so many intervals; its default is 3. */
  readonly deadRatio: number;
  readonly name: string;
}

/** Gateway 1 is preferred: the skew of each next one is 20 of 256ths of a second more. */
export function startUcarp(lab: Lab, { namespace, number, address }: LanGateway, options: UcarpOptions): Daemon {
  const { interval, deadRatio, name } = options;
  const folder = join(lab.folder, `${name}-${number}`);
  mkdirSync(folder, { recursive: true });
  const script = (word: string): string => {
    const file = join(folder, word);
    writeFileSync(file, `#!/bin/sh\nip addr ${word} ${SHARED}/32 dev eth0\n`, { mode: 0o755 });
    return file;
  };
  const times = ['-b', `${interval}`, '-r', `${deadRatio}`, '-k', `${number * 20}`];
  const identity = ['-i', 'eth0', '-s', address, '-v', '7', '-p', 'lab', '-a', SHARED, '-P'];
  return namespace.start(`${name}-${number}`, 'ucarp', [
    ...identity,
    ...times,
    '-u',
    script('add'),
    '-d',
    script('del'),
  ]);
}
