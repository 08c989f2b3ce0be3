/**
 * What the claims of document 004 have in common, each as something that can be watched on a segment: hosts that ask,
 * a master that answers with a virtual MAC, gateways that fail.
 */
import { expect } from 'vitest';
import { type Mac, readMac } from '../../src/gateway/mac.js';
import type { GroupOptions } from '../../src/gateway/types.js';
import type { AddressWords } from '../../src/wire/address.js';
import { GatewayFarm, type GatewayStation, SHARED, type SeenReply, watchReplies } from './gateway-farm.js';
import type { AskKind, ModelHost } from './gateway-host.js';
import { readNeighbour, sameAddress } from './gateway-neighbours.js';

/** Longer than it takes a group to elect, with default timers. */
export const SETTLE = 3;
/** Within it a failure must be noticed and made good, with default timers. */
export const TAKE_OVER = 0.3;
/** Of one answer: two links and nothing else. */
const ANSWER = 0.005;

/** Gateways 1…n, n has the highest priority and is elected; silent hosts, that ask when the test says so. */
export class ClaimScene {
  readonly farm: GatewayFarm;
  readonly replies: SeenReply[];

  constructor(group: Partial<GroupOptions> = {}, hosts = 6, gateways = 3) {
    this.farm = new GatewayFarm({
      gateways,
      hosts,
      group: { algorithm: 'round-robin', ...group },
      each: (number) => ({ priority: 100 + number }),
      host: { busy: false },
    });
    this.farm.run(SETTLE);
    this.replies = watchReplies(this.farm);
  }

  get master(): GatewayStation {
    return this.farm.master;
  }

  get slaves(): GatewayStation[] {
    return this.farm.living.filter((gateway) => !gateway.isMaster);
  }

  get hosts(): ModelHost[] {
    return this.farm.hosts;
  }

  /** The host asks and is answered once, by the master; the MAC that it is told. */
  asks(host: ModelHost, kind: AskKind = 'broadcast'): Mac {
    const before = this.replies.length;
    if (kind !== 'probe' && host.gatewayMac === null) host.use(this.farm.now);
    else host.ask(kind);
    const { last } = host;
    this.farm.run(ANSWER);
    expect(last.replies, `replies to a ${kind} request`).toBe(1);
    const seen = this.replies.slice(before).filter(({ to }) => to === host.mac);
    expect(seen).toHaveLength(1);
    expect(seen[0].from).toBe(this.master.port);
    return last.mac as Mac;
  }

  /** Every host asks, one after the other. */
  allAsk(): Mac[] {
    return this.hosts.map((host) => this.asks(host));
  }

  /** The member whose virtual MAC it is, by the host tables of all living members, which agree. */
  assigned(host: ModelHost): number {
    const rows = this.farm.living.map(({ engine }) =>
      engine.hosts(this.farm.now, { mac: host.mac }).map(({ forwarder }) => forwarder),
    );
    expect(new Set(rows.map(String)).size, 'tables that differ').toBe(1);
    return rows[0][0] ?? 0;
  }

  /** The one gateway that would forward a packet of the host. */
  addressee(host: ModelHost): GatewayStation {
    const servers = this.farm.serversOf(host);
    expect(servers.map(({ number }) => number)).toHaveLength(1);
    return servers[0];
  }
}

/** Whether members other than the master would answer or choose: each kind of request, looked at from every port. */
export function onlyTheMasterAnswers(scene: ClaimScene): void {
  const kinds: readonly AskKind[] = ['broadcast', 'unicast', 'probe', 'broadcast'];
  for (const host of scene.hosts) {
    for (const kind of kinds) {
      if (kind === 'unicast' && host.gatewayMac === null) scene.asks(host);
      const mac = scene.asks(host, kind);
      expect(scene.farm.gateways.map((gateway) => gateway.vmac())).toContain(mac);
    }
  }
}

/** A gateway that is not the master is asked by unicast at its own virtual MAC: the master answers it. */
export function unicastAtASlave(scene: ClaimScene): void {
  scene.allAsk();
  const there = scene.hosts.filter((host) => scene.addressee(host) !== scene.master);
  expect(there.length).toBeGreaterThan(0);
  for (const host of there) expect(scene.asks(host, 'unicast')).toBe(host.gatewayMac);
}

/** The machine dies; every host of its virtual MAC has a living gateway within the time, with nothing told to it. */
export function failsAndIsReplaced(
  scene: ClaimScene,
  failed: GatewayStation,
): { hosts: ModelHost[]; by: GatewayStation } {
  const { farm } = scene;
  const hosts = scene.hosts.filter((host) => host.gatewayMac === failed.vmac());
  expect(hosts.length, 'hosts of the gateway that fails').toBeGreaterThan(0);
  failed.die();
  const replaced = (): boolean => {
    const server = farm.living.find(({ held }) => held.get(failed.vmac())?.serve === true);
    return server !== undefined && hosts.every((host) => farm.serversOf(host)[0] === server);
  };
  expect(replaced()).toBe(false);
  const took = farm.segment.runUntil(replaced, 1);
  expect(took).toBeLessThanOrEqual(TAKE_OVER);
  for (const host of hosts) expect(host).toMatchObject({ gatewayMac: failed.vmac(), moves: 0 });
  const [by] = farm.serversOf(hosts[0]);
  for (const host of hosts) expect(farm.serversOf(host)).toEqual([by]);
  return { hosts, by };
}

/** The failed gateway's hosts are told another gateway's MAC by unicast, none of them asking; all of them then go elsewhere. */
export function isRedistributed(scene: ClaimScene, failed: GatewayStation, how: 'time' | 'command'): void {
  const { farm } = scene;
  const hosts = scene.hosts.filter((host) => host.gatewayMac === failed.vmac());
  expect(hosts.length).toBeGreaterThan(1);
  const asked = hosts.map((host) => host.asked.length);
  const toldBy = watchTells(farm);
  if (how === 'command') scene.master.turn((engine, now) => engine.declareDead(failed.number, now));
  const took = farm.segment.runUntil(() => hosts.every(({ gatewayMac }) => gatewayMac !== failed.vmac()), 60);
  expect(took, 'until no host is left').toBeLessThan(how === 'command' ? 1 : 60);
  farm.run(1);
  expect(hosts.map((host) => host.asked.length)).toEqual(asked);
  const living = farm.living.map((gateway) => gateway.vmac());
  for (const host of hosts) {
    expect(living).toContain(host.gatewayMac);
    // Told from the port of the gateway that it goes to from now on, which may be the master's.
    const told = toldBy.filter(({ to }) => to === host.mac);
    expect(told.map(({ mac }) => mac)).toContain(host.gatewayMac);
    expect(told.every(({ from }) => farm.living.some(({ port }) => port === from))).toBe(true);
  }
  expect(new Set(hosts.map(({ gatewayMac }) => gatewayMac)).size, 'gateways that share the hosts').toBeGreaterThan(1);
  expect(farm.tables()).toBe(1);
}

/** Unicast frames that tell a host where the shared address is, whether it asked or not. */
export function watchTells(farm: GatewayFarm, address: AddressWords = SHARED): SeenReply[] {
  const seen: SeenReply[] = [];
  const { segment } = farm;
  const earlier = segment.onFrame;
  segment.onFrame = (frame, from, at) => {
    earlier?.(frame, from, at);
    const heard = readNeighbour(frame);
    if (heard === null || !sameAddress(heard.address, address) || (frame[0] & 1) !== 0) return;
    seen.push({ at, from, to: readMac(frame), mac: heard.mac, source: readMac(frame, 6) });
  };
  return seen;
}
