/** Numbers of RADIUS: packet codes, attributes and their values, as the RFCs and IANA have them. */

/** RFC 2865 §3, RFC 2866 §3, RFC 5176 §2.3, RFC 5997 §3. */
export const RADIUS_CODE = {
  accessRequest: 1,
  accessAccept: 2,
  accessReject: 3,
  accountingRequest: 4,
  accountingResponse: 5,
  accessChallenge: 11,
  statusServer: 12,
  disconnectRequest: 40,
  disconnectAck: 41,
  disconnectNak: 42,
  coaRequest: 43,
  coaAck: 44,
  coaNak: 45,
} as const;

/** RFC 2865 §5, RFC 2866 §5, RFC 2867 §4, RFC 2868 §3, RFC 2869 §5, RFC 3162 §2, RFC 4818, RFC 5176 §3, RFC 6911 §3. */
export const ATTRIBUTE = {
  userName: 1,
  userPassword: 2,
  chapPassword: 3,
  nasIpAddress: 4,
  nasPort: 5,
  serviceType: 6,
  framedProtocol: 7,
  framedIpAddress: 8,
  framedIpNetmask: 9,
  filterId: 11,
  framedMtu: 12,
  replyMessage: 18,
  framedRoute: 22,
  state: 24,
  class: 25,
  vendorSpecific: 26,
  sessionTimeout: 27,
  idleTimeout: 28,
  calledStationId: 30,
  callingStationId: 31,
  nasIdentifier: 32,
  acctStatusType: 40,
  acctDelayTime: 41,
  acctInputOctets: 42,
  acctOutputOctets: 43,
  acctSessionId: 44,
  acctAuthentic: 45,
  acctSessionTime: 46,
  acctInputPackets: 47,
  acctOutputPackets: 48,
  acctTerminateCause: 49,
  acctMultiSessionId: 50,
  acctInputGigawords: 52,
  acctOutputGigawords: 53,
  eventTimestamp: 55,
  chapChallenge: 60,
  nasPortType: 61,
  tunnelType: 64,
  tunnelMediumType: 65,
  tunnelClientEndpoint: 66,
  tunnelServerEndpoint: 67,
  acctTunnelConnection: 68,
  tunnelPassword: 69,
  connectInfo: 77,
  messageAuthenticator: 80,
  tunnelPrivateGroupId: 81,
  tunnelAssignmentId: 82,
  tunnelPreference: 83,
  acctInterimInterval: 85,
  nasPortId: 87,
  framedPool: 88,
  tunnelClientAuthId: 90,
  tunnelServerAuthId: 91,
  nasIpv6Address: 95,
  framedInterfaceId: 96,
  framedIpv6Prefix: 97,
  framedIpv6Route: 99,
  framedIpv6Pool: 100,
  errorCause: 101,
  delegatedIpv6Prefix: 123,
  framedIpv6Address: 168,
  dnsServerIpv6Address: 169,
  delegatedIpv6PrefixPool: 171,
} as const;

/** Enterprise number, and attributes of RFC 2548. */
export const MICROSOFT = 311;
export const MICROSOFT_ATTRIBUTE = {
  chapError: 2,
  chapChallenge: 11,
  chap2Response: 25,
  chap2Success: 26,
  primaryDnsServer: 28,
  secondaryDnsServer: 29,
} as const;

/** Service-Type, RFC 2865 §5.6. */
export const SERVICE_TYPE = { framed: 2, outbound: 5, callCheck: 10, authorizeOnly: 17 } as const;
export const FRAMED_PROTOCOL_PPP = 1;
/** NAS-Port-Type, RFC 2865 §5.41 and RFC 4603. */
export const PORT_TYPE = { virtual: 5, ethernet: 15, pppoeOverEthernet: 34, pppoeOverVlan: 35 } as const;
/** Acct-Status-Type, RFC 2866 §5.1. */
export const ACCOUNTING_STATUS = { start: 1, stop: 2, interim: 3, on: 7, off: 8 } as const;
/** Acct-Authentic, RFC 2866 §5.6. */
export const AUTHENTIC = { radius: 1, local: 2, remote: 3 } as const;
/** Tunnel-Type, RFC 2868 §3.1. */
export const TUNNEL_TYPE = { pptp: 1, l2f: 2, l2tp: 3 } as const;
/** Tunnel-Medium-Type, RFC 2868 §3.2. */
export const TUNNEL_MEDIUM = { ipv4: 1, ipv6: 2 } as const;

/** Acct-Terminate-Cause, RFC 2866 §5.10. */
export const TERMINATE_CAUSE = {
  userRequest: 1,
  lostCarrier: 2,
  lostService: 3,
  idleTimeout: 4,
  sessionTimeout: 5,
  adminReset: 6,
  adminReboot: 7,
  portError: 8,
  nasError: 9,
  nasRequest: 10,
  nasReboot: 11,
  portUnneeded: 12,
  portPreempted: 13,
  portSuspended: 14,
  serviceUnavailable: 15,
  callback: 16,
  userError: 17,
  hostRequest: 18,
} as const;
export type TerminateCause = keyof typeof TERMINATE_CAUSE;

/** Error-Cause, RFC 5176 §3.5. */
export const ERROR_CAUSE = {
  residualSessionRemoved: 201,
  unsupportedAttribute: 401,
  missingAttribute: 402,
  nasIdentificationMismatch: 403,
  invalidRequest: 404,
  unsupportedService: 405,
  administrativelyProhibited: 501,
  sessionNotFound: 503,
  resourcesUnavailable: 506,
} as const;
export type ErrorCause = keyof typeof ERROR_CAUSE;
