/**
 * The sockets that tunnels come to and are answered from: those of `listen` first, so that their numbers are those of the
 * list, then the addresses that answer for others (document 001, FIG. 4), and floating ports (RFC 2661 §8.1).
 */
import type { Prefix } from '../../config/compiled.js';
import type { Endpoint } from '../../config/endpoint-parts.js';
import type { LnsConfig } from '../../config/lns.js';
import type { Peer } from '../../protocol/l2tp/peer.js';
import { isFrom } from './profiles.js';

/** The part of the data path that it needs. */
export interface SocketPlane {
  addSocket(address: string, port: number): number;
}

export class ListeningSockets {
  /** By answering socket: one of another port that tunnels are put to. */
  readonly floating = new Map<number, number>();
  readonly #answering = new Map<number, { readonly socket: number; readonly except: readonly Prefix[] }>();

  /** Errors: TD_CONFLICT, TD_UNAVAILABLE an address cannot be bound. */
  constructor(config: Pick<LnsConfig, 'listen' | 'answerFrom' | 'tunnels'>, plane: SocketPlane) {
    const { listen, answerFrom, tunnels } = config;
    const open = new Map<string, number>();
    const socketOf = ({ host, port }: Endpoint): number => {
      const key = `${host} ${port}`;
      const socket = open.get(key) ?? plane.addSocket(host, port);
      open.set(key, socket);
      return socket;
    };
    const listening = listen.map(socketOf);
    for (const [index, from] of answerFrom.entries()) {
      if (from === null) continue;
      this.#answering.set(listening[index], { socket: socketOf(from), except: from.except });
    }
    if (!tunnels.floatingPort) return;
    for (const place of [...listen, ...answerFrom.filter((from) => from !== null)]) {
      const socket = socketOf(place);
      if (!this.floating.has(socket)) this.floating.set(socket, plane.addSocket(place.host, 0));
    }
  }

  /** The socket that answers this peer's request. */
  answering({ address, socket }: Peer): number {
    const other = this.#answering.get(socket);
    if (other === undefined || (other.except.length > 0 && isFrom(other.except, address))) return socket;
    return other.socket;
  }
}
