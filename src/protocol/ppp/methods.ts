/** Authentication methods as LCP's option 3 names them (RFC 1661 §6.2, RFC 1994 §3, RFC 2759 §3). */
import { PPP_PROTOCOL, pppU16 } from '../../wire/ppp.js';
import type { AuthMethod } from './options.js';

const MD5 = 5;
const MS_CHAP_V2 = 0x81;

/** What follows type and length. */
export const METHOD_OPTION: Readonly<Record<AuthMethod, readonly number[]>> = {
  pap: [PPP_PROTOCOL.pap >> 8, PPP_PROTOCOL.pap & 0xff],
  'chap-md5': [PPP_PROTOCOL.chap >> 8, PPP_PROTOCOL.chap & 0xff, MD5],
  'ms-chap-v2': [PPP_PROTOCOL.chap >> 8, PPP_PROTOCOL.chap & 0xff, MS_CHAP_V2],
};

/** The method of the option at `at`, whole with type and length; null when it is none of ours. */
export function methodOfOption(body: Uint8Array, at: number): AuthMethod | null {
  const length = body[at + 1];
  if (length < 4) return null;
  const protocol = pppU16(body, at + 2);
  if (protocol === PPP_PROTOCOL.pap) return length === 4 ? 'pap' : null;
  if (protocol !== PPP_PROTOCOL.chap || length !== 5) return null;
  if (body[at + 4] === MD5) return 'chap-md5';
  return body[at + 4] === MS_CHAP_V2 ? 'ms-chap-v2' : null;
}
