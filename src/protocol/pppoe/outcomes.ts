/** What becomes of PPPoE frames: the words that counters have, and what they mean. */

export const PPPOE_TAKEN = {
  padi: 'PADI that were answered with a PADO',
  padr: 'PADR that made a session',
  'padr-repeated': 'PADR that were repeated, and answered as before',
  padt: 'sessions that their client ended',
  session: 'frames of sessions that came up to the main thread',
} as const;

export const PPPOE_DROPS = {
  malformed: 'no PPPoE packet: another version, a length that does not fit, tags that run over',
  'not-for-us': 'a PPPoE frame for another MAC address',
  'source-group': 'a PPPoE frame from a group address',
  'unexpected-code': 'a PPPoE code that clients do not send',
  'session-id': 'a PADI or PADR with a session id',
  'no-service-tag': 'a PADI or PADR without Service-Name',
  'unknown-service': 'a PADI or PADR for a service that is not offered',
  'client-rate': 'more PADI and PADR of one MAC address than `pppoe.clientRequests` allows',
  'port-rate': 'more PADI and PADR on one interface than `pppoe.requests` allows',
  'session-limit': 'a PADI or PADR while there are as many sessions as are allowed',
  'client-limit': 'a PADR of a client that has as many sessions as are allowed',
  'bad-cookie': 'a PADR whose AC-Cookie is not ours, is another client’s, or is too old',
  'unknown-session': 'a PPPoE frame or PADT of a session that this client does not have',
} as const;

/** What became of a frame: what it was, or why it was dropped. */
export type PppoeOutcome = keyof typeof PPPOE_TAKEN | keyof typeof PPPOE_DROPS;
