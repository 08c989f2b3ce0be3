/**
 * Every way an L2TPv2 message can be unreadable, once: name = drop counter and metric label, sentence = documentation.
 * Functions of this folder answer with a code, −(1 + index), so that a bad packet costs a return and never a throw.
 */
export const MALFORMED_REASONS = [
  ['l2tp-truncated', 'the UDP payload ends inside the L2TP header (RFC 2661 §3.1)'],
  ['l2tp-version', 'the version is not 2: L2F is 1, L2TPv3 is 3 (RFC 2661 §3.1: discard silently)'],
  ['l2tp-control-flags', 'a control message without L or S, or with O or P (RFC 2661 §3.1)'],
  ['l2tp-length', 'the L2TP Length goes beyond the UDP payload or does not cover the header (RFC 2661 §3.1)'],
  ['l2tp-offset', 'Offset Size points beyond the message (RFC 2661 §3.1)'],
  ['l2tp-tunnel-zero', 'a data message with tunnel id 0, which no peer can have assigned (RFC 2661 §4.4.3)'],
  ['l2tp-avp-length', 'an AVP length below 6, beyond the message, or other than its type fixes (RFC 2661 §4.1)'],
  ['l2tp-avp-repeated', 'an Assigned Tunnel or Session ID that stands twice in a message: which one counts is unclear'],
  ['l2tp-no-message-type', 'a control message that does not begin with a readable Message Type AVP (RFC 2661 §4.4.1)'],
  ['l2tp-no-tunnel-id', 'SCCRQ or SCCRP without an Assigned Tunnel ID other than 0 (RFC 2661 §4.4.3)'],
] as const satisfies readonly (readonly [string, string])[];

export const TRUNCATED = -1;
export const OTHER_VERSION = -2;
export const CONTROL_FLAGS = -3;
export const BAD_LENGTH = -4;
export const BAD_OFFSET = -5;
export const TUNNEL_ZERO = -6;
export const AVP_LENGTH = -7;
export const AVP_REPEATED = -8;
export const NO_MESSAGE_TYPE = -9;
export const NO_TUNNEL_ID = -10;

/** Name of a negative answer. */
export function malformedName(code: number): string {
  return MALFORMED_REASONS[-1 - code][0];
}
