/** An endpoint as a member of a cluster: it puts its load status messages on the bus, and hears nothing but who is there. */
import { hostname } from 'node:os';
import type { ClusterBus } from '../../cluster/bus.js';
import type { ClusterMemberConfig } from '../../config/cluster.js';
import type { Logger } from '../../ops/log.js';
import { emitMemberText, type MemberText, UNKNOWN_MEMBER } from '../../wire/cluster-member.js';
import { emitNotice } from '../../wire/cluster-notice.js';
import { openBus } from './open-bus.js';

const LEAVE_MS = 1000;

export class BusTeller {
  /** Messages that the bus was given. Those that it could not send it counts itself. */
  told = 0;
  readonly #config: ClusterMemberConfig;
  readonly #bus: ClusterBus;
  #text = '';

  private constructor(config: ClusterMemberConfig, bus: ClusterBus) {
    this.#config = config;
    this.#bus = bus;
  }

  /** Waits for nobody. Errors: see `openBus`. */
  static async open(
    config: ClusterMemberConfig,
    about: Pick<MemberText, 'role' | 'version'>,
    logger: Logger,
  ): Promise<BusTeller> {
    const { bus } = await openBus(config);
    bus.onState((state) => {
      if (state.state === 'up') logger.info({}, 'the cluster’s bus is up');
      else logger.warn({ reason: state.reason }, 'the cluster’s bus is degraded');
    });
    logger.info({ cluster: config.name, number: config.number, driver: bus.driver }, 'member of a cluster');
    const teller = new BusTeller(config, bus);
    teller.describe({ ...UNKNOWN_MEMBER, ...about, state: 'ready' });
    return teller;
  }

  /** What others see of it. */
  describe(member: Omit<MemberText, 'name'>): void {
    const bytes = emitMemberText({ ...member, name: this.#config.member ?? hostname() });
    const text = Buffer.from(bytes).toString('latin1');
    if (text === this.#text) return;
    this.#text = text;
    this.#bus.tell(bytes);
  }

  /** A load status message, sealed. */
  tell(message: Uint8Array): void {
    this.#bus.publish('notice', emitNotice('load-status', message));
    this.told++;
  }

  /** Says that it leaves. */
  async close(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, LEAVE_MS);
    });
    await Promise.race([this.#bus.close(), late]);
    clearTimeout(timer);
  }
}
