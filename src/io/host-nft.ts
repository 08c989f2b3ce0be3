/** Runs nft(8) over a script that it reads from its standard input: one transaction, all or nothing. */
import { spawn } from 'node:child_process';
import { DesignatorError } from '../errors.js';

/** nft answers within milliseconds; one that hangs must not hold the designator up for ever. */
const TIMEOUT_MS = 20_000;
const COMPLAINT_LENGTH = 4096;
/** A service's path may lack the system directories. */
const PLACES = ['nft', '/usr/sbin/nft', '/sbin/nft'];

/**
 * `prefix`: words in front of nft. Errors: TD_UNAVAILABLE nft is missing, hangs or refuses the script, TD_NO_PERMISSION
 * without CAP_NET_ADMIN.
 */
export async function runNft(script: string, prefix: readonly string[] = []): Promise<void> {
  for (const place of PLACES) {
    if (await attempt([...prefix, place, '-f', '-'], script)) return;
  }
  throw new DesignatorError('TD_UNAVAILABLE', 'nft is not installed: the host needs the package nftables');
}

/** False when there is no such program. */
function attempt(command: readonly string[], script: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const child = spawn(command[0], command.slice(1), { stdio: ['pipe', 'ignore', 'pipe'], timeout: TIMEOUT_MS });
    let complaint = '';
    child.stderr.setEncoding('utf8');
    child.stderr.on('data', (text: string) => {
      complaint = (complaint + text).slice(0, COMPLAINT_LENGTH);
    });
    child.on('error', (cause: NodeJS.ErrnoException) => {
      if (cause.code === 'ENOENT') resolve(false);
      else reject(new DesignatorError('TD_UNAVAILABLE', `nft cannot be run: ${cause.message}`, {}, cause));
    });
    child.on('close', (status, signal) => {
      if (status === 0) resolve(true);
      else reject(failure(status, signal, complaint.trim()));
    });
    child.stdin.on('error', () => {
      // A child that ends before it has read everything says why on its way out.
    });
    child.stdin.end(script);
  });
}

function failure(status: number | null, signal: string | null, complaint: string): DesignatorError {
  const context = { status, signal, complaint };
  if (/Operation not permitted|must be root/.test(complaint)) {
    return new DesignatorError('TD_NO_PERMISSION', 'nftables may not be changed: CAP_NET_ADMIN is needed', context);
  }
  const first = complaint.split('\n')[0];
  return new DesignatorError(
    'TD_UNAVAILABLE',
    `nft refuses the host's filter: ${first === '' ? (signal ?? status) : first}`,
    context,
  );
}
