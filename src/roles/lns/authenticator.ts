/** Who is let in: the sources of `authenticate`, asked in their order until one knows the subscriber. */
import type { User } from '../../config/users.js';
import { checkPassword } from '../../protocol/ppp/authentication.js';
import type { AuthenticateRequest } from '../../protocol/ppp/events.js';
import { type Grant, NOTHING_PARTICULAR, type Verdict } from './grant.js';

/** What is known of a call before its user is. */
export interface CallFacts {
  readonly tunnelId: number;
  readonly sessionId: number;
  readonly peerAddress: string;
  readonly peerHostName: string;
  readonly localAddress: string;
  readonly called: string | null;
  readonly calling: string | null;
  /** Unique for this session, in accounting too. */
  readonly accountingId: string;
  /** Place of the session: NAS-Port. */
  readonly port: number;
}

/** Asked once for each attempt; answers once, at once or later. */
export interface Judge {
  judge(request: AuthenticateRequest, call: CallFacts, answer: (verdict: Verdict) => void): void;
}

const NO_MESSAGE: Verdict = { kind: 'refuse', reason: 'unknown-user' };

/** The users of a file. */
export class FileJudge implements Judge {
  constructor(public users: ReadonlyMap<string, User>) {}

  judge(request: AuthenticateRequest, _call: CallFacts, answer: (verdict: Verdict) => void): void {
    const user = this.users.get(request.name);
    if (user === undefined) return answer({ kind: 'unknown' });
    const { ok, message } = checkPassword(request, user.password);
    const words = message === undefined ? {} : { message };
    if (!ok) return answer({ kind: 'refuse', reason: 'wrong-password', ...words });
    if (user.disabled) return answer({ kind: 'refuse', reason: 'disabled' });
    answer({ kind: 'accept', grant: grantOf(user), ...words });
  }
}

/** Several judges, the first that knows the subscriber decides; nobody does: refused. */
export class JudgeChain implements Judge {
  constructor(readonly judges: readonly Judge[]) {}

  judge(request: AuthenticateRequest, call: CallFacts, answer: (verdict: Verdict) => void): void {
    const ask = (index: number): void => {
      const judge = this.judges[index];
      if (judge === undefined) return answer(NO_MESSAGE);
      judge.judge(request, call, (verdict) => (verdict.kind === 'unknown' ? ask(index + 1) : answer(verdict)));
    };
    ask(0);
  }
}

export function grantOf({ name, disabled: _disabled, password: _password, ...particular }: User): Grant {
  return { ...NOTHING_PARTICULAR, ...particular, user: name };
}
