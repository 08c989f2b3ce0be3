/** UDP sockets in a namespace, used from here: the sockets are in a child process there, the logic stays in the test. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { labEnvironment } from '../../src/demo/lab/command.js';
import type { Namespace } from '../../src/demo/lab/namespace.js';

export interface Datagram {
  readonly data: Uint8Array;
  readonly address: string;
  readonly port: number;
}

export class AgentSocket {
  onDatagram: (datagram: Datagram) => void = () => {};

  constructor(
    private readonly child: ChildProcess,
    private readonly id: number,
    readonly address: string,
    readonly port: number,
  ) {}

  send(data: Uint8Array, address: string, port: number): void {
    this.sendAll([{ data, address, port }]);
  }

  sendAll(datagrams: readonly Datagram[]): void {
    if (this.child.connected) this.child.send({ type: 'send', id: this.id, datagrams });
  }
}

export class UdpAgent {
  readonly #child: ChildProcess;
  readonly #sockets = new Map<number, AgentSocket>();
  readonly #waiting = new Map<number, { resolve: (port: number) => void; reject: (error: Error) => void }>();
  #ids = 0;

  /** Whole IP packets, in this order, towards their destinations. */
  sendRaw(packets: readonly { readonly packet: Uint8Array; readonly address: string }[]): void {
    if (this.#child.connected) this.#child.send({ type: 'raw', packets });
  }

  /** The child is in the namespace, so the lab ends it at the latest. */
  constructor(namespace: Namespace) {
    const agent = join(import.meta.dirname, 'udp-agent.mjs');
    this.#child = spawn('ip', ['netns', 'exec', namespace.name, process.execPath, agent], {
      env: labEnvironment(namespace.env),
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      serialization: 'advanced',
      detached: true,
    });
    this.#child.on('message', (message: AgentMessage) => {
      switch (message.type) {
        case 'bound':
          return this.#waiting.get(message.id)?.resolve(message.port);
        case 'error':
          return this.#waiting
            .get(message.id)
            ?.reject(new Error(`UDP agent in ${namespace.short}: ${message.message}`));
        case 'message':
          return this.#sockets.get(message.id)?.onDatagram(message);
      }
    });
  }

  /** Port 0: any. `peer`: the socket is connected to it, so that the kernel takes nothing from anybody else. */
  async bind(
    address: string,
    port: number,
    peer?: { readonly address: string; readonly port: number },
  ): Promise<AgentSocket> {
    const id = ++this.#ids;
    const bound = await new Promise<number>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.once('exit', () => reject(new Error('the UDP agent ended')));
      this.#child.send({ type: 'bind', id, address, port, peer });
    });
    const socket = new AgentSocket(this.#child, id, address, bound);
    this.#sockets.set(id, socket);
    return socket;
  }

  close(): void {
    if (this.#child.connected) this.#child.disconnect();
  }
}

type AgentMessage =
  | { readonly type: 'bound'; readonly id: number; readonly port: number }
  | { readonly type: 'error'; readonly id: number; readonly message: string }
  | ({ readonly type: 'message'; readonly id: number } & Datagram);
