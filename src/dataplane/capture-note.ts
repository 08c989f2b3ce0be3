/**
 * What a capture says of a frame, in one word that travels with its copy: which side of the rewrite, which interface, what
 * became of it, and whose it is.
 *
 *   | 0 | vip + 1 (9) | server + 1 (11) | dropped (8) | rewritten (1) | inside (1) |
 */

export interface CaptureNote {
  /** The copy shows the frame as it leaves; else as it came. */
  readonly rewritten: boolean;
  /** Interface: where it came in, or, rewritten, where it goes out. */
  readonly inside: boolean;
  /** Index in ALL_DROP_REASONS; −1 forwarded; NOT_SENT dropped by the rewriter, nobody knows which of its reasons. */
  readonly dropped: number;
  /** Cell indices, −1 none. */
  readonly server: number;
  readonly vip: number;
}

export const NOT_SENT = 254;

export function packNote(rewritten: boolean, inside: boolean, dropped: number, server: number, vip: number): number {
  return (
    (inside ? 1 : 0) |
    (rewritten ? 2 : 0) |
    (((dropped + 1) & 0xff) << 2) |
    (((server + 1) & 0x7ff) << 10) |
    (((vip + 1) & 0x1ff) << 21)
  );
}

export function unpackNote(note: number): CaptureNote {
  return {
    inside: (note & 1) !== 0,
    rewritten: (note & 2) !== 0,
    dropped: ((note >>> 2) & 0xff) - 1,
    server: ((note >>> 10) & 0x7ff) - 1,
    vip: ((note >>> 21) & 0x1ff) - 1,
  };
}
