/** Attributes of the requests that the client sends. */
import type { RadiusAttribute } from '../../wire/radius.js';
import {
  ACCOUNTING_STATUS,
  ATTRIBUTE,
  AUTHENTIC,
  FRAMED_PROTOCOL_PPP,
  MICROSOFT,
  MICROSOFT_ATTRIBUTE,
  SERVICE_TYPE,
  TERMINATE_CAUSE,
} from '../../wire/radius-attributes.js';
import {
  addressAttribute,
  attribute,
  hidePassword,
  numberAttribute,
  PASSWORD_LIMIT,
  textAttribute,
} from '../../wire/radius-values.js';
import type { AccessRequest, AccountingRecord, NasIdentity, RadiusCredentials, RadiusSession } from './types.js';

const TWO32 = 2 ** 32;
const CHAP_RESPONSE_LENGTH = 16;
/** RFC 2759 §4: Peer-Challenge 16, reserved 8, NT-Response 24, Flags 1. */
const CHAP2_RESPONSE_LENGTH = 49;
const CHAP2_FLAGS = 48;
const NAS_ADDRESS = { ipv4: ATTRIBUTE.nasIpAddress, ipv6: ATTRIBUTE.nasIpv6Address };
const FRAMED_ADDRESS = { ipv4: ATTRIBUTE.framedIpAddress, ipv6: ATTRIBUTE.framedIpv6Address };

/** Can these credentials be put into attributes at all? */
export function areSendable(credentials: RadiusCredentials): boolean {
  switch (credentials.method) {
    case 'pap':
      return credentials.password.length <= PASSWORD_LIMIT;
    case 'chap-md5':
      return credentials.response.length === CHAP_RESPONSE_LENGTH && credentials.challenge.length > 0;
    case 'ms-chap-v2':
      return credentials.response.length === CHAP2_RESPONSE_LENGTH && credentials.challenge.length > 0;
    case 'none':
      return (credentials.password?.length ?? 0) <= PASSWORD_LIMIT;
  }
}

/** The password is hidden with the authenticator and the server's secret: attributes are made anew for each server. */
export function accessAttributes(
  { session, credentials, serviceType = SERVICE_TYPE.framed }: AccessRequest,
  nas: NasIdentity,
  authenticator: Uint8Array,
  secret: Uint8Array,
): RadiusAttribute[] {
  const attributes = [
    ...nameOf(session),
    ...credentialAttributes(credentials, authenticator, secret),
    ...nasAttributes(nas),
    numberAttribute(ATTRIBUTE.serviceType, serviceType),
  ];
  if (serviceType === SERVICE_TYPE.framed)
    attributes.push(numberAttribute(ATTRIBUTE.framedProtocol, FRAMED_PROTOCOL_PPP));
  attributes.push(...sessionAttributes(session));
  return attributes;
}

function credentialAttributes(
  credentials: RadiusCredentials,
  authenticator: Uint8Array,
  secret: Uint8Array,
): RadiusAttribute[] {
  switch (credentials.method) {
    case 'pap':
      return [attribute(ATTRIBUTE.userPassword, hidePassword(credentials.password, authenticator, secret))];
    case 'chap-md5': {
      const value = Uint8Array.of(credentials.id, ...credentials.response);
      return [attribute(ATTRIBUTE.chapPassword, value), attribute(ATTRIBUTE.chapChallenge, credentials.challenge)];
    }
    case 'ms-chap-v2': {
      // RFC 2548 §2.3.2: identifier and flags stand before what CHAP has first.
      const { id, challenge, response } = credentials;
      const value = Uint8Array.of(id, response[CHAP2_FLAGS], ...response.subarray(0, CHAP2_FLAGS));
      return [
        attribute(MICROSOFT_ATTRIBUTE.chapChallenge, challenge, MICROSOFT),
        attribute(MICROSOFT_ATTRIBUTE.chap2Response, value, MICROSOFT),
      ];
    }
    case 'none': {
      // A server that has only passwords to compare with wants one for a number or a realm, too.
      const { password } = credentials;
      return password === undefined
        ? []
        : [attribute(ATTRIBUTE.userPassword, hidePassword(password, authenticator, secret))];
    }
  }
}

