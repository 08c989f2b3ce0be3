/** Proxy LCP and authentication (RFC 2661 §4.4.5): what a LAC says of its negotiations, as far as it is believed. */
import type { ProxyTrust } from '../../config/lns.js';
import type { L2tpSession } from '../../protocol/l2tp/session.js';
import type { ProxyLcp } from '../../protocol/ppp/proxy.js';

/** null: nothing is believed, or not enough was said. */
export function proxyOf({ attributes }: L2tpSession, trust: ProxyTrust): ProxyLcp | null {
  const { lastSentLcp, lastReceivedLcp } = attributes;
  if (trust === 'none' || lastSentLcp === undefined || lastReceivedLcp === undefined) return null;
  const { initialLcp, authType, authName, authChallenge, authId, authResponse } = attributes;
  const optional = <K extends string, T>(key: K, value: T | undefined) =>
    (value === undefined ? {} : { [key]: value }) as Partial<Record<K, T>>;
  return {
    ...optional('initialReceived', initialLcp),
    lastSent: lastSentLcp,
    lastReceived: lastReceivedLcp,
    ...(trust === 'lcp'
      ? {}
      : {
          ...optional('authType', authType),
          ...optional('authName', authName),
          ...optional('authChallenge', authChallenge),
          ...optional('authId', authId),
          ...optional('authResponse', authResponse),
        }),
  };
}
