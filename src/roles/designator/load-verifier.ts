/** Datagrams of strangers into load statuses that can be believed. No I/O, no clock: bytes and times come in. */
import { type StaleFault, ReplayGuard } from '../../designation/replay-guard.js';
import { isAuthentic, type LoadStatus, type LoadStatusFault, readLoadStatus } from '../../wire/load-status.js';

export type LoadFault = LoadStatusFault | StaleFault | 'unknown-server' | 'bad-hmac' | 'incomplete';

/** Why a load status message was not believed, with its sentence: rows of `show drops`, prefixed by LOAD_FAULT_PREFIX. */
export const LOAD_FAULTS: readonly (readonly [LoadFault, string])[] = [
  ['malformed', 'load status: no such message, or its lengths do not fit'],
  ['version', 'load status: a version of the message that this program does not know'],
  ['unknown-server', 'load status: it names no server of the configuration, or one without a secret'],
  ['bad-hmac', 'load status: its HMAC is not that of the server’s secret: forged, or the secrets differ'],
  ['late', 'load status: its time is longer ago than loadStatus.clockSkew'],
  ['early', 'load status: its time is further ahead than loadStatus.clockSkew'],
  ['replayed', 'load status: its sequence is not above that of the last one: replayed, or overtaken on its way'],
  ['incomplete', 'load status: it has nothing that loadStatus.formula counts, or no capacity to count it against'],
];
export const LOAD_FAULT_PREFIX = 'load-status-';

export interface Verified {
  readonly status: LoadStatus | null;
  readonly fault: LoadFault | null;
  /** The server that the message names; believed by nobody when there is a fault. Null: it names none that is known. */
  readonly server: string | null;
}

export class LoadVerifier {
  #keys: ReadonlyMap<string, Uint8Array> = new Map();
  readonly #guard = new ReplayGuard(0);

  /** `keys`: the secret of each server, by its name. */
  configure(keys: ReadonlyMap<string, Uint8Array>, skewMs: number): void {
    this.#keys = keys;
    this.#guard.skewMs = skewMs;
    this.#guard.keep(keys);
  }

  verify(bytes: Uint8Array, nowMs: number): Verified {
    const status = readLoadStatus(bytes);
    if (typeof status === 'string') return { status: null, fault: status, server: null };
    const key = this.#keys.get(status.server);
    if (key === undefined) return { status: null, fault: 'unknown-server', server: null };
    const fault = isAuthentic(bytes, key)
      ? this.#guard.judge(status.server, status.sequence, status.timeMs, nowMs)
      : 'bad-hmac';
    return { status: fault === null ? status : null, fault, server: status.server };
  }
}
