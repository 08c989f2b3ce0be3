/** A RADIUS server for unit tests: bytes in, bytes out, with users from a table. Nothing of the client is in it. */
import {
  type RadiusAttribute,
  buildResponse,
  isAuthenticRequest,
  messageAuthenticator,
  readRadius,
} from '../../src/wire/radius.js';
import { ATTRIBUTE, RADIUS_CODE } from '../../src/wire/radius-attributes.js';
import { numberOf, revealPassword, textOf } from '../../src/wire/radius-values.js';

export interface TestUser {
  readonly password: string;
  readonly reply?: readonly RadiusAttribute[];
}

export interface TakenRecord {
  readonly status: number;
  readonly session: string;
  readonly delay: number;
  readonly attributes: readonly RadiusAttribute[];
}

export class TestRadiusServer {
  /** It hears nothing while false. */
  alive = true;
  /** Answers carry a Message-Authenticator. */
  signs = true;
  /** Accounting-Requests that were answered, repetitions included. */
  readonly records: TakenRecord[] = [];
  readonly asked: string[] = [];
  /** Requests that somebody without the secret has made, or whose signature is wrong. */
  forged = 0;

  constructor(
    readonly secret: Uint8Array,
    private readonly users: Readonly<Record<string, TestUser>> = {},
  ) {}

  receive(bytes: Uint8Array): Uint8Array | null {
    if (!this.alive) return null;
    const packet = readRadius(bytes);
    if (typeof packet === 'string') throw new Error(`the client has sent what is no packet: ${packet}`);
    const { code, id, authenticator, attributes } = packet;
    const value = (type: number): Uint8Array | undefined => attributes.find((one) => one.type === type)?.value;
    const text = (type: number): string => textOf(value(type) ?? new Uint8Array());
    if (code === RADIUS_CODE.accountingRequest) {
      if (!isAuthenticRequest(bytes, this.secret)) {
        this.forged++;
        return null;
      }
      this.records.push({
        status: numberOf(value(ATTRIBUTE.acctStatusType) ?? new Uint8Array()) ?? 0,
        session: text(ATTRIBUTE.acctSessionId),
        delay: numberOf(value(ATTRIBUTE.acctDelayTime) ?? new Uint8Array()) ?? -1,
        attributes,
      });
      return buildResponse(
        { code: RADIUS_CODE.accountingResponse, id, attributes: [] },
        authenticator,
        this.secret,
        false,
      );
    }
    if (messageAuthenticator(bytes, authenticator, this.secret) !== 'valid') {
      this.forged++;
      return null;
    }
    const name = text(ATTRIBUTE.userName);
    this.asked.push(name);
    const user = this.users[name];
    const hidden = value(ATTRIBUTE.userPassword);
    const given = hidden === undefined ? null : revealPassword(hidden, authenticator, this.secret);
    const accepted = user !== undefined && given !== null && textOf(given) === user.password;
    return buildResponse(
      {
        code: accepted ? RADIUS_CODE.accessAccept : RADIUS_CODE.accessReject,
        id,
        attributes: accepted ? (user.reply ?? []) : [],
      },
      authenticator,
      this.secret,
      this.signs,
    );
  }
}