/** All but Acct-Delay-Time, which is that of the moment of sending. */
export function accountingAttributes(record: AccountingRecord, nas: NasIdentity): RadiusAttribute[] {
  const { session, status, traffic, cause, seconds, classes = [], authentic = 'radius' } = record;
  const attributes = [numberAttribute(ATTRIBUTE.acctStatusType, ACCOUNTING_STATUS[status]), ...nasAttributes(nas)];
  if (status === 'on' || status === 'off') return [...attributes, ...sessionAttributes(session)];
  attributes.push(
    ...nameOf(session),
    numberAttribute(ATTRIBUTE.serviceType, SERVICE_TYPE.framed),
    numberAttribute(ATTRIBUTE.framedProtocol, FRAMED_PROTOCOL_PPP),
    numberAttribute(ATTRIBUTE.acctAuthentic, AUTHENTIC[authentic]),
    ...sessionAttributes(session),
    ...classes.map((value) => attribute(ATTRIBUTE.class, value)),
  );
  if (seconds !== undefined) attributes.push(numberAttribute(ATTRIBUTE.acctSessionTime, Math.floor(seconds)));
  if (traffic !== undefined && status !== 'start') {
    attributes.push(
      numberAttribute(ATTRIBUTE.acctInputOctets, traffic.bytesIn % TWO32),
      numberAttribute(ATTRIBUTE.acctOutputOctets, traffic.bytesOut % TWO32),
      numberAttribute(ATTRIBUTE.acctInputGigawords, Math.floor(traffic.bytesIn / TWO32)),
      numberAttribute(ATTRIBUTE.acctOutputGigawords, Math.floor(traffic.bytesOut / TWO32)),
      numberAttribute(ATTRIBUTE.acctInputPackets, traffic.packetsIn % TWO32),
      numberAttribute(ATTRIBUTE.acctOutputPackets, traffic.packetsOut % TWO32),
    );
  }
  if (cause !== undefined && status === 'stop')
    attributes.push(numberAttribute(ATTRIBUTE.acctTerminateCause, TERMINATE_CAUSE[cause]));
  return attributes;
}

function nasAttributes({ identifier, address }: NasIdentity): RadiusAttribute[] {
  const attributes: RadiusAttribute[] = [];
  if (identifier !== undefined) attributes.push(textAttribute(ATTRIBUTE.nasIdentifier, identifier));
  if (address !== undefined) attributes.push(addressAttribute(NAS_ADDRESS, address));
  return attributes;
}

const nameOf = ({ userName }: RadiusSession): RadiusAttribute[] =>
  userName === undefined ? [] : [textAttribute(ATTRIBUTE.userName, userName)];

function sessionAttributes(session: RadiusSession): RadiusAttribute[] {
  const attributes: RadiusAttribute[] = [];
  const text = (type: number, value: string | undefined): void => {
    if (value !== undefined && value !== '') attributes.push(textAttribute(type, value));
  };
  const number = (type: number, value: number | undefined): void => {
    if (value !== undefined) attributes.push(numberAttribute(type, value));
  };
  text(ATTRIBUTE.acctSessionId, session.sessionId);
  text(ATTRIBUTE.acctMultiSessionId, session.multiSessionId);
  number(ATTRIBUTE.nasPort, session.nasPort);
  number(ATTRIBUTE.nasPortType, session.nasPortType);
  text(ATTRIBUTE.nasPortId, session.nasPortId);
  text(ATTRIBUTE.calledStationId, session.calledStationId);
  text(ATTRIBUTE.callingStationId, session.callingStationId);
  text(ATTRIBUTE.connectInfo, session.connectInfo);
  if (session.framedAddress !== undefined) attributes.push(addressAttribute(FRAMED_ADDRESS, session.framedAddress));
  attributes.push(...(session.attributes ?? []));
  return attributes;
}
