/** What the active check needs of the host: addresses and link-layer addresses to ask from, and echo. */
import { networkInterfaces } from 'node:os';
import type { CompiledConfig } from '../../config/compiled.js';
import { native } from '../../io/native.js';
import { PORT_INSIDE } from '../../io/port.js';
import { RawIcmp } from '../../io/raw-icmp.js';
import { type AddressWords, parseAddress } from '../../wire/address.js';

/**
 * UDP port that the check asks from. Nothing listens there: servers' answers are taken by the shards, and the drop rules
 * keep them from the host.
 */
export const PROBE_PORT = 51701;

export interface ProbeHost {
  /** The host's addresses on the inside interface; link-local ones left out. */
  addresses(): AddressWords[];
  /** Link-layer address of a port. */
  mac(port: number): Uint8Array;
  /** True: answered in time; false: not; null: could not be asked. Errors: of RawIcmp. */
  echo(words: AddressWords, timeoutMs: number): Promise<boolean | null>;
  close(): void;
}

export function probeHost({ inside, outside }: CompiledConfig): ProbeHost {
  let icmp: RawIcmp | null = null;
  return {
    addresses: () =>
      (networkInterfaces()[inside.name] ?? [])
        .map(({ address }) => parseAddress(address))
        .filter((words) => words !== null)
        .filter((words) => words[0] >>> 22 !== 0x3fa),
    mac: (port) => native().interfaceInfo(port === PORT_INSIDE ? inside.device : outside.device).mac,
    async echo(words, timeoutMs) {
      icmp ??= new RawIcmp();
      const { result } = await icmp.echo(words, timeoutMs);
      return result === 'unsent' ? null : result === 'reply';
    },
    close: () => icmp?.close(),
  };
}
