/**
 * The primary's part in a planned switchover (document 002, FIG. 2, steps 224 to 234): asks a LAC with an STPLRQ, waits
 * for its STPLRP and then for the peer LNS to claim the tunnel. Until then the primary goes on serving, so that nothing
 * is lost where one of the others fails.
 */
import type { SwitchoverRequest, SwitchoverResponse, SwitchoverType } from '../../tunnels/l2tp/offload-messages.js';
import { denialName } from '../../tunnels/l2tp/offload-messages.js';

export interface SwitchoverOptions {
  /** Seconds until a LAC has answered. Default 5. */
  readonly answer?: number;
  /** Seconds from its grant until the peer has claimed. Default 10. */
  readonly claim?: number;
}

export interface SwitchoverOutcome {
  readonly tunnel: number;
  readonly type: SwitchoverType;
  /** `asked-new`: granted for new calls, nothing moves now. */
  readonly outcome: 'moved' | 'denied' | 'no-answer' | 'not-moved' | 'asked-new';
  readonly reason: string;
}

interface Pending {
  readonly request: SwitchoverRequest;
  granted: boolean;
  deadline: number;
}

export class SwitchoverRequests {
  readonly #pending = new Map<number, Pending>();
  readonly #answer: number;
  readonly #claim: number;
  #outcomes: SwitchoverOutcome[] = [];

  constructor({ answer = 5, claim = 10 }: SwitchoverOptions = {}) {
    this.#answer = answer;
    this.#claim = claim;
  }

  get pending(): number {
    return this.#pending.size;
  }

  isPending(tunnel: number): boolean {
    return this.#pending.has(tunnel);
  }

  /** The STPLRQ has been sent. False: one is under way for this tunnel. */
  asked(tunnel: number, request: SwitchoverRequest, now: number): boolean {
    if (this.#pending.has(tunnel)) return false;
    this.#pending.set(tunnel, { request, granted: false, deadline: now + this.#answer });
    return true;
  }

  /** An STPLRP. It counts when it echoes what was asked. */
  answered(tunnel: number, response: SwitchoverResponse, now: number): void {
    const pending = this.#pending.get(tunnel);
    if (pending === undefined || pending.granted || !echoes(pending.request, response)) return;
    if (!response.granted) this.#end(tunnel, 'denied', response.message || denialName(response.reason));
    else if (response.type === 'new') this.#end(tunnel, 'asked-new', '');
    else {
      pending.granted = true;
      pending.deadline = now + this.#claim;
    }
  }

  /** The peer serves the tunnel now, or these sessions of it. */
  claimed(tunnel: number): void {
    if (this.#pending.has(tunnel)) this.#end(tunnel, 'moved', '');
  }

  /** It has ended in another way. */
  ended(tunnel: number, reason: string): void {
    if (this.#pending.has(tunnel)) this.#end(tunnel, 'not-moved', reason);
  }

  run(now: number): void {
    for (const [tunnel, { granted, deadline }] of this.#pending) {
      if (now < deadline) continue;
      if (granted) this.#end(tunnel, 'not-moved', 'the peer LNS has not claimed the tunnel');
      else this.#end(tunnel, 'no-answer', 'the LAC has not answered');
    }
  }

  #end(tunnel: number, outcome: SwitchoverOutcome['outcome'], reason: string): void {
    const type = this.#pending.get(tunnel)?.request.type ?? 'all';
    this.#pending.delete(tunnel);
    this.#outcomes.push({ tunnel, type, outcome, reason });
  }

  outcomes(): SwitchoverOutcome[] {
    const outcomes = this.#outcomes;
    this.#outcomes = [];
    return outcomes;
  }

  get nextTime(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { deadline } of this.#pending.values()) next = Math.min(next, deadline);
    return next;
  }
}

function echoes(request: SwitchoverRequest, response: SwitchoverResponse): boolean {
  return (
    request.type === response.type &&
    request.address.length === response.address.length &&
    request.address.every((byte, i) => byte === response.address[i]) &&
    request.sessions.length === response.sessions.length
  );
}
