/**
 * PAP (RFC 1334 §2), CHAP with MD5 (RFC 1994) and MS-CHAPv2 (RFC 2759), both sides. The side that demands never knows a
 * password: what the peer says goes to the owner, who judges.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { PPP_PROTOCOL, sameBytes } from '../../wire/ppp.js';
import type { PppCounters } from './counters.js';
import type { AuthenticateRequest } from './events.js';
import {
  authenticatorResponse,
  buildMsResponse,
  MS_CHALLENGE_LENGTH,
  MS_RESPONSE_LENGTH,
  ntPasswordHash,
  ntResponse,
  readMsResponse,
} from './ms-chap.js';
import type { AuthMethod, Credentials } from './options.js';

const PAP = { request: 1, ack: 2, nak: 3 } as const;
const CHAP = { challenge: 1, response: 2, success: 3, failure: 4 } as const;
const MD5_LENGTH = 16;
/** Challenges and requests are repeated as often as Configure-Requests are. */
const TEXT_LIMIT = 255;

export interface AuthResult {
  readonly ok: boolean;
  /** In the answer to the peer. MS-CHAPv2: `S=` and 40 hexadecimal digits, without which it cannot succeed. */
  readonly message?: string;
}

/** What both sides need from their link. */
export interface AuthHost {
  readonly counters: PppCounters;
  readonly random: (length: number) => Uint8Array;
  readonly restart: number;
  readonly tries: number;
  send(protocol: number, code: number, id: number, data: Uint8Array): void;
}

const decoder = new TextDecoder();
const encoder = new TextEncoder();
const NEVER = Number.POSITIVE_INFINITY;

/** The proof of CHAP with MD5. */
function md5Response(id: number, password: string, challenge: Uint8Array): Uint8Array {
  return createHash('md5').update(Uint8Array.of(id)).update(password).update(challenge).digest();
}

/** Judges a request where the password is known in the clear. */
export function checkPassword(request: AuthenticateRequest, password: string): AuthResult {
  const { method, id, name, challenge, response } = request;
  const equal = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && timingSafeEqual(a, b);
  if (method === 'pap') return { ok: equal(request.password ?? new Uint8Array(0), encoder.encode(password)) };
  if (challenge === undefined || response === undefined) return { ok: false };
  if (method === 'chap-md5') return { ok: equal(response, md5Response(id, password, challenge)) };
  if (challenge.length !== MS_CHALLENGE_LENGTH || response.length !== MS_RESPONSE_LENGTH) return { ok: false };
  const { peer, nt } = readMsResponse(response);
  const hash = ntPasswordHash(password);
  if (!equal(nt, ntResponse(challenge, peer, name, hash))) return { ok: false };
  return { ok: true, message: authenticatorResponse(hash, nt, peer, challenge, name) };
}

/** A field with its length in front, at `at`; null when it does not fit. */
function counted(body: Uint8Array, at: number): Uint8Array | null {
  const end = at + 1 + (at < body.length ? body[at] : 0);
  return at >= body.length || end > body.length ? null : body.slice(at + 1, end);
}

function withCount(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [part.length, ...part]));
}

/** The side that demands: asks, hands the answer to the owner, tells the peer what he says. */
export class Authenticator {
  /** 'asking': nothing usable has come; 'asked': the owner thinks. */
  state: 'asking' | 'asked' | 'passed' | 'failed' = 'asking';
  deadline = NEVER;
  name = '';
  id = 0;
  challenge: Uint8Array | null = null;
  response: Uint8Array | null = null;
  #tries = 0;
  #answer: Uint8Array | null = null;

  constructor(
    readonly method: AuthMethod,
    private readonly host: AuthHost,
    private readonly hostName: string,
    /** The identifier before the first: an answer to an older challenge of this link must not be taken for one to ours. */
    lastId: number,
  ) {
    this.id = lastId;
  }

  begin(now: number): void {
    this.state = 'asking';
    this.#tries = 0;
    if (this.method === 'pap') return;
    this.challenge = this.host.random(MS_CHALLENGE_LENGTH).slice();
    this.id = (this.id + 1) & 0xff;
    this.#ask(now);
  }

