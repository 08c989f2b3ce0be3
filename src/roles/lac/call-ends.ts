/** Why calls of a LAC end: words for counters and metrics, and what they mean. The sentence of a single call says more. */
export const CALL_ENDS = {
  client: 'the client ended its session (PADT)',
  lns: 'the LNS ended the call',
  tunnel: 'the tunnel of the call ended',
  ppp: 'the client’s LCP or authentication did not get to where the LNS takes over',
  'no-choice': 'nobody in `choose` named an LNS',
  statement: 'the client asked for an LNS that it may not have',
  unreachable: 'no LNS that was named took the call',
  'radius-rejected': 'RADIUS refused the call',
  'radius-silent': 'no RADIUS server answered',
  timeout: 'the call did not stand in time',
  'no-room': 'no place in the data path',
  switchover: 'the call could not be moved to another LNS',
  shutdown: 'the LAC went out of service',
} as const;
export type CallEnd = keyof typeof CALL_ENDS;
