/** What a worker of an LNS's or a LAC's data path is started with. */
import type { PlaneLayout } from '../flow/session-layout.js';
import type { NativeAccess } from '../io/tunnel-native.js';

export interface TunnelTask {
  readonly worker: number;
  readonly control: Int32Array;
  readonly memory: { readonly fd: number; readonly length: number; readonly layout: PlaneLayout };
  readonly tunFd: number;
  readonly accesses: readonly NativeAccess[];
  readonly wakeFd: number;
  readonly puntFd: number;
}
