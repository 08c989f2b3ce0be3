/** The socket of Disconnect-Messages and changes of authorization (RFC 5176), beside the role whose sessions they end. */
import { createSocket, type Socket } from 'node:dgram';
import { hostname } from 'node:os';
import { RADIUS_SECRET_LENGTH, type RadiusSettings } from '../config/radius.js';
import { DesignatorError } from '../errors.js';
import type { Logger } from '../ops/log.js';
import { type DynamicRequest, RadiusDynamic } from '../protocol/radius/dynamic.js';
import type { ErrorCause } from '../wire/radius-attributes.js';
import type { RadiusWorld } from './radius-service.js';
import { keyOf } from './secret.js';

/** Does what is asked, or says why not; `done` when at least one session fitted. */
export type DynamicHandler = (request: DynamicRequest) => 'done' | ErrorCause;

export class RadiusDynamicService {
  readonly engine: RadiusDynamic;
  readonly #clock: () => number;
  #socket: Socket | null = null;

  /** Errors: TD_CONFIG a secret's file cannot be read. */
  constructor(
    private readonly settings: RadiusSettings,
    private readonly handle: DynamicHandler,
    private readonly logger: Logger,
    world: RadiusWorld = {},
  ) {
    this.#clock = world.clock ?? ((): number => performance.now() / 1000);
    const clients = settings.dynamic?.clients ?? [];
    this.engine = new RadiusDynamic({
      clients: clients.map(({ words, length, secret }) => ({
        words,
        length,
        secret: keyOf(secret, RADIUS_SECRET_LENGTH),
      })),
      nas: {
        identifier: settings.nasIdentifier ?? world.nasIdentifier ?? hostname(),
        ...(settings.nasAddress === null ? {} : { address: settings.nasAddress }),
      },
      epoch: Date.now() / 1000 - this.#clock(),
    });
  }

  /** Nothing happens without a `dynamic` section. Errors: TD_UNAVAILABLE the address cannot be bound. */
  async start(): Promise<void> {
    const { dynamic } = this.settings;
    if (dynamic === null) return;
    const socket = createSocket({ type: dynamic.host.includes(':') ? 'udp6' : 'udp4' });
    this.#socket = socket;
    await new Promise<void>((resolve, reject) => {
      const where = { host: dynamic.host, port: dynamic.port };
      const fail = (error: Error): void =>
        reject(new DesignatorError('TD_UNAVAILABLE', `radius.dynamic.listen: ${error.message}`, where, error));
      socket.once('error', fail);
      socket.bind(dynamic.port, dynamic.host, () => {
        socket.off('error', fail);
        socket.on('error', (error) => this.logger.warn({ reason: error.message }, 'RADIUS socket'));
        resolve();
      });
    });
    socket.on('message', (bytes, { address, port }) => this.#take(bytes, address, port));
  }

  stop(): void {
    this.#socket?.close();
    this.#socket = null;
  }

  #take(bytes: Uint8Array, address: string, port: number): void {
    this.engine.receive(bytes, { address, port }, this.#clock());
    for (const request of this.engine.requests()) {
      const result = this.handle(request);
      this.engine.answer(request.token, result);
      this.logger.info(
        { from: address, kind: request.kind, match: request.match, result },
        'RADIUS request about a session',
      );
    }
    for (const datagram of this.engine.output())
      this.#socket?.send(datagram.bytes, datagram.port, datagram.address, () => {});
  }
}
