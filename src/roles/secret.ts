/** Secrets as they are configured: written out, or in a file that only some may read. */
import { readFileSync } from 'node:fs';
import type { Secret } from '../config/compiled.js';
import { SECRET_LENGTH } from '../config/schema.js';
import { DesignatorError } from '../errors.js';

interface Limits {
  readonly min: number;
  readonly max: number;
}

/** The bytes of a secret. Errors: TD_CONFIG its file cannot be read, or it is too short or too long. */
export function keyOf(secret: Secret, limits: Limits = SECRET_LENGTH): Uint8Array {
  return Buffer.from('text' in secret ? secret.text : readSecretFile(secret.file, limits), 'utf8');
}

/** The secret of a tunnel (RFC 2661 §5.1.1), as text. Errors: as `keyOf`. */
export function tunnelSecretOf(secret: Secret): string {
  return 'text' in secret ? secret.text : readSecretFile(secret.file, TUNNEL_SECRET_LENGTH);
}

const TUNNEL_SECRET_LENGTH = { min: 1, max: 255 } as const;

function readSecretFile(file: string, { min, max }: Limits): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trimEnd();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new DesignatorError('TD_CONFIG', `the secret file ${file} cannot be read: ${code}`, { file }, error);
  }
  if (text.length >= min && text.length <= max) return text;
  const limits = `${min} to ${max}`;
  throw new DesignatorError('TD_CONFIG', `the secret in ${file} has ${text.length} characters, not ${limits}`, {
    file,
  });
}
