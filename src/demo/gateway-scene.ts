/** Three gateways of a LAN behind one address, and hosts that know nothing of it: who serves whom, and the death of one. */
import { GatewayLan, type Pings } from './lab/gateway-lan.js';
import { GatewayMembers } from './lab/gateway-members.js';
import type { Lab } from './lab/lab.js';

const GATEWAYS = 3;
const HOSTS = 6;
const PING_MS = 20;
/** From the death on, at least; the detection takes a quarter of it. */
const SETTLE_MS = 1000;
const PATIENCE_MS = 5000;

export interface Death {
  /** Hosts that lost answers. */
  readonly hosts: number;
  /** From the death to the first answer of the last of them. */
  readonly ms: number;
  /** Every host has answers again. */
  readonly recovered: boolean;
}

export class GatewayScene {
  private constructor(
    readonly lan: GatewayLan,
    readonly members: GatewayMembers,
    private readonly pings: Pings,
  ) {}

  /** `self`: the words that start the program. Resolves when every host pings the target through a gateway. */
  static async start(lab: Lab, self: readonly [string, string]): Promise<GatewayScene> {
    const lan = await GatewayLan.open(lab, { gateways: GATEWAYS, hosts: HOSTS, prefix: 'gl' });
    const members = await GatewayMembers.start(lan, { self });
    const pings = await lan.ping(PING_MS);
    await pings.flowing();
    return new GatewayScene(lan, members, pings);
  }

  /** How many hosts have each gateway's virtual MAC for the shared address, as their own ARP tables say. */
  shares(): Promise<number[]> {
    return this.members.shares();
  }

  /** `designator show gateways` of a living gateway. */
  table(): Promise<string> {
    return this.members.member(this.members.living[0]).command('show', 'gateways');
  }

  /** A gateway's machine dies, while all hosts ping. */
  async kill(number: number): Promise<Death> {
    const event = await this.lan.die(this.lan.gateway(number));
    const outages = await this.pings.outagesOnceSettled(event, SETTLE_MS, PATIENCE_MS);
    const hit = outages.filter((outage) => outage === null || outage.recovered !== 0);
    const times = hit.map((outage) => outage?.recovered ?? null);
    return {
      hosts: hit.length,
      ms: Math.round(Math.max(0, ...times.map((time) => time ?? PATIENCE_MS / 1000)) * 1000),
      recovered: times.every((time) => time !== null),
    };
  }

  async stop(): Promise<void> {
    await this.pings.stop();
    await this.members.stop();
  }
}
