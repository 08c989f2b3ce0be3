/** MS-CHAPv2's computations, RFC 2759 §8. All sans-I/O; DES is the crypto library's triple DES with one key thrice. */
import { createCipheriv, createHash } from 'node:crypto';
import { md4 } from './md4.js';

export const MS_CHALLENGE_LENGTH = 16;
/** Peer challenge (16), reserved (8), NT response (24), flags (1): RFC 2759 §4. */
export const MS_RESPONSE_LENGTH = 49;
const NT_RESPONSE_AT = 24;
const NT_RESPONSE_LENGTH = 24;
const MAGIC_SERVER = 'Magic server to client signing constant';
const MAGIC_PAD = 'Pad to make it do more than one iteration';

/** The user's name without a domain in front, as the challenge covers it. */
const bareName = (name: string): string => name.slice(name.lastIndexOf('\\') + 1);

export function ntPasswordHash(password: string): Uint8Array {
  return md4(Buffer.from(password, 'utf16le'));
}

/** ChallengeHash: 8 bytes. */
function challengeHash(peer: Uint8Array, authenticator: Uint8Array, name: string): Buffer {
  return createHash('sha1').update(peer).update(authenticator).update(bareName(name)).digest().subarray(0, 8);
}

/** 56 bits as a DES key with room for parity. */
function desKey(bits: Uint8Array): Buffer {
  const key = Buffer.alloc(8);
  for (let index = 0; index < 8; index++) {
    const at = index * 7;
    const pair = ((bits[at >> 3] ?? 0) << 8) | (bits[(at >> 3) + 1] ?? 0);
    key[index] = (pair >> (8 - (at & 7))) & 0xfe;
  }
  return key;
}

function des(bits: Uint8Array, clear: Uint8Array): Buffer {
  const key = desKey(bits);
  const cipher = createCipheriv('des-ede3', Buffer.concat([key, key, key]), null).setAutoPadding(false);
  return cipher.update(clear);
}

/** GenerateNTResponse: 24 bytes. */
export function ntResponse(
  authenticator: Uint8Array,
  peer: Uint8Array,
  name: string,
  passwordHash: Uint8Array,
): Uint8Array {
  const challenge = challengeHash(peer, authenticator, name);
  const keys = new Uint8Array(21);
  keys.set(passwordHash);
  return Buffer.concat([0, 7, 14].map((at) => des(keys.subarray(at, at + 7), challenge)));
}

/** GenerateAuthenticatorResponse: `S=` and 40 hexadecimal digits. */
export function authenticatorResponse(
  passwordHash: Uint8Array,
  response: Uint8Array,
  peer: Uint8Array,
  authenticator: Uint8Array,
  name: string,
): string {
  const digest = createHash('sha1').update(md4(passwordHash)).update(response).update(MAGIC_SERVER).digest();
  const challenge = challengeHash(peer, authenticator, name);
  const proof = createHash('sha1').update(digest).update(challenge).update(MAGIC_PAD).digest('hex');
  return `S=${proof.toUpperCase()}`;
}

/** The parts of a 49-byte response. */
export function readMsResponse(response: Uint8Array): { peer: Uint8Array; nt: Uint8Array } {
  return {
    peer: response.subarray(0, MS_CHALLENGE_LENGTH),
    nt: response.subarray(NT_RESPONSE_AT, NT_RESPONSE_AT + NT_RESPONSE_LENGTH),
  };
}

export function buildMsResponse(peer: Uint8Array, nt: Uint8Array): Uint8Array {
  const response = new Uint8Array(MS_RESPONSE_LENGTH);
  response.set(peer, 0);
  response.set(nt, NT_RESPONSE_AT);
  return response;
}
