/**
 * Where pins live: a bpffs that outlives the process. `ip netns exec` and service managers give a process a mount namespace
 * of its own, in which a bpffs would vanish with it and everything pinned there too; so it is looked for, and mounted,
 * where the outermost process that can be seen has its mounts.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { NativeAddon } from './native.js';

/** What of the machine decides; tests put their own here. */
export interface PinSystem {
  /** `mnt:[4026531841]` of a process (0: this one), or null when it may not be known. */
  mountNamespace(process: number): string | null;
  /** Parent, its parent … of this process. */
  ancestors(): number[];
  /** /proc/PID/mountinfo, empty when it cannot be read. */
  mounts(process: number): string;
}

export type PinAddon = Pick<NativeAddon, 'bpf' | 'closeFd'>;

export interface PinFolder {
  /** A bpffs that was there; one that we mounted; none, so that nothing can be pinned. */
  readonly kind: 'mounted' | 'own-mount' | 'none';
  /** To be used with bpf(2) and node:fs: below /proc/self/fd, whatever namespace it is of. Empty with kind `none`. */
  readonly path: string;
  /** As configured, for people. */
  readonly shown: string;
  /** For the start line: one sentence without a stop. */
  readonly story: string;
  /** Gives the descriptor back; everything stays. */
  close(): void;
  /** `close`, and the folder goes when it is empty, with the bpffs when one of ours was mounted for it. */
  remove(): void;
}

export const linuxPinSystem: PinSystem = {
  mountNamespace(process) {
    try {
      return fs.readlinkSync(`/proc/${process === 0 ? 'self' : process}/ns/mnt`);
    } catch {
      return null;
    }
  },
  ancestors() {
    const found: number[] = [];
    for (let process = parentOf('self'); process > 0; process = parentOf(String(process))) found.push(process);
    return found;
  },
  mounts(process) {
    try {
      return fs.readFileSync(`/proc/${process === 0 ? 'self' : process}/mountinfo`, 'utf8');
    } catch {
      return '';
    }
  },
};

/** The fourth field of stat; the second, a name in brackets, may hold anything. */
function parentOf(process: string): number {
  try {
    const stat = fs.readFileSync(`/proc/${process}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) || 0;
  } catch {
    return 0;
  }
}

/**
 * The outermost process whose mount namespace can be seen and is another one than ours; 0 when ours is that already.
 * Process 1 where it may be asked, else the eldest ancestor.
 */
export function outermost(system: PinSystem): number {
  const own = system.mountNamespace(0);
  for (const process of [1, ...system.ancestors().reverse()]) {
    const namespace = system.mountNamespace(process);
    if (namespace !== null) return namespace === own ? 0 : process;
  }
  return 0;
}

/**
 * Finds the bpffs folder for `wanted` or makes it; with `mayMount` false it is only looked for. Never throws because of
 * what the machine refuses: that is kind `none`, with the reason.
 */
export function openPinFolder(
  addon: PinAddon,
  wanted: string,
  mayMount = true,
  system: PinSystem = linuxPinSystem,
): PinFolder {
  const shown = path.resolve(wanted);
  const outer = outermost(system);
  const refusals: string[] = [];
  const attempt = (process: number, mount: boolean): PinFolder | null => {
    try {
      const found = addon.bpf.openBpffs(shown, process, mount);
      return found === null ? null : folder(addon, system, shown, process, found, outer);
    } catch (error) {
      refusals.push((error as Error).message);
      return null;
    }
  };
  const found = attempt(outer, false) ?? (outer === 0 ? null : attempt(0, false));
  if (found !== null) return found;
  const made = mayMount ? attempt(outer, true) : null;
  return made ?? nowhere(shown, mayMount ? refusals : ['there is no bpffs']);
}

function folder(
  addon: PinAddon,
  system: PinSystem,
  shown: string,
  process: number,
  { fd, mounted }: { fd: number; mounted: boolean },
  outer: number,
): PinFolder {
  let open = true;
  const close = (): void => {
    if (open) addon.closeFd(fd);
    open = false;
  };
  return {
    kind: mounted ? 'own-mount' : 'mounted',
    path: `/proc/self/fd/${fd}`,
    shown,
    story: tell(mounted, shown, process, outer),
    close,
    remove() {
      if (!open) return;
      const ours = isOurMount(system.mounts(process), shown);
      const real = fs.readlinkSync(`/proc/self/fd/${fd}`);
      const visible = process === 0 ? real : `/proc/${process}/root${real}`;
      close();
      try {
        if (ours) addon.bpf.unmountBpffs(shown, process);
        else fs.rmdirSync(visible);
      } catch {
        // Somebody else's pins are in it, or it is the operator's own mount: it stays.
      }
    },
  };
}

function tell(mounted: boolean, shown: string, process: number, outer: number): string {
  const where = process === 0 ? '' : ` in the mount namespace of process ${process}, which outlives this one's`;
  if (mounted) return `pinned in ${shown}, a bpffs mounted for it${where}`;
  if (process === 0 && outer !== 0)
    return `pinned in ${shown}, in a mount namespace of its own: it lives as long as a process of that one`;
  return `pinned in ${shown}${where}`;
}

/** Whether the uppermost mount on `shown` is a bpffs with our name as its source. */
export function isOurMount(mounts: string, shown: string): boolean {
  // 36 35 98:0 /root /mount/point options optional-fields - type source super-options
  const last = mounts
    .split('\n')
    .map((line) => line.split(' '))
    .findLast((fields) => plain(fields[4] ?? '') === shown);
  if (last === undefined) return false;
  const dash = last.indexOf('-', 6);
  return last[dash + 1] === 'bpf' && last[dash + 2] === 'designator';
}

function plain(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

function nowhere(shown: string, refusals: readonly string[]): PinFolder {
  const why = refusals.at(-1) ?? 'no bpffs';
  return {
    kind: 'none',
    path: '',
    shown,
    story: `not pinned (${why}): attached by netlink, and found again through the interface`,
    close() {},
    remove() {},
  };
}
