/** Control messages to bytes, with the AVPs hidden that the peer's profile wants hidden (RFC 2661 §4.3). */
import { type AvpInput, encodeAvpValue } from '../../tunnels/l2tp/avp.js';
import {
  AVP_CALLED_NUMBER,
  AVP_CALLING_NUMBER,
  AVP_PROXY_AUTH_CHALLENGE,
  AVP_PROXY_AUTH_ID,
  AVP_PROXY_AUTH_NAME,
  AVP_PROXY_AUTH_RESPONSE,
  AVP_RANDOM_VECTOR,
  AVP_SUB_ADDRESS,
  avpDefinition,
} from '../../tunnels/l2tp/avp-table.js';
import { hideValue } from '../../tunnels/l2tp/hidden.js';
import { buildMessage, type L2tpMessageInput } from '../../tunnels/l2tp/message.js';
import type { FullTunnelProfile } from './profile.js';

const VECTOR_LENGTH = 16;
const LENGTH_FIELD = 2;
/** Lengths of hidden values are rounded up to this, so that they tell less. */
const PADDED_TO = 16;

/** What a subscriber would not like to have read on the way. */
const PRIVATE: ReadonlySet<number> = new Set([
  AVP_CALLED_NUMBER,
  AVP_CALLING_NUMBER,
  AVP_SUB_ADDRESS,
  AVP_PROXY_AUTH_NAME,
  AVP_PROXY_AUTH_CHALLENGE,
  AVP_PROXY_AUTH_ID,
  AVP_PROXY_AUTH_RESPONSE,
]);

/**
 * The message, ready for `ReliableDelivery`; null where an AVP has a value that it cannot have or that is too long, a
 * mistake of whoever made it. An AVP that says itself that it is hidden goes out as it is.
 */
export function writeControl(
  input: L2tpMessageInput,
  profile: FullTunnelProfile,
  random: (length: number) => Uint8Array,
): Uint8Array | null {
  try {
    return write(input, profile, random);
  } catch (error) {
    if (error instanceof RangeError || error instanceof TypeError) return null;
    throw error;
  }
}

function write(
  input: L2tpMessageInput,
  profile: FullTunnelProfile,
  random: (length: number) => Uint8Array,
): Uint8Array {
  const { secret, hide } = profile;
  const { avps } = input;
  if (hide === 'none' || secret === null || avps === undefined) return buildMessage(input);
  const wanted = (avp: AvpInput): boolean =>
    (avp.vendor ?? 0) === 0 &&
    avp.hidden !== true &&
    (hide === 'private' ? PRIVATE.has(avp.type) : avpDefinition(avp.type)?.mayHide === true);
  if (!avps.some(wanted)) return buildMessage(input);
  const vector = random(VECTOR_LENGTH).slice();
  const out: AvpInput[] = [{ type: AVP_RANDOM_VECTOR, value: vector }];
  for (const avp of avps) out.push(wanted(avp) ? hideAvp(avp, secret, vector, random) : avp);
  return buildMessage({ ...input, avps: out });
}

function hideAvp(
  avp: AvpInput,
  secret: Uint8Array,
  vector: Uint8Array,
  random: (length: number) => Uint8Array,
): AvpInput {
  const value = encodeAvpValue(avp);
  const length = Math.ceil((LENGTH_FIELD + value.length) / PADDED_TO) * PADDED_TO;
  const plain = new Uint8Array(length);
  plain[0] = value.length >> 8;
  plain[1] = value.length & 0xff;
  plain.set(value, LENGTH_FIELD);
  const used = LENGTH_FIELD + value.length;
  if (used < length) plain.set(random(length - used), used);
  return { ...avp, value: hideValue(avp.type, secret, vector, plain), hidden: true };
}
