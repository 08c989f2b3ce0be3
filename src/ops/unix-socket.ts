/** The life of the control socket's file: who may have it, when a left-over goes, which mode it gets. */
import { chmodSync, lstatSync, mkdirSync, rmSync, type Stats } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { DesignatorError } from '../errors.js';

/** Read and write for owner and group: who may connect may change the appliance. */
export const SOCKET_MODE = 0o660;
/** sun_path of unix(7), less the closing zero. */
const PATH_LENGTH_MAX = 107;
const PROBE_TIMEOUT_MS = 2000;

/**
 * Makes `path` free to bind: creates its directory, removes the socket of a process that died.
 * Errors: TD_CONFLICT somebody answers there or it is another kind of file, TD_NO_PERMISSION, TD_CONFIG path too long.
 */
export async function claimSocketPath(path: string): Promise<void> {
  if (Buffer.byteLength(path) > PATH_LENGTH_MAX) {
    throw new DesignatorError(
      'TD_CONFIG',
      `control.socket: a socket path has ${PATH_LENGTH_MAX} bytes at most: ${path}`,
      { path },
    );
  }
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    const found = statOf(path);
    if (found === null) return;
    if (!found.isSocket()) {
      throw new DesignatorError(
        'TD_CONFLICT',
        `${path} exists and is not a socket; move it away or set control.socket`,
        { path },
      );
    }
    if (await answers(path)) {
      throw new DesignatorError('TD_CONFLICT', `another designator answers on ${path}`, { path });
    }
    rmSync(path, { force: true });
  } catch (error) {
    throw asSocketError(error, path);
  }
}

export function restrictSocket(path: string): void {
  chmodSync(path, SOCKET_MODE);
}

/** Removes the socket if it is still the one with this inode; a successor may have put its own there. */
export function removeSocket(path: string, inode: number): void {
  if (statOf(path)?.ino === inode) rmSync(path, { force: true });
}

export function inodeOf(path: string): number {
  return lstatSync(path).ino;
}

/** An errno of bind, connect or mkdir as something that an operator can act on. */
export function asSocketError(error: unknown, path: string): Error {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return new DesignatorError(
      'TD_NO_PERMISSION',
      `no permission for the control socket ${path}`,
      { path, errno: code },
      error,
    );
  }
  if (code === 'EADDRINUSE')
    return new DesignatorError('TD_CONFLICT', `another designator answers on ${path}`, { path }, error);
  if (code === 'ENOTDIR' || code === 'EEXIST') {
    return new DesignatorError(
      'TD_CONFIG',
      `the directory of the control socket ${path} is a file`,
      { path, errno: code },
      error,
    );
  }
  return error as Error;
}

function statOf(path: string): Stats | null {
  try {
    return lstatSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** Whether a process listens there. Only ECONNREFUSED proves that none does. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    const finish = (answer: boolean) => {
      probe.destroy();
      resolve(answer);
    };
    probe.setTimeout(PROBE_TIMEOUT_MS, () => finish(true));
    probe.once('connect', () => finish(true));
    probe.once('error', (error: NodeJS.ErrnoException) =>
      finish(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'),
    );
  });
}
