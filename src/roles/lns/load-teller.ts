/** How loaded this LNS is: measured once a second, told to designators (document 000, claim 3), and held against thresholds. */
import { createSocket, type Socket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import type { LnsConfig } from '../../config/lns.js';
import { UNKNOWN_MEMBER } from '../../wire/cluster-member.js';
import { buildLoadStatus, type LoadReport, NOTHING_KNOWN } from '../../wire/load-status.js';
import { readCpuTicks, readMemoryShare } from '../agent/readings.js';
import type { BusTeller } from '../cluster/bus-teller.js';
import { keyOf } from '../secret.js';
import type { Traffic } from './traffic.js';

export interface LoadSource {
  tunnels(): number;
  sessions(): number;
  traffic(): Traffic;
}

const BITS = 8;

/** Processor and memory of the machine, as shares; 0 until there are two readings. */
export class MachineLoad {
  cpu = 0;
  memory = 0;
  #ticks: readonly [number, number] | null = null;

  measure(): void {
    const ticks = readCpuTicks(read('/proc/stat'));
    const last = this.#ticks;
    if (ticks !== null && last !== null && ticks[1] > last[1])
      this.cpu = Math.min(1, Math.max(0, (ticks[0] - last[0]) / (ticks[1] - last[1])));
    this.#ticks = ticks;
    this.memory = readMemoryShare(read('/proc/meminfo')) ?? this.memory;
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

/** Why no new tunnels and calls are taken; null: they are. */
export function overloadOf(
  { refuseAbove }: Pick<LnsConfig, 'refuseAbove'>,
  load: Pick<MachineLoad, 'cpu' | 'memory'>,
  sessions: number,
): string | null {
  if (refuseAbove.sessions !== null && sessions >= refuseAbove.sessions) return 'too many sessions';
  if (refuseAbove.cpu !== null && load.cpu > refuseAbove.cpu) return 'processor busy';
  if (refuseAbove.memory !== null && load.memory > refuseAbove.memory) return 'memory short';
  return null;
}

/** Load status messages, one for each name and designator. */
export class LoadTeller {
  readonly #config: NonNullable<LnsConfig['loadStatus']>;
  readonly #limits: { readonly tunnels: number; readonly sessions: number };
  readonly #source: LoadSource;
  readonly #load: MachineLoad;
  readonly #key: Uint8Array;
  readonly #clock: () => number;
  readonly #sockets = new Map<string, Socket>();
  readonly #timer: NodeJS.Timeout;
  #last: { atMs: number; traffic: Traffic } | null = null;
  #sequence: number;
  sent = 0;

  /** `accepting`: new tunnels are taken. `clock`: Unix milliseconds. Errors: TD_CONFIG the secret cannot be read. */
  constructor(
    config: LnsConfig,
    source: LoadSource,
    load: MachineLoad,
    readonly accepting: () => boolean,
    clock: () => number,
    /** The bus of a cluster; null: there is none. */
    readonly bus: BusTeller | null = null,
  ) {
    if (config.loadStatus === null) throw new TypeError('there is nobody to tell');
    this.#config = config.loadStatus;
    this.#limits = { tunnels: config.tunnels.limit, sessions: config.sessions.limit };
    this.#source = source;
    this.#load = load;
    this.#clock = clock;
    this.#key = keyOf(config.loadStatus.secret);
    // It must grow over restarts too.
    this.#sequence = clock();
    this.#timer = setInterval(() => void this.tell(), this.#config.everySeconds * 1000);
    void this.tell();
  }

  /** Resolves when all are on their way. */
  async tell(accepting = this.accepting()): Promise<void> {
    const report = this.#report(accepting);
    const { tunnels, sessions } = report;
    this.bus?.describe({ ...UNKNOWN_MEMBER, role: 'lns', state: accepting ? 'ready' : 'unable', tunnels, sessions });
    const sends: Promise<void>[] = [];
    for (const server of this.#config.servers) {
      this.#sequence = Math.max(this.#sequence + 1, this.#clock());
      const status = { ...report, server, sequence: this.#sequence, timeMs: this.#clock() };
      const bytes = buildLoadStatus(status, this.#key);
      this.bus?.tell(bytes);
      for (const { host, port } of this.#config.designators) {
        sends.push(new Promise((done) => this.#socket(host).send(bytes, port, host, () => done())));
        this.sent++;
      }
    }
    await Promise.all(sends);
  }

  #report(accepting: boolean): LoadReport {
    const now = this.#clock();
    const traffic = this.#source.traffic();
    const last = this.#last;
    this.#last = { atMs: now, traffic };
    const seconds = last === null ? 0 : (now - last.atMs) / 1000;
    const rate = (key: keyof Traffic): number | null =>
      last === null || seconds <= 0 ? null : Math.max(0, traffic[key] - last.traffic[key]) / seconds;
    const bits = (bytes: number | null): number | null => (bytes === null ? null : bytes * BITS);
    return {
      ...NOTHING_KNOWN,
      accepting,
      tunnels: this.#source.tunnels(),
      sessions: this.#source.sessions(),
      tunnelLimit: this.#limits.tunnels,
      sessionLimit: this.#limits.sessions,
      cpu: this.#load.cpu,
      memory: this.#load.memory,
      packetsIn: rate('packetsIn'),
      packetsOut: rate('packetsOut'),
      bitsIn: bits(rate('bytesIn')),
      bitsOut: bits(rate('bytesOut')),
    };
  }

  #socket(host: string): Socket {
    const type = host.includes(':') ? 'udp6' : 'udp4';
    let socket = this.#sockets.get(type);
    if (socket === undefined) {
      socket = createSocket(type);
      // ICMP errors of earlier messages: the next message is the next attempt.
      socket.on('error', () => {});
      socket.unref();
      this.#sockets.set(type, socket);
    }
    return socket;
  }

  /** Says once more that nothing is taken, and ends. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.tell(false);
    const sockets = [...this.#sockets.values()];
    await Promise.all(sockets.map((socket) => new Promise<void>((done) => socket.close(() => done()))));
  }
}
