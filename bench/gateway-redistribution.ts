/** How long it takes to give all hosts of a dead gateway to the living ones: each is told, by unicast ARP. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Capture } from '#designator/demo/lab/capture.js';
import { GatewayLan, unixSeconds } from '#designator/demo/lab/gateway-lan.js';
import { GatewayMembers, virtualMac } from '#designator/demo/lab/gateway-members.js';
import { Lab } from '#designator/demo/lab/lab.js';
import { waitFor } from '#designator/demo/lab/wait.js';
import { readPcap } from '#designator/wire/pcap.js';
import type { GatewayBenchOptions } from './gateway.js';

export interface RedistributionRow {
  readonly benchmark: 'gateway-redistribution';
  readonly gateways: number;
  readonly hosts: number;
  /** Hosts of the dead gateway. */
  readonly moved: number;
  /** From the command to the last packet that a host sent to the dead gateway's virtual MAC. */
  readonly ms: number;
  /** The longest that a host was without answers meanwhile. */
  readonly gapMs: number;
  /** Share of the hosts' packets that each gateway carries afterwards, in percent. */
  readonly shares: readonly number[];
  readonly barMs: number;
}

/** Slow pings: hundreds of processes that ping share two processors with what is measured. */
const PING_MS = 50;
const SHARE_MS = 1000;
const BAR_MS = 1000;
const PATIENCE_MS = 60_000;

export async function redistribution(hosts: number, options: GatewayBenchOptions): Promise<RedistributionRow> {
  const { gateways = 3, self, progress = () => {} } = options;
  const lab = await Lab.open({ pid: options.pid, env: options.env });
  try {
    const lan = await GatewayLan.open(lab, { gateways, hosts });
    // All hosts are to be those of the gateway that dies: the others have no weight until it has them all.
    const members = await GatewayMembers.start(lan, {
      self,
      each: (number) => ({ weight: number === gateways ? 100 : 0, permanentAfter: 'never' }),
    });
    const pings = await lan.ping(PING_MS);
    await pings.flowing(undefined, PATIENCE_MS);
    const dead = virtualMac(gateways);
    const moved = (await lan.neighbours()).filter((neighbour) => neighbour?.mac === dead).length;
    await lan.die(lan.gateway(gateways));
    const master = await members.settled();
    for (const number of members.living) {
      const member = members.member(number);
      member.write(members.config(lan.gateway(number), { weight: 100 }));
      await member.command('reload');
    }
    const file = join(lab.folder, 'to-the-dead.pcap');
    const capture = await Capture.start(lan.lan.namespace, 'br0', file, `ether dst ${dead} and icmp`);
    const began = unixSeconds();
    await members.member(master).control('POST', '/v1/command/redistribute', { gateway: gateways });
    await waitFor(
      'no host to send to the dead gateway',
      async () => (await lan.neighbours()).every((neighbour) => neighbour?.mac !== dead),
      PATIENCE_MS,
    );
    await capture.stop();
    const gaps = pings.outages(began).map((outage) => outage?.gap ?? Number.POSITIVE_INFINITY);
    const shares = await measureShares(lan);
    await pings.stop();
    const took = ms(Math.max(0, lastStamp(file) - began));
    progress(`${moved} hosts of a dead gateway are given away in ${took} ms`);
    return {
      benchmark: 'gateway-redistribution',
      gateways,
      hosts,
      moved,
      ms: took,
      gapMs: ms(Math.max(...gaps)),
      shares,
      barMs: BAR_MS,
    };
  } finally {
    await lab.close();
  }
}

/** Unix seconds of a capture's last frame; 0 when it has none. */
function lastStamp(file: string): number {
  return readPcap(readFileSync(file)).at(-1)?.seconds ?? 0;
}

/** In percent, of packets that the gateways send upstream. */
export async function measureShares(lan: GatewayLan): Promise<number[]> {
  const before = await lan.forwarded();
  await sleep(SHARE_MS);
  const sent = (await lan.forwarded()).map((count, index) => count - before[index]);
  const total = sent.reduce((sum, count) => sum + count, 0);
  return sent.map((count) => Math.round((count / Math.max(1, total)) * 1000) / 10);
}

export const ms = (seconds: number): number => Math.round(seconds * 10_000) / 10;