  #ask(now: number): void {
    this.#tries++;
    this.deadline = now + this.host.restart;
    const name = encoder.encode(this.hostName).subarray(0, TEXT_LIMIT);
    const data = new Uint8Array(1 + MS_CHALLENGE_LENGTH + name.length);
    data[0] = MS_CHALLENGE_LENGTH;
    data.set(this.challenge as Uint8Array, 1);
    data.set(name, 1 + MS_CHALLENGE_LENGTH);
    this.host.send(PPP_PROTOCOL.chap, CHAP.challenge, this.id, data);
  }

  /** False: asked as often as it may be, and no answer. */
  tick(now: number): boolean {
    if (now < this.deadline) return true;
    this.deadline = NEVER;
    if (this.#tries >= this.host.tries) return false;
    this.#ask(now);
    return true;
  }

  /** A packet of the method's protocol. What the owner has to judge, or null. */
  receive(code: number, id: number, body: Uint8Array): AuthenticateRequest | null {
    const expected = this.method === 'pap' ? PAP.request : CHAP.response;
    if (code !== expected) return this.#discard('unexpected');
    if (this.state === 'passed' || this.state === 'failed') {
      // The answer was lost; only its identifier may have changed.
      if (this.method === 'pap' || id === this.id) this.#sendAnswer(id);
      else this.host.counters.discard('stale-id');
      return null;
    }
    if (this.state === 'asked') {
      if (this.method === 'pap') this.id = id;
      return null;
    }
    return this.method === 'pap' ? this.#papRequest(id, body) : this.#chapResponse(id, body);
  }

  #discard(reason: 'unexpected' | 'stale-id' | 'truncated'): null {
    this.host.counters.discard(reason);
    return null;
  }

  #papRequest(id: number, body: Uint8Array): AuthenticateRequest | null {
    const name = counted(body, 0);
    const password = name === null ? null : counted(body, 1 + name.length);
    if (name === null || password === null) return this.#discard('truncated');
    return this.take(id, decoder.decode(name), null, password);
  }

  #chapResponse(id: number, body: Uint8Array): AuthenticateRequest | null {
    if (id !== this.id) return this.#discard('stale-id');
    const value = counted(body, 0);
    const length = this.method === 'chap-md5' ? MD5_LENGTH : MS_RESPONSE_LENGTH;
    if (value === null || value.length !== length) return this.#discard('truncated');
    return this.take(id, decoder.decode(body.subarray(1 + length)), this.challenge, value);
  }

  /** What the peer said, to us or to the LAC before us. */
  take(id: number, name: string, challenge: Uint8Array | null, response: Uint8Array): AuthenticateRequest {
    this.state = 'asked';
    this.deadline = NEVER;
    this.id = id;
    this.name = name;
    this.challenge = challenge;
    this.response = response;
    const request = { type: 'authenticate' as const, method: this.method, id, name };
    return this.method === 'pap'
      ? { ...request, password: response }
      : { ...request, challenge: challenge as Uint8Array, response };
  }

  /** The owner's judgement goes to the peer. */
  judge({ ok, message }: AuthResult): void {
    this.state = ok ? 'passed' : 'failed';
    const text = encoder.encode(message ?? (ok ? '' : this.#failureText())).subarray(0, TEXT_LIMIT);
    this.#answer = this.method === 'pap' ? withCount(text) : text;
    this.#sendAnswer(this.id);
  }

  /** RFC 2759 §6: error, no retry, challenge, version 3. */
  #failureText(): string {
    if (this.method !== 'ms-chap-v2') return '';
    const challenge = Buffer.from(this.challenge ?? []).toString('hex');
    return `E=691 R=0 C=${challenge.toUpperCase()} V=3 M=Access denied`;
  }

  #sendAnswer(id: number): void {
    const passed = this.state === 'passed';
    const pap = this.method === 'pap';
    const code = pap ? (passed ? PAP.ack : PAP.nak) : passed ? CHAP.success : CHAP.failure;
    this.host.send(pap ? PPP_PROTOCOL.pap : PPP_PROTOCOL.chap, code, id, this.#answer ?? new Uint8Array(0));
  }

  /** As it was in another process: passed. */
  restore(name: string, id: number): void {
    this.state = 'passed';
    this.name = name;
    this.id = id;
  }
}

export type ProverState = 'proving' | 'passed' | 'failed' | 'deceived';

/** The side that proves itself. */
export class Prover {
  state: ProverState = 'proving';
  deadline = NEVER;
  #id = 0;
  #tries = 0;
  #challenge: Uint8Array | null = null;
  #response: Uint8Array | null = null;
  #expected: string | null = null;

