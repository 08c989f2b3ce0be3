/** What a LAC asks RADIUS for: the tunnel of a user, of a realm, or of a line (RFC 2868; Call-Check of RFC 2865 §5.6). */
import type { LacConfig } from '../../config/lac.js';
import type { AccessRequest, RadiusCredentials } from '../../protocol/radius/types.js';
import { PROXY_AUTH } from '../../protocol/ppp/proxy.js';
import { PORT_TYPE, SERVICE_TYPE } from '../../wire/radius-attributes.js';
import type { RadiusService } from '../radius-service.js';
import type { LacCall } from './call.js';
import { realmOf } from './chooser.js';
import type { NamedTunnel } from './targets.js';

export type QuestionAnswer =
  | { readonly type: 'accepted'; readonly tunnels: readonly NamedTunnel[] }
  | { readonly type: 'rejected'; readonly message: string | null }
  | { readonly type: 'no-answer' };

export interface Question {
  /** Asks; a token for `cancel`, or 0 when there is nothing to ask for. `user`: as RADIUS is told it. */
  ask(
    how: LacConfig['radiusQuestion'],
    call: LacCall,
    user: string | null,
    done: (answer: QuestionAnswer, now: number) => void,
  ): number;
  cancel(token: number): void;
}

const encoder = new TextEncoder();

export class RadiusQuestion implements Question {
  readonly #service: RadiusService;
  readonly #clock: () => number;
  readonly #wake: () => void;

  /** `wake`: a turn of the loop, after an answer has acted on the engines. */
  constructor(service: RadiusService, clock: () => number, wake: () => void) {
    this.#service = service;
    this.#clock = clock;
    this.#wake = wake;
  }

  ask(
    how: LacConfig['radiusQuestion'],
    call: LacCall,
    user: string | null,
    done: (answer: QuestionAnswer, now: number) => void,
  ): number {
    const request = requestOf(how, call, user);
    if (request === null) return 0;
    return this.#service.access(request, (answer) => {
      const now = this.#clock();
      if (answer.type === 'accepted') done({ type: 'accepted', tunnels: answer.reply.tunnels }, now);
      else if (answer.type === 'rejected') done({ type: 'rejected', message: answer.reply.message }, now);
      else done({ type: 'no-answer' }, now);
      this.#wake();
    });
  }

  cancel(token: number): void {
    this.#service.cancel(token);
  }
}

/** null: nothing to ask for. */
export function requestOf(how: LacConfig['radiusQuestion'], call: LacCall, user: string | null): AccessRequest | null {
  const session = {
    nasPort: call.pppoe.id,
    nasPortId: call.pppoe.port.name,
    nasPortType: PORT_TYPE.pppoeOverEthernet,
    calledStationId: call.called,
    callingStationId: call.calling,
  };
  const none: RadiusCredentials = { method: 'none', password: encoder.encode(how.password) };
  if (how.ask === 'number')
    return {
      session: { ...session, userName: call.calling },
      credentials: none,
      serviceType: SERVICE_TYPE.callCheck,
    };
  if (how.ask === 'realm') {
    const realm = realmOf(user);
    if (realm === null || realm === '') return null;
    return { session: { ...session, userName: realm }, credentials: none, serviceType: SERVICE_TYPE.outbound };
  }
  const credentials = credentialsOf(call);
  return user === null || user === '' || credentials === null
    ? null
    : { session: { ...session, userName: user }, credentials };
}

/** What the client proved itself with; null: nothing, or by a method of which a LAC learns no answer. */
function credentialsOf({ proxy }: LacCall): RadiusCredentials | null {
  if (proxy?.authResponse === undefined) return null;
  const { authType, authId = 0, authChallenge, authResponse } = proxy;
  if (authType === PROXY_AUTH.pap) return { method: 'pap', password: authResponse };
  if (authType === PROXY_AUTH.chap && authChallenge !== undefined)
    return { method: 'chap-md5', id: authId, challenge: authChallenge, response: authResponse };
  return null;
}
