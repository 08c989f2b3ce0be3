/** Secrets as they are configured: written out, or in a file that only some may read. */
import { readFileSync } from 'node:fs';
import type { Secret } from '../config/compiled.js';
import { SECRET_LENGTH } from '../config/schema.js';
import { DesignatorError } from '../errors.js';

/** The bytes of a secret. Errors: TD_CONFIG its file cannot be read, or it is too short or too long. */
export function keyOf(secret: Secret): Uint8Array {
  return Buffer.from('text' in secret ? secret.text : readSecretFile(secret.file), 'utf8');
}

function readSecretFile(file: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trimEnd();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new DesignatorError('TD_CONFIG', `the secret file ${file} cannot be read: ${code}`, { file }, error);
  }
  if (text.length >= SECRET_LENGTH.min && text.length <= SECRET_LENGTH.max) return text;
  const limits = `${SECRET_LENGTH.min} to ${SECRET_LENGTH.max}`;
  throw new DesignatorError('TD_CONFIG', `the secret in ${file} has ${text.length} characters, not ${limits}`, {
    file,
  });
}
