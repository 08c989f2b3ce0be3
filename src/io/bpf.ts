/** Numbers of <linux/bpf.h>, and what a refusal of bpf(2) means to an operator. */
import { DesignatorError } from '../errors.js';

export const MAP_HASH = 1;
export const MAP_ARRAY = 2;
export const MAP_PERCPU_ARRAY = 6;
export const MAP_LPM_TRIE = 11;
export const MAP_DEVMAP = 14;
export const MAP_CPUMAP = 16;
export const MAP_XSKMAP = 17;

export const MAP_NO_PREALLOC = 1;
export const MAP_MMAPABLE = 1 << 10;

export const PROGRAM_XDP = 6;
export const LINK_XDP = 6;
export const ATTACH_CPUMAP = 35;

/** Names of objects in the kernel are cut off here. */
export const NAME_LENGTH = 15;

/** Lines of the verifier's log that an error carries; its last ones say what is wrong. */
const LOG_LINES = 20;

/** An error of the addon's `bpf`. */
export interface BpfFailure extends Error {
  readonly code?: string;
  readonly log?: string;
}

/** A u32 as the kernel keeps it in keys and values. */
export function u32(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

/**
 * What to tell an operator: TD_NO_PERMISSION with the capability, TD_UNAVAILABLE with the verifier's words or what the
 * kernel lacks. `doing`: "loading the XDP program" … A DesignatorError comes back as it is.
 */
export function bpfError(cause: unknown, doing: string, facts: Record<string, unknown> = {}): DesignatorError {
  if (cause instanceof DesignatorError) return cause;
  const failure = cause as BpfFailure;
  const errno = failure.code ?? 'no errno';
  const context = { ...facts, errno };
  const unavailable = (sentence: string, more: Record<string, unknown> = {}): DesignatorError =>
    new DesignatorError('TD_UNAVAILABLE', `${doing}: ${sentence}`, { ...context, ...more }, cause);
  if (failure.log !== undefined && failure.log !== '') {
    const lines = failure.log.trimEnd().split('\n').slice(-LOG_LINES);
    const last = lines.findLast((line) => !/^(processed \d+ insns|verification time)/.test(line)) ?? '';
    return unavailable(`the kernel's verifier refuses the program (${errno}): ${last.trim()}`, { verifierLog: lines });
  }
  switch (failure.code) {
    case 'EPERM':
    case 'EACCES':
      return new DesignatorError(
        'TD_NO_PERMISSION',
        `${doing}: not permitted; CAP_BPF and CAP_NET_ADMIN are needed (or CAP_SYS_ADMIN; in a container the seccomp profile must allow bpf(2))`,
        context,
        cause,
      );
    case 'ENOSYS':
    case 'EINVAL':
    case 'EOPNOTSUPP':
    case 'ENOTSUPP':
      return unavailable(`this kernel or driver does not have what it needs (${failure.message})`);
    case 'ENOMEM':
    case 'E2BIG':
      return unavailable(`no memory (${failure.message})`);
    case 'ERANGE':
      return unavailable(`the MTU is too large for native XDP: a frame must fit into one page (${failure.message})`);
    case undefined:
      return unavailable(failure.message);
    default:
      return unavailable(`${failure.message}`);
  }
}
