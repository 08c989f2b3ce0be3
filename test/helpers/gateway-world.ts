/** A segment in memory for whole gateway roles: ports that hear each other, a clock that the test's timers drive. */
import type {
  GatewayPort,
  GatewayPortOptions,
  LanFrames,
  LinkState,
  VirtualMacAction,
  VirtualMacTraffic,
} from '../../src/io/gateway-types.js';
import type { GatewayWorld } from '../../src/roles/gateway/gateway.js';
import type { AddressWords } from '../../src/wire/address.js';
import type { DesignatorError } from '../../src/errors.js';

/** Frames of one batch as the port of the host hands them out. */
function batchOf(frames: readonly Uint8Array[], now: number): LanFrames {
  return { count: frames.length, now, frame: (index) => frames[index], arrived: () => now };
}

export class FakePort implements GatewayPort {
  link: LinkState;
  readonly held = new Set<number>();
  readonly counts = new Map<number, VirtualMacTraffic>();
  readonly sent: Uint8Array[] = [];
  /** What the role did, in order: `hold 1`, `let-go 1`, `send 2`. */
  readonly log: string[] = [];
  closed = false;

  constructor(
    readonly segment: FakeSegment,
    readonly options: GatewayPortOptions,
    mac: Uint8Array,
  ) {
    this.link = { present: true, up: true, index: 2, mac, mtu: 1500 };
  }

  send(frames: readonly Uint8Array[]): number {
    if (this.closed || !this.link.up) return 0;
    this.log.push(`send ${frames.length}`);
    const copies = frames.map((frame) => frame.slice());
    this.sent.push(...copies);
    this.segment.carry(this, copies);
    return frames.length;
  }

  apply(actions: readonly VirtualMacAction[]): void {
    for (const { kind, number } of actions) {
      this.log.push(`${kind} ${number}`);
      if (kind === 'hold') this.held.add(number);
      else this.held.delete(number);
    }
  }

  traffic(): ReadonlyMap<number, VirtualMacTraffic> {
    return this.counts;
  }

  statistics() {
    return { received: 0, dropped: 0, truncated: 0, sent: this.sent.length, refused: 0 };
  }

  async setAddresses(): Promise<void> {}

  async close(): Promise<void> {
    this.closed = true;
    this.held.clear();
    this.segment.ports.delete(this);
  }

  setUp(up: boolean): void {
    this.link = { ...this.link, up };
    this.options.onLink(this.link);
  }

  /** A frame that some station of the segment sends. */
  hear(frame: Uint8Array): void {
    this.options.onFrames(batchOf([frame], this.segment.now()));
  }
}

/** Everything that a port sends is heard by all others a moment later. */
export class FakeSegment {
  readonly ports = new Set<FakePort>();
  /** Of the next port that is opened. */
  refuse: DesignatorError | null = null;
  #opened = 0;

  /** Seconds: of the timers that the test has faked. */
  now(): number {
    return Date.now() / 1000;
  }

  open(options: GatewayPortOptions): FakePort {
    if (this.refuse !== null) {
      const error = this.refuse;
      this.refuse = null;
      throw error;
    }
    const port = new FakePort(this, options, Uint8Array.of(2, 0, 0, 0, 1, ++this.#opened));
    this.ports.add(port);
    return port;
  }

  carry(from: FakePort, frames: readonly Uint8Array[]): void {
    for (const port of this.ports) {
      if (port === from || port.options.device !== from.options.device) continue;
      setTimeout(() => {
        if (!port.closed && port.link.up) port.options.onFrames(batchOf(frames, this.now()));
      }, 0);
    }
  }
}

export class FakeHost implements GatewayWorld {
  readonly up = new Set<string>(['eth1']);
  readonly ports: FakePort[] = [];
  share = 0;
  closed = false;
  seed = 1;

  constructor(
    readonly segment: FakeSegment,
    readonly address: AddressWords,
    readonly onChange: () => void,
  ) {}

  async openPort(options: GatewayPortOptions): Promise<GatewayPort> {
    const port = this.segment.open(options);
    this.ports.push(port);
    return port;
  }
  /** The port that was opened last. */
  get port(): FakePort {
    return this.ports[this.ports.length - 1];
  }
  problems() {
    return [];
  }
  async addressesOf(): Promise<readonly AddressWords[]> {
    return [this.address];
  }
  now(): number {
    return this.segment.now();
  }
  random(length: number): Uint8Array {
    // Different at each host, the same in each run.
    return Uint8Array.from({ length }, () => {
      this.seed = (this.seed * 48_271 + this.address[3]) % 2_147_483_647;
      return this.seed & 0xff;
    });
  }
  processor(): number {
    return this.share;
  }
  keyOf(): Uint8Array {
    return new TextEncoder().encode('sixteen letters!');
  }
  interfaceUp(device: string): boolean {
    return this.up.has(device);
  }
  async routesTo(prefixes: readonly object[]): Promise<boolean[]> {
    return prefixes.map(() => true);
  }
  async run(): Promise<string | null> {
    return null;
  }
  load(): number {
    return this.share;
  }
  after(seconds: number, act: () => void): () => void {
    const timer = setTimeout(act, seconds * 1000);
    return () => clearTimeout(timer);
  }
  measure(): void {}
  hurry(): boolean {
    return true;
  }
  close(): void {
    this.closed = true;
  }
}
