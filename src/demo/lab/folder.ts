import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';

/**
 * Removes a lab's folder with what a test has mounted below it (a bpffs), which a process that was killed left behind:
 * a mount point cannot be removed. Never throws, may be called twice: what cannot go must not stop the next lab.
 */
export function removeFolder(folder: string): void {
  for (const point of mountsBelow(readFileSync('/proc/self/mounts', 'utf8'), folder)) {
    spawnSync('umount', ['--lazy', point], { stdio: 'ignore' });
  }
  try {
    rmSync(folder, { recursive: true, force: true });
  } catch {
    // A mount that is held elsewhere. The next sweep tries again.
  }
}

/** Mount points at or below a folder, the innermost first. `table`: the text of `/proc/PID/mounts` (proc(5)). */
export function mountsBelow(table: string, folder: string): string[] {
  return table
    .split('\n')
    .map((line) =>
      (line.split(' ')[1] ?? '').replace(/\\([0-7]{3})/g, (_, code) => String.fromCharCode(parseInt(code, 8))),
    )
    .filter((point) => point === folder || point.startsWith(`${folder}/`))
    .reverse();
}
