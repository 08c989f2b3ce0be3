/** What the active check needs of the host: addresses and link-layer addresses to ask from, and echo. */
import { createSocket, type Socket } from 'node:dgram';
import { networkInterfaces } from 'node:os';
import type { CompiledConfig } from '../../config/compiled.js';
import { native } from '../../io/native.js';
import { PORT_INSIDE } from '../../io/port.js';
import { RawIcmp } from '../../io/raw-icmp.js';
import { type AddressWords, formatWords, isIpv4, parseAddress } from '../../wire/address.js';

/**
 * UDP port that the check asks from. Servers' answers are taken by the shards, and the drop rules keep them from the host;
 * but those of servers that answer clients past this machine are the host's, which then listens there.
 */
export const PROBE_PORT = 51701;

export interface ProbeHost {
  /** The host's addresses on the inside interface; link-local ones left out. */
  addresses(): AddressWords[];
  /** Link-layer address of a port. */
  mac(port: number): Uint8Array;
  /** True: answered in time; false: not; null: could not be asked. Errors: of RawIcmp. */
  echo(words: AddressWords, timeoutMs: number): Promise<boolean | null>;
  /** Gives `heard` what comes to this port of these addresses; stops what was heard before. Absent: nothing can be heard. */
  listen?(addresses: readonly AddressWords[], port: number, heard: (payload: Uint8Array) => void): void;
  close(): void;
}

export function probeHost({ inside, outside }: CompiledConfig, onError: (error: Error) => void = () => {}): ProbeHost {
  let icmp: RawIcmp | null = null;
  let sockets: Socket[] = [];
  const deafen = (): void => {
    for (const socket of sockets) socket.close();
    sockets = [];
  };
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
    listen(addresses, port, heard) {
      deafen();
      sockets = addresses.map((words) => {
        const socket = createSocket(isIpv4(words[0], words[1], words[2]) ? 'udp4' : 'udp6');
        socket.on('message', heard);
        // Another process may have the port: then the check is unanswered, which is what it says.
        socket.on('error', (error) => onError(error));
        socket.bind(port, formatWords(words));
        return socket;
      });
    },
    close() {
      deafen();
      icmp?.close();
    },
  };
}
