/**
 * A few members with fixed addresses, each of which sends to each: no other program is needed. Frames are sealed: whoever
 * reaches the port and has no key is not heard.
 */
import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { DesignatorError } from '../../errors.js';
import { type BusOptions, CarriedBus, type Carrier } from './carried-bus.js';

export interface UdpPeer {
  readonly number: number;
  readonly address: string;
  readonly port: number;
}

export interface UdpBusOptions extends BusOptions {
  readonly key: Uint8Array;
  readonly address: string;
  readonly port: number;
  readonly peers: readonly UdpPeer[];
}

export const UDP_PEER_LIMIT = 16;
/** Bytes that the kernel is asked to hold; it gives less without rights. */
const BUFFER = 4 * 1024 * 1024;
/** Frames that may wait in the socket before more are dropped. */
const BACKLOG = 2048;
/** Errors in a row after which the bus is said to be degraded, and a key is at least so long. */
const FAILURES = 20;
const KEY_LENGTH = 16;

class UdpCarrier implements Carrier {
  readonly #counters = { sendErrors: 0, sendDropped: 0 };
  #backlog = 0;
  #failures = 0;
  #failure = '';

  constructor(
    readonly socket: Socket,
    readonly peers: readonly UdpPeer[],
    readonly changed: () => void,
  ) {
    socket.on('error', (error) => this.#failed(error));
  }

  get trouble(): string | null {
    return this.#failures >= FAILURES ? this.#failure : null;
  }

  send(target: number, frame: Uint8Array): void {
    for (const peer of this.peers) {
      if (target !== 0 && peer.number !== target) continue;
      if (this.#backlog >= BACKLOG) {
        this.#counters.sendDropped++;
        continue;
      }
      this.#backlog++;
      this.socket.send(frame, peer.port, peer.address, (error) => {
        this.#backlog--;
        if (error !== null) this.#failed(error);
        else if (this.#failures > 0) {
          this.#failures = 0;
          this.changed();
        }
      });
    }
  }

  counters(): Readonly<Record<string, number>> {
    return this.#counters;
  }

  close(): Promise<void> {
    // The farewell is on its way only when the socket has taken it.
    return new Promise((resolve) => setImmediate(() => this.socket.close(() => resolve())));
  }

  #failed(error: Error): void {
    this.#counters.sendErrors++;
    this.#failure = error.message;
    if (++this.#failures === FAILURES) this.changed();
  }
}

/** Errors: TD_CONFIG a key that is too short, too many peers; TD_CONFLICT the address cannot be had. */
export async function openUdpBus(options: UdpBusOptions): Promise<CarriedBus> {
  if (options.key.length < KEY_LENGTH)
    throw new DesignatorError('TD_CONFIG', `the key of the cluster has ${options.key.length} bytes, not ${KEY_LENGTH}`);
  if (options.peers.length > UDP_PEER_LIMIT)
    throw new DesignatorError(
      'TD_CONFIG',
      `${options.peers.length} peers: udp is for up to ${UDP_PEER_LIMIT}, nats for more`,
    );
  const bus = new CarriedBus('udp', options);
  const socket = createSocket(isIPv6(options.address) ? 'udp6' : 'udp4');
  await new Promise<void>((resolve, reject) => {
    const fail = (error: Error): void =>
      reject(
        new DesignatorError(
          'TD_CONFLICT',
          `the cluster's address ${options.address} port ${options.port} cannot be had: ${error.message}`,
          {},
          error,
        ),
      );
    socket.once('error', fail);
    socket.bind(options.port, options.address, () => {
      socket.off('error', fail);
      resolve();
    });
  });
  try {
    socket.setRecvBufferSize(BUFFER);
    socket.setSendBufferSize(BUFFER);
  } catch {
    // What the kernel gives must do: what it drops is asked for again.
  }
  const others = options.peers.filter(({ number }) => number !== options.number);
  const carrier = new UdpCarrier(socket, others, () => bus.carrierChanged());
  socket.on('message', (frame) => bus.received(frame));
  return bus.start(carrier);
}
