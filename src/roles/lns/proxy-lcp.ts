/** What LAC and LNS tell each other of PPP: proxy LCP and authentication (RFC 2661 §4.4.5), and SLI. */
import type { ProxyTrust } from '../../config/lns.js';
import type { L2tpSession } from '../../protocol/l2tp/session.js';
import type { PppParameters } from '../../protocol/ppp/events.js';
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

const ASYNCHRONOUS = 2;
const ACCM_DEFAULT = 0xffffffff;

/** Set-Link-Info (RFC 2661 §6.14): what was agreed on control characters matters to a LAC with an asynchronous line. */
export function tellLac(session: L2tpSession, { local, peer }: PppParameters): void {
  if (((session.attributes.framing ?? 0) & ASYNCHRONOUS) === 0) return;
  if (local.accm !== ACCM_DEFAULT || peer.accm !== ACCM_DEFAULT) session.sendSli(peer.accm, local.accm);
}
