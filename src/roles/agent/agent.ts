/**
 * The agent: looks at a tunnel server that is not ours and sends its load status to the designators (document 000, claim
 * 3). It needs no privileges beyond reading what it is told to read. A server that cannot be looked at is not spoken
 * for: its load then becomes stale at the designator, which knows what to do.
 */
import { createSocket } from 'node:dgram';
import { readFile } from 'node:fs/promises';
import type { AgentConfig } from '../../config/agent.js';
import { type LimitedLogger, limited, type Logger } from '../../ops/log.js';
import { buildLoadStatus, type LoadReport, NOTHING_KNOWN } from '../../wire/load-status.js';
import { type InterfaceCounts, readCpuTicks, readInterface, readMemoryShare } from './readings.js';
import { openSource, type TunnelSource } from './sources.js';

/** What the agent needs from outside, so that a test can be the kernel and the clock. */
export interface AgentWorld {
  /** Text of a file below /proc. */
  readonly read: (path: string) => Promise<string>;
  /** Unix milliseconds. */
  readonly clock: () => number;
  /** One datagram. Resolves when it is on its way. */
  readonly send: (bytes: Uint8Array, host: string, port: number) => Promise<void>;
}

const BITS = 8;
const ERRORS_PER_SECOND = 1;

interface Sample {
  readonly atMs: number;
  readonly cpu: readonly [number, number] | null;
  readonly traffic: InterfaceCounts | null;
}

export class Agent {
  readonly #log: LimitedLogger;
  readonly #source: TunnelSource;
  #last: Sample | null = null;
  #sequence = 0;
  sent = 0;
  /** A message for the bus of a cluster; null: there is none. */
  onBus: ((bytes: Uint8Array) => void) | null = null;

  constructor(
    readonly config: AgentConfig,
    readonly key: Uint8Array,
    readonly logger: Logger,
    readonly world: AgentWorld,
  ) {
    this.#log = limited(logger, 'agent', ERRORS_PER_SECOND);
    this.#source = openSource(config.source);
  }

  /** Looks. Null when there is nothing that could be said; rates are known from the second time on. */
  async look(): Promise<LoadReport | null> {
    const { config } = this;
    let counts: Partial<LoadReport>;
    try {
      counts = await this.#source.read();
    } catch (error) {
      this.#log.warn(
        { source: config.source.kind, reason: (error as Error).message },
        'the tunnel server cannot be looked at',
      );
      return null;
    }
    const before = this.#last;
    const now = await this.#sample();
    this.#last = now;
    const report: LoadReport = {
      ...NOTHING_KNOWN,
      cpu: cpuShare(before, now),
      memory: readMemoryShare(await this.#text('/proc/meminfo')),
      ...rates(before, now),
      bitCapacity: config.bitCapacity,
      packetCapacity: config.packetCapacity,
      tunnelLimit: config.tunnelLimit,
      sessionLimit: config.sessionLimit,
      ...counts,
    };
    return { ...report, accepting: report.accepting && !this.#isAbove(report) };
  }

  #isAbove(report: LoadReport): boolean {
    const { refuseAbove } = this.config;
    const isAbove = (value: number | null, limit: number | null): boolean =>
      value !== null && limit !== null && value > limit;
    return (['cpu', 'memory', 'tunnels', 'sessions'] as const).some((key) => isAbove(report[key], refuseAbove[key]));
  }

  /** A message for each name of the server to each designator. */
  async tell(report: LoadReport): Promise<void> {
    const { config, world } = this;
    const timeMs = world.clock();
    for (const server of config.servers) {
      // Milliseconds: above those of a run before, whatever their number.
      this.#sequence = Math.max(this.#sequence + 1, timeMs);
      const bytes = buildLoadStatus({ ...report, server, sequence: this.#sequence, timeMs }, this.key);
      this.onBus?.(bytes);
      for (const { host, port } of config.designators) {
        try {
          await world.send(bytes, host, port);
          this.sent++;
        } catch (error) {
          this.#log.warn({ to: `${host}:${port}`, reason: (error as Error).message }, 'load status not sent');
        }
      }
    }
  }

  close(): Promise<void> {
    return this.#source.close();
  }

  async #sample(): Promise<Sample> {
    const { device } = this.config;
    const cpu = readCpuTicks(await this.#text('/proc/stat'));
    const traffic = device === null ? null : readInterface(await this.#text('/proc/net/dev'), device);
    if (device !== null && traffic === null) this.#log.warn({ interface: device }, 'there is no such interface');
    return { atMs: this.world.clock(), cpu, traffic };
  }

  async #text(path: string): Promise<string> {
    return this.world.read(path).catch(() => '');
  }
}

function cpuShare(before: Sample | null, { cpu }: Sample): number | null {
  if (cpu === null || before === null || before.cpu === null) return null;
  const all = cpu[1] - before.cpu[1];
  return all > 0 ? Math.min(1, Math.max(0, (cpu[0] - before.cpu[0]) / all)) : null;
}

function rates(before: Sample | null, { atMs, traffic }: Sample): Partial<LoadReport> {
  if (traffic === null || before === null || before.traffic === null || atMs <= before.atMs) return {};
  const seconds = (atMs - before.atMs) / 1000;
  const { traffic: then } = before;
  // A counter that went back is another interface of that name.
  const rate = (key: keyof InterfaceCounts): number | null =>
    traffic[key] >= then[key] ? (traffic[key] - then[key]) / seconds : null;
  const bits = (bytes: number | null): number | null => (bytes === null ? null : bytes * BITS);
  return {
    packetsIn: rate('packetsIn'),
    packetsOut: rate('packetsOut'),
    bitsIn: bits(rate('bytesIn')),
    bitsOut: bits(rate('bytesOut')),
  };
}

/** The real kernel, clock and network. `close` ends the sockets. */
export function realWorld(): AgentWorld & { close(): void } {
  const sockets = new Map<string, ReturnType<typeof createSocket>>();
  const socketOf = (host: string): ReturnType<typeof createSocket> => {
    const type = host.includes(':') ? 'udp6' : 'udp4';
    let socket = sockets.get(type);
    if (socket === undefined) {
      socket = createSocket(type);
      // ICMP errors of earlier datagrams: the next message is the next attempt.
      socket.on('error', () => {});
      sockets.set(type, socket);
    }
    return socket;
  };
  return {
    read: (path) => readFile(path, 'latin1'),
    clock: Date.now,
    send: (bytes, host, port) =>
      new Promise((resolve, reject) => {
        socketOf(host).send(bytes, port, host, (error) => (error === null ? resolve() : reject(error)));
      }),
    close: () => {
      for (const socket of sockets.values()) socket.close();
    },
  };
}