  constructor(
    readonly method: AuthMethod,
    private readonly host: AuthHost,
    private readonly credentials: Credentials,
  ) {}

  /** PAP speaks first; CHAP waits for a challenge. */
  begin(now: number): void {
    if (this.method === 'pap') this.#request(now);
  }

  #wait(now: number): void {
    this.#tries++;
    this.deadline = now + this.host.restart;
  }

  #request(now: number): void {
    this.#id = (this.#id + 1) & 0xff;
    this.#wait(now);
    const { name, password } = this.credentials;
    const data = withCount(
      encoder.encode(name).subarray(0, TEXT_LIMIT),
      encoder.encode(password).subarray(0, TEXT_LIMIT),
    );
    this.host.send(PPP_PROTOCOL.pap, PAP.request, this.#id, data);
  }

  /** False: said as often as it may be, and no answer. */
  tick(now: number): boolean {
    if (now < this.deadline) return true;
    this.deadline = NEVER;
    if (this.#tries >= this.host.tries) return false;
    if (this.method === 'pap') this.#request(now);
    else this.#sendResponse(now);
    return true;
  }

  /** True when the state may have changed. */
  receive(code: number, id: number, body: Uint8Array, now: number): boolean {
    return this.method === 'pap' ? this.#papAnswer(code, id) : this.#chap(code, id, body, now);
  }

  #papAnswer(code: number, id: number): boolean {
    // An answer to an earlier repetition is as good: nothing in the request has changed.
    if ((code !== PAP.ack && code !== PAP.nak) || id > this.#id || this.state !== 'proving') return this.#discard();
    this.deadline = NEVER;
    this.state = code === PAP.ack ? 'passed' : 'failed';
    return true;
  }

  #discard(): boolean {
    this.host.counters.discard('unexpected');
    return false;
  }

  #chap(code: number, id: number, body: Uint8Array, now: number): boolean {
    if (code === CHAP.challenge) return this.#respond(id, body, now);
    if (code !== CHAP.success && code !== CHAP.failure) return this.#discard();
    if (id !== this.#id || this.#response === null || this.state !== 'proving') return this.#discard();
    this.deadline = NEVER;
    if (code === CHAP.failure) this.state = 'failed';
    else this.state = this.#expected === null || this.#proven(body) ? 'passed' : 'deceived';
    return true;
  }

  /** MS-CHAPv2: who knows the password can say so. */
  #proven(body: Uint8Array): boolean {
    const said = encoder.encode(this.#expected as string);
    return body.length >= said.length && timingSafeEqual(body.subarray(0, said.length), said);
  }

  #respond(id: number, body: Uint8Array, now: number): boolean {
    const challenge = counted(body, 0);
    const { method, host } = this;
    if (challenge === null || challenge.length === 0) {
      host.counters.discard('truncated');
      return false;
    }
    if (method === 'ms-chap-v2' && challenge.length !== MS_CHALLENGE_LENGTH) {
      host.counters.discard('truncated');
      return false;
    }
    if (this.#response === null || id !== this.#id || !sameBytes(challenge, this.#challenge as Uint8Array)) {
      this.#id = id;
      this.#challenge = challenge;
      this.#response = this.#prove(id, challenge);
    }
    // A new challenge on an open link (RFC 1994 §2): its outcome counts again.
    if (this.state === 'passed') this.state = 'proving';
    this.#tries = 0;
    this.#sendResponse(now);
    return false;
  }

  /** Repeated while nothing is said to it: a lost Success would come no other way (RFC 1994 §4.2). */
  #sendResponse(now: number): void {
    this.#wait(now);
    const response = this.#response as Uint8Array;
    const name = encoder.encode(this.credentials.name).subarray(0, TEXT_LIMIT);
    const data = new Uint8Array(1 + response.length + name.length);
    data[0] = response.length;
    data.set(response, 1);
    data.set(name, 1 + response.length);
    this.host.send(PPP_PROTOCOL.chap, CHAP.response, this.#id, data);
  }

  #prove(id: number, challenge: Uint8Array): Uint8Array {
    const { name, password } = this.credentials;
    if (this.method === 'chap-md5') return md5Response(id, password, challenge);
    const own = this.host.random(MS_CHALLENGE_LENGTH).slice();
    const hash = ntPasswordHash(password);
    const nt = ntResponse(challenge, own, name, hash);
    this.#expected = authenticatorResponse(hash, nt, own, challenge, name);
    return buildMsResponse(own, nt);
  }
}
