/**
 * The Internet checksum: RFC 1071 (computing), RFC 1624 (changing), pseudo-headers of RFC 768, 793 and RFC 8200 §8.1.
 *
 * A *sum* here is the one's-complement sum folded to 16 bits, not yet complemented; a *checksum* is its complement, as
 * it stands in a header. A region whose checksum is right sums up to 0xffff. Sums may be chained through `initial`,
 * as long as every region but the last has an even length.
 */

/** Folds a sum of up to 32 bits to 16 bits. */
export function fold(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16);
  return (once & 0xffff) + (once >>> 16);
}

/** Sum of the bytes [offset, end), an odd last byte padded with zero. At most 65,535 bytes; `initial` is a folded sum. */
export function sum(view: DataView, offset: number, end: number, initial = 0): number {
  let total = initial;
  const even = end - ((end - offset) & 1);
  for (let at = offset; at < even; at += 2) total += view.getUint16(at);
  if (even < end) total += view.getUint8(even) << 8;
  return fold(total);
}

/** Checksum of the bytes [offset, end): the complement of their sum. */
export function checksum(view: DataView, offset: number, end: number, initial = 0): number {
  return ~sum(view, offset, end, initial) & 0xffff;
}

/** Sum of the pseudo-header of an IPv4 packet whose header stands at `ip`. `length` is that of the L4 header and data. */
export function pseudoHeaderIpv4(view: DataView, ip: number, protocol: number, length: number): number {
  return sum(view, ip + 12, ip + 20, fold(protocol + length));
}

/** The same for IPv6. With a routing header the caller must know that the final destination belongs here (RFC 8200 §8.1). */
export function pseudoHeaderIpv6(view: DataView, ip: number, protocol: number, length: number): number {
  return sum(view, ip + 8, ip + 40, fold(protocol + (length & 0xffff) + (length >>> 16)));
}

/**
 * The checksum after a 16-bit word of the region changed from `before` to `after`.
 * RFC 1624 eqn 3 rather than RFC 1141's form, which can turn 0xffff into 0x0000.
 */
export function adjust16(value: number, before: number, after: number): number {
  return ~fold((~value & 0xffff) + (~before & 0xffff) + (after & 0xffff)) & 0xffff;
}

/** The checksum after an aligned 32-bit word changed, for instance an IPv4 address. */
export function adjust32(value: number, before: number, after: number): number {
  const high = (~value & 0xffff) + (~(before >>> 16) & 0xffff) + (after >>> 16);
  return ~fold(high + (~before & 0xffff) + (after & 0xffff)) & 0xffff;
}

/** A UDP checksum that comes out as zero is sent as all ones, since zero means "none sent" (RFC 768). */
export function asUdp(value: number): number {
  return value === 0 ? 0xffff : value;
}
