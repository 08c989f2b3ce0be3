/** What PPP links of one owner count: frames that came to nothing, by reason, and how links ended. */

/** Index = place in the counters, name = metric label, sentence = documentation. */
export const PPP_DISCARDS = [
  ['truncated', 'a frame or a packet shorter than its header says'],
  ['malformed-option', 'an option whose length does not fit into its packet'],
  ['unexpected', 'a packet that has no meaning in the state that the link is in (RFC 1661 §3)'],
  ['stale-id', 'an answer whose identifier is not that of the outstanding request'],
  ['wrong-answer', 'a Configure-Ack or Configure-Reject whose options are not those that were sent'],
  ['unknown-code', 'a code that the protocol does not know; answered with a Code-Reject'],
  ['unknown-protocol', 'a protocol that this end does not speak; answered with a Protocol-Reject'],
  ['looped-back', 'a packet of our own that came back'],
  ['too-long', 'a control packet longer than any that could be negotiated'],
  ['after-end', 'a frame for a link that has ended'],
] as const;

export type PppDiscard = (typeof PPP_DISCARDS)[number][0];

const DISCARD_INDEX = new Map<PppDiscard, number>(PPP_DISCARDS.map(([name], index) => [name, index]));

/** Plain numbers; one object serves any number of links. */
export class PppCounters {
  readonly discards = new Float64Array(PPP_DISCARDS.length);
  framesIn = 0;
  framesOut = 0;
  authenticationFailures = 0;
  renegotiations = 0;
  protocolRejectsSent = 0;

  discard(reason: PppDiscard): void {
    this.discards[DISCARD_INDEX.get(reason) as number]++;
  }

  of(reason: PppDiscard): number {
    return this.discards[DISCARD_INDEX.get(reason) as number];
  }
}
