/** What a subscriber is granted, whoever was asked about it. */
import type { AddressWords, Prefix } from '../../config/compiled.js';

export interface Grant {
  /** As sessions are counted and accounted by. */
  readonly user: string;
  /** An address of its own; null: one of `pool`. */
  readonly address: AddressWords | null;
  /** null: the common pool. */
  readonly pool: string | null;
  readonly prefix: Prefix | null;
  readonly pool6: string | null;
  readonly routes: readonly Prefix[];
  readonly dns: readonly AddressWords[] | null;
  /** null: as for everybody; 0 never. */
  readonly idleSeconds: number | null;
  readonly timeoutSeconds: number | null;
  /** Sessions at one time; null: as for everybody. */
  readonly sessions: number | null;
  /** Seconds between interim accounting messages; null: as configured. */
  readonly interimSeconds: number | null;
  /** To be repeated in accounting (RADIUS Class). */
  readonly classes: readonly Uint8Array[];
}

export const NOTHING_PARTICULAR: Omit<Grant, 'user'> = {
  address: null,
  pool: null,
  prefix: null,
  pool6: null,
  routes: [],
  dns: null,
  idleSeconds: null,
  timeoutSeconds: null,
  sessions: null,
  interimSeconds: null,
  classes: [],
};

/** `unknown`: ask the next one. `message` goes to the subscriber (MS-CHAPv2 needs it). */
export type Verdict =
  | { readonly kind: 'accept'; readonly grant: Grant; readonly message?: string }
  | { readonly kind: 'refuse'; readonly reason: string; readonly message?: string }
  | { readonly kind: 'unknown' };
