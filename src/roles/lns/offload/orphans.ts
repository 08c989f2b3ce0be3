/**
 * What becomes of a dead peer's tunnels. LACs that can move them bring them along by themselves; the others are taken
 * unchanged, with the help of the designators in front of both LNSs or by taking the peer's addresses.
 */
import type { Logger } from '../../../ops/log.js';
import type { CompiledOffload } from '../../../config/lns-offload.js';
import type { OffloadPair } from '../../../protocol/offload/pair.js';
import type { OffloadStore } from '../../../protocol/offload/store.js';
import type { AddressWords } from '../../../wire/address.js';
import { formatWords } from '../../../wire/address.js';
import type { NetworkTakeOver } from '../../take-over/network-take-over.js';
import type { OffloadHost } from '../offload-face.js';
import type { Adoption } from './adoption.js';
import { readTunnel } from './snapshots.js';

/** Sessions that one turn restores at most, so that nothing else waits long. */
const SESSIONS_PER_TURN = 1000;
const L2TP_PORT = 1701;

interface Orphans {
  readonly store: OffloadStore;
  readonly since: number;
  foreignTaken: boolean;
  allTaken: boolean;
}

export class OrphanCare {
  #orphans: Orphans | null = null;
  #queue: number[] = [];
  /** Taken since the network was last told. */
  #untold: number[] = [];
  /** Tunnels whose former LNS lives and tells the designators itself. */
  readonly #givenTo = new Set<number>();
  readonly #sockets = new Map<string, number>();
  #addressesTaken = false;
  #generation = 0;

  constructor(
    private readonly host: OffloadHost,
    private readonly pair: OffloadPair,
    private readonly adoption: Adoption,
    private readonly net: NetworkTakeOver | null,
    private readonly settings: CompiledOffload,
    private readonly logger: Logger,
  ) {}

  /** The peer is dead, or another process is in its place. */
  begin(store: OffloadStore, now: number): void {
    this.#orphans = { store, since: now, foreignTaken: false, allTaken: false };
    this.logger.warn({ tunnels: store.tunnels.size, sessions: store.sessionCount }, 'the peer LNS is gone');
  }

  /** The peer is the same process as before: it was only out of reach. */
  end(store: OffloadStore): void {
    if (this.#orphans?.store === store) this.#orphans = null;
  }

  run(now: number): void {
    const orphans = this.#orphans;
    if (orphans !== null) this.#look(orphans, now);
    if (this.#queue.length > 0) this.#take(now);
  }

  #look(orphans: Orphans, now: number): void {
    const { settings, net } = this;
    const age = now - orphans.since;
    if (settings.takeForeign && net !== null && (!orphans.foreignTaken || !orphans.allTaken)) {
      const all = age >= settings.waitForLac;
      if (all || !orphans.foreignTaken) this.#enlist(orphans.store, all);
      orphans.foreignTaken = true;
      orphans.allTaken = all;
    }
    if (age < settings.keep) return;
    this.#orphans = null;
    if (orphans.store.tunnels.size > 0)
      this.logger.warn({ tunnels: orphans.store.tunnels.size }, 'nobody has come for these tunnels of the peer');
    orphans.store.clear();
    if (this.pair.former === orphans.store) this.pair.former = null;
  }

  #enlist(store: OffloadStore, all: boolean): void {
    for (const stored of store.tunnels.values()) {
      const read = readTunnel(stored);
      if (typeof read === 'string' || all || !read.cooperating) this.#queue.push(stored.lnsTunnel);
    }
  }

  /** Tunnels that a living peer has asked us to take. */
  enlist(tunnels: readonly number[]): void {
    for (const id of tunnels) this.#givenTo.add(id);
    this.#queue.push(...tunnels);
  }

  #take(now: number): void {
    let budget = SESSIONS_PER_TURN;
    while (this.#queue.length > 0 && budget > 0) {
      const id = this.#queue.shift() as number;
      const stored = this.pair.store.tunnels.get(id) ?? this.pair.former?.tunnels.get(id);
      if (stored === undefined) continue;
      budget -= 1 + stored.sessions.size;
      if (this.adoption.take(id, this.#socketFor, now) === null) this.#untold.push(id);
    }
    if (this.#queue.length > 0) return this.host.wake();
    if (this.#untold.length > 0) void this.#tell(this.#untold.splice(0));
  }

  /** The socket from which a client at this address expects to hear: the first taken address of its family. */
  readonly #socketFor = (client: string): number => {
    const { net } = this;
    if (net === null || net.settings.addresses.length === 0) return 0;
    if (!this.#addressesTaken) {
      this.#addressesTaken = true;
      net.takeAddresses();
      for (const { words } of net.settings.addresses) {
        const text = formatWords(words as AddressWords);
        this.#sockets.set(text, this.host.openSocket(text, L2TP_PORT));
      }
    }
    const isIpv6 = client.includes(':');
    for (const [address, socket] of this.#sockets) if (address.includes(':') === isIpv6) return socket;
    return 0;
  };

  async #tell(tunnels: readonly number[]): Promise<void> {
    const { net, logger } = this;
    const orphaned = tunnels.filter((id) => !this.#givenTo.delete(id));
    if (net !== null && net.settings.designators.length > 0 && orphaned.length > 0) {
      const answers = await net.claimTunnels(orphaned, () => this.nextGeneration());
      const refused = answers.filter(({ result }) => result !== 'taken' && result !== 'known');
      if (answers.length > 0 && refused.length === answers.length) {
        logger.warn({ tunnels: orphaned.length, reason: refused[0].result }, 'the designators refuse the take-over');
        this.letGo(orphaned);
        if (orphaned.length === tunnels.length) return;
      }
    }
    logger.warn({ tunnels: tunnels.length }, 'tunnels of the peer are served here');
    for (const id of tunnels) this.host.endpoint.tunnels.get(id)?.sendHello();
    this.host.wake();
  }

  /** For the designators: above every one that was used before, by either LNS. */
  nextGeneration(): number {
    this.#generation = Math.max(this.#generation + 1, Math.floor(Date.now() / 1000));
    return this.#generation;
  }

  /** The other one lives, or somebody else has them: nothing of ours may be heard in these tunnels. */
  letGo(tunnels: readonly number[]): void {
    for (const id of tunnels) {
      const tunnel = this.host.endpoint.tunnels.get(id);
      if (tunnel === undefined) continue;
      for (const session of [...tunnel.sessions.values()]) this.host.forgetSession(session);
      this.adoption.ended(tunnel);
      tunnel.forget();
      this.pair.ended(id, this.host.now());
    }
    this.host.wake();
  }

  /** This LNS answers for the peer's address: whoever dials there reaches itself. */
  holds(address: string): boolean {
    return this.#sockets.has(address);
  }

  /** The addresses that were taken are the peer's again. */
  giveBackAddresses(): void {
    if (!this.#addressesTaken) return;
    this.#addressesTaken = false;
    this.#sockets.clear();
    this.net?.releaseAddresses();
  }

  get nextTime(): number {
    const orphans = this.#orphans;
    if (this.#queue.length > 0) return 0;
    if (orphans === null) return Number.POSITIVE_INFINITY;
    const waiting = this.settings.takeForeign && this.net !== null && !orphans.allTaken;
    return orphans.since + (waiting ? Math.min(this.settings.waitForLac, this.settings.keep) : this.settings.keep);
  }
}
