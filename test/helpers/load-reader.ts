/** Load status messages as their comment in `src/wire/load-status.ts` describes them, read without its code. */
import { createHmac } from 'node:crypto';

const HEADER_LENGTH = 26;
const MAC_LENGTH = 32;

export interface ToldLoad {
  readonly server: string;
  readonly tunnels: number;
  readonly tunnelLimit: number;
  readonly bitsIn: number;
}

/** Errors: it is none, or of another secret. */
export function readLoad(data: Uint8Array, secret: string): ToldLoad {
  const bytes = Buffer.from(data);
  if (bytes.toString('latin1', 0, 4) !== 'TDLS') throw new Error('no load status message');
  const end = bytes.length - MAC_LENGTH;
  const mac = createHmac('sha256', secret).update(bytes.subarray(0, end)).digest();
  if (!mac.equals(bytes.subarray(end))) throw new Error('a load status message of another secret');
  const fields = bytes[24];
  const at = HEADER_LENGTH;
  return {
    server: bytes.toString('utf8', at + fields, at + fields + bytes[25]),
    tunnels: bytes.readUInt32BE(at),
    tunnelLimit: bytes.readUInt32BE(at + 8),
    bitsIn: Number(bytes.readBigUInt64BE(at + 32)),
  };
}
