/**
 * What travels under the bus's subject `notice`: one octet that says what it is, then its body.
 *
 * ```
 *  0  kind
 *  1  load-status: a load status message as its server sent it, HMAC and all (load-status.ts)
 *     orders:      server orders (cluster-orders.ts)
 * ```
 */
import { CLUSTER_BODY_LIMIT } from './cluster-bus.js';

/** In the order of their numbers, 1 the first; a number that is not known is passed over. */
export const NOTICE_KINDS = ['load-status', 'orders'] as const;
export type NoticeKind = (typeof NOTICE_KINDS)[number];
export const NOTICE_LIMIT = CLUSTER_BODY_LIMIT - 1;

/** Errors: RangeError, the body is too long. */
export function emitNotice(kind: NoticeKind, body: Uint8Array): Uint8Array {
  if (body.length > NOTICE_LIMIT) throw new RangeError(`a notice of ${body.length} bytes fits into no frame`);
  const bytes = new Uint8Array(1 + body.length);
  bytes[0] = NOTICE_KINDS.indexOf(kind) + 1;
  bytes.set(body, 1);
  return bytes;
}

/** null: of another version, or nothing at all. The body is a view. */
export function readNotice(bytes: Uint8Array): { readonly kind: NoticeKind; readonly body: Uint8Array } | null {
  const kind = bytes.length === 0 ? undefined : NOTICE_KINDS[bytes[0] - 1];
  return kind === undefined ? null : { kind, body: bytes.subarray(1) };
}
