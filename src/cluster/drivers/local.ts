/**
 * Members on one machine: each listens on a socket in one folder, `<number>.sock`, and connects to those that it finds
 * there. Nothing is installed, nothing is configured, and who may enter the folder (mode 0700) may speak, in whatever
 * network namespace it is.
 *
 * Frames go over a stream, each behind its length (16 bit). What a slow reader does not take is dropped and counted.
 */
import { chmodSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { CLUSTER_FRAME_LIMIT, CLUSTER_HEADER_LENGTH } from '../../wire/cluster-bus.js';
import { DesignatorError } from '../../errors.js';
import { type BusOptions, CarriedBus, type Carrier } from './carried-bus.js';

export interface LocalBusOptions extends Omit<BusOptions, 'key'> {
  /** Made when it is not there. */
  readonly folder: string;
}

/** Bytes that may wait for a reader. */
const BACKLOG = 4 * 1024 * 1024;
const LOOK_MS = 250;
const CONNECTION_LIMIT = 256;
const NAME = /^(\d{1,3})\.sock$/;

/** Cuts a stream into frames. */
export class FrameCutter {
  #rest: Buffer = Buffer.alloc(0);

  /** False: what comes is no frame, and nothing that follows can be one. */
  push(chunk: Buffer, each: (frame: Uint8Array) => void): boolean {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (bytes.length - at >= 2) {
      const length = bytes.readUInt16BE(at);
      if (length < CLUSTER_HEADER_LENGTH || length > CLUSTER_FRAME_LIMIT) return false;
      if (bytes.length - at - 2 < length) break;
      each(bytes.subarray(at + 2, at + 2 + length));
      at += 2 + length;
    }
    this.#rest = bytes.subarray(at);
    return true;
  }
}

class LocalCarrier implements Carrier {
  readonly trouble = null;
  readonly #counters = { sendDropped: 0, sendErrors: 0, cut: 0 };
  readonly #out = new Map<number, Socket>();
  readonly #in = new Set<Socket>();
  readonly #timer: NodeJS.Timeout;

  constructor(
    readonly server: Server,
    readonly folder: string,
    readonly number: number,
    readonly received: (frame: Uint8Array) => void,
  ) {
    server.on('connection', (socket) => this.#accept(socket));
    this.#look();
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
    this.#timer.unref();
  }

  send(target: number, frame: Uint8Array): void {
    const head = Buffer.allocUnsafe(2);
    head.writeUInt16BE(frame.length);
    for (const [number, socket] of this.#out) {
      if (target !== 0 && number !== target) continue;
      if (socket.writableLength > BACKLOG) {
        this.#counters.sendDropped++;
        continue;
      }
      socket.cork();
      socket.write(head);
      socket.write(frame);
      uncorkLater(socket);
    }
  }

  counters(): Readonly<Record<string, number>> {
    return this.#counters;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    const ended = [...this.#out.values()].map(
      (socket) =>
        new Promise<void>((resolve) => {
          socket.once('close', () => resolve());
          socket.uncork();
          socket.end();
          setTimeout(() => socket.destroy(), 200).unref();
        }),
    );
    await Promise.all(ended);
    for (const socket of this.#in) socket.destroy();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
    rmSync(join(this.folder, `${this.number}.sock`), { force: true });
  }

  /** Who is new is connected to. */
  #look(): void {
    let names: string[] = [];
    try {
      names = readdirSync(this.folder);
    } catch {
      return; // The folder is gone: those who are connected stay so.
    }
    for (const name of names) {
      const number = Number(NAME.exec(name)?.[1] ?? 0);
      if (number === 0 || number === this.number || number > 255 || this.#out.has(number)) continue;
      const socket = createConnection(join(this.folder, name));
      this.#out.set(number, socket);
      socket.unref();
      // A socket that nobody listens on is what a killed process left.
      socket.on('error', () => this.#counters.sendErrors++);
      socket.on('close', () => {
        if (this.#out.get(number) === socket) this.#out.delete(number);
      });
    }
  }

  #accept(socket: Socket): void {
    if (this.#in.size >= CONNECTION_LIMIT) {
      socket.destroy();
      return;
    }
    const cutter = new FrameCutter();
    this.#in.add(socket);
    socket.unref();
    socket.on('data', (chunk) => {
      if (cutter.push(chunk, this.received)) return;
      this.#counters.cut++;
      socket.destroy();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => this.#in.delete(socket));
    this.#look(); // It has just come: it can be told something too.
  }
}

/** Errors: TD_CONFLICT another process has the number; TD_NO_PERMISSION the folder cannot be used. */
export async function openLocalBus(options: LocalBusOptions): Promise<CarriedBus> {
  const { folder, number } = options;
  const path = join(folder, `${number}.sock`);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    chmodSync(folder, 0o700);
  } catch (error) {
    throw new DesignatorError('TD_NO_PERMISSION', `the cluster's folder ${folder} cannot be used`, {}, error);
  }
  if (await isListening(path))
    throw new DesignatorError('TD_CONFLICT', `another process is member ${number} of the cluster in ${folder}`);
  rmSync(path, { force: true });
  const bus = new CarriedBus('local', { ...options, key: null });
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(new DesignatorError('TD_CONFLICT', `${path}: ${error.message}`, {}, error)));
    server.listen(path, () => resolve());
  });
  server.unref();
  return bus.start(new LocalCarrier(server, folder, number, (frame) => bus.received(frame)));
}

function isListening(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** What is written in one turn leaves in one call. */
function uncorkLater(socket: Socket): void {
  setImmediate(() => socket.uncork());
}
