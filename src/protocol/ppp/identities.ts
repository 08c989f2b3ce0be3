/** Who is who on a link: the peer's proof to us, ours to the peer, either of which may be missing. */
import { PPP_PROTOCOL } from '../../wire/ppp.js';
import { type AuthHost, Authenticator, Prover } from './authentication.js';
import type { AuthenticateRequest } from './events.js';
import type { AuthMethod, PppOptions } from './options.js';

const NEVER = Number.POSITIVE_INFINITY;
/** What the demanding side has to read: PAP's Authenticate-Request and CHAP's Response. */
const SPEECH = { pap: 1, chap: 2 } as const;

export class Identities {
  authenticator: Authenticator | null = null;
  prover: Prover | null = null;
  #lastId = 0;

  constructor(
    private readonly host: AuthHost,
    private readonly options: PppOptions,
  ) {}

  /** `demanded`: by us of the peer; `due`: by the peer of us. */
  prepare(demanded: AuthMethod | null, due: AuthMethod | null): void {
    const { credentials, hostName } = this.options;
    this.authenticator = demanded === null ? null : new Authenticator(demanded, this.host, hostName, this.#lastId);
    this.prover = due === null || credentials === undefined ? null : new Prover(due, this.host, credentials);
  }

  clear(): void {
    this.#lastId = this.authenticator?.id ?? this.#lastId;
    this.authenticator = null;
    this.prover = null;
  }

  get needed(): boolean {
    return this.authenticator !== null || this.prover !== null;
  }

  /** Everybody who had to has proved who he is. */
  get done(): boolean {
    return (this.authenticator?.state ?? 'passed') === 'passed' && (this.prover?.state ?? 'passed') === 'passed';
  }

  get deadline(): number {
    return Math.min(this.authenticator?.deadline ?? NEVER, this.prover?.deadline ?? NEVER);
  }

  /** False: asked, or said, as often as it may be. */
  tick(now: number): boolean {
    const asked = this.authenticator?.tick(now) ?? true;
    const said = this.prover?.tick(now) ?? true;
    return asked && said;
  }

  /** Whether this is the protocol by which somebody here proves himself. */
  speaks(protocol: number): boolean {
    const method = this.authenticator?.method ?? this.prover?.method;
    return method !== undefined && (protocol === PPP_PROTOCOL.pap) === (method === 'pap');
  }

  /** What the owner has to judge; whether our own proof has come to something; or that nobody wants the packet. */
  receive(
    protocol: number,
    code: number,
    id: number,
    body: Uint8Array,
    now: number,
  ): AuthenticateRequest | 'moved' | 'taken' | null {
    const pap = protocol === PPP_PROTOCOL.pap;
    const { authenticator, prover } = this;
    if (code === (pap ? SPEECH.pap : SPEECH.chap)) {
      if (authenticator === null || (authenticator.method === 'pap') !== pap) return null;
      return authenticator.receive(code, id, body) ?? 'taken';
    }
    if (prover === null || (prover.method === 'pap') !== pap) return null;
    return prover.receive(code, id, body, now) ? 'moved' : 'taken';
  }
}
