/** RADIUS servers as judge of subscribers: what they answer becomes a grant. */
import type { Prefix } from '../../config/compiled.js';
import { parsePrefix } from '../../config/values.js';
import type { AuthenticateRequest } from '../../protocol/ppp/events.js';
import type { AccessReply } from '../../protocol/radius/reply.js';
import type { RadiusCredentials } from '../../protocol/radius/types.js';
import { parseAddress } from '../../wire/address.js';
import type { RadiusAnswer, RadiusService } from '../radius-service.js';
import { radiusSession } from './accounting.js';
import type { CallFacts, Judge } from './authenticator.js';
import { type Grant, NOTHING_PARTICULAR, type Verdict } from './grant.js';

const NONE = new Uint8Array(0);

export class RadiusJudge implements Judge {
  constructor(readonly service: RadiusService) {}

  judge(request: AuthenticateRequest, call: CallFacts, answer: (verdict: Verdict) => void): void {
    const session = radiusSession(call, request.name);
    this.service.access({ session, credentials: credentialsOf(request) }, (reply) =>
      answer(verdictOf(reply, request.name)),
    );
  }
}

function credentialsOf({ method, id, password, challenge = NONE, response = NONE }: AuthenticateRequest) {
  const credentials: RadiusCredentials =
    method === 'pap' ? { method, password: password ?? NONE } : { method, id, challenge, response };
  return credentials;
}

/** Nobody answered: the subscriber is refused, and may dial again. */
export function verdictOf(answer: RadiusAnswer, name: string): Verdict {
  if (answer.type === 'no-answer') return { kind: 'refuse', reason: `radius-${answer.reason}` };
  const { reply } = answer;
  if (answer.type === 'rejected') {
    const message = reply.msChapError ?? reply.message;
    return { kind: 'refuse', reason: 'rejected', ...(message === null ? {} : { message }) };
  }
  const message = reply.msChapSuccess ?? reply.message;
  return { kind: 'accept', grant: grantOf(reply, name), ...(message === null ? {} : { message }) };
}

function grantOf(reply: AccessReply, name: string): Grant {
  const fixed = reply.address === 'any' || reply.address === 'client' ? null : reply.address;
  const routes = [...reply.routes, ...reply.ipv6Routes].flatMap(prefixOf);
  const dns = reply.dns.map(parseAddress).filter((words) => words !== null);
  return {
    ...NOTHING_PARTICULAR,
    user: reply.userName ?? name,
    address: fixed === null ? null : parseAddress(fixed),
    pool: reply.pool,
    prefix:
      [reply.ipv6Prefix, reply.delegatedPrefix].flatMap((text) => (text === null ? [] : prefixOf(text)))[0] ?? null,
    pool6: reply.ipv6Pool ?? reply.delegatedPool,
    routes,
    dns: dns.length === 0 ? null : dns,
    idleSeconds: reply.idleTimeout,
    timeoutSeconds: reply.sessionTimeout,
    interimSeconds: reply.interimInterval,
    classes: reply.classes,
  };
}

/** `192.168.7.0/24 0.0.0.0 1` (RFC 2865 §5.22): the prefix; gateway and metrics mean nothing on a link of two. */
function prefixOf(text: string): Prefix[] {
  const parsed = parsePrefix(text.trim().split(/\s+/, 1)[0]);
  return 'value' in parsed ? [parsed.value] : [];
}
