/**
 * Document 003's example as a network: clients at 192.128.10.5 …, the virtual address 200.200.100.1, servers 10.10.1.1 and
 * 10.10.1.2 with weights 1 and 2. No interface has the virtual address; clients reach it by a route through the designator.
 * The designator's host also forwards (ip_forward=1), so that anything it did besides the product would be seen.
 */
import type { Bridge, Lab } from './lab.js';
import type { Namespace } from './namespace.js';

export const VIP = '200.200.100.1';
export const CLIENT = '192.128.10.5';
export const WAN_GATEWAY = '192.128.10.1';
export const LAN_GATEWAY = '10.10.1.254';
export const SERVERS = ['10.10.1.1', '10.10.1.2'] as const;

export interface Topology {
  readonly lab: Lab;
  readonly wan: Bridge;
  readonly lan: Bridge;
  readonly designator: Namespace;
  readonly client: Namespace;
  /** In the order of SERVERS. */
  readonly servers: readonly Namespace[];
}

export async function buildTopology(lab: Lab): Promise<Topology> {
  const [wan, lan, designator] = [await lab.bridge('wan'), await lab.bridge('lan'), await lab.namespace('gw')];
  await lab.plug(wan, designator, 'wan0', [`${WAN_GATEWAY}/24`, '2001:db8:10::1/64'], { checksums: false });
  await lab.plug(lan, designator, 'lan0', [`${LAN_GATEWAY}/24`, '2001:db8:1::fe/64'], { checksums: false });
  await designator.sysctl('net.ipv4.ip_forward', 1);
  await designator.sysctl('net.ipv6.conf.all.forwarding', 1);
  const client = await addClient(lab, wan, 'client', CLIENT);
  const servers: Namespace[] = [];
  for (const [index, address] of SERVERS.entries()) servers.push(await addServer(lab, lan, `lns${index + 1}`, address));
  return { lab, wan, lan, designator, client, servers };
}

/** IPv6 addresses end like the IPv4 ones: 192.128.10.5 is also 2001:db8:10::5. */
export async function addClient(lab: Lab, wan: Bridge, short: string, address: string): Promise<Namespace> {
  const client = await lab.namespace(short);
  await lab.plug(wan, client, 'eth0', [`${address}/24`, `2001:db8:10::${lastPart(address)}/64`]);
  await client.ip(`route add default via ${WAN_GATEWAY}`, 'route add default via 2001:db8:10::1');
  return client;
}

export async function addServer(lab: Lab, lan: Bridge, short: string, address: string): Promise<Namespace> {
  const server = await lab.namespace(short);
  await lab.plug(lan, server, 'eth0', [`${address}/24`, `2001:db8:1::${lastPart(address)}/64`]);
  await server.ip(`route add default via ${LAN_GATEWAY}`, 'route add default via 2001:db8:1::fe');
  return server;
}

const lastPart = (address: string): string => address.slice(address.lastIndexOf('.') + 1);

export interface ExampleOptions {
  readonly weights?: readonly number[];
  /** More keys of the one VIP, over those of the example. */
  readonly vip?: Readonly<Record<string, unknown>>;
  /** More keys of the file. */
  readonly more?: Readonly<Record<string, unknown>>;
}

/** The configuration of the example. */
export function exampleConfig({ weights = [1, 2], vip = {}, more = {} }: ExampleOptions = {}): Record<string, unknown> {
  const servers = SERVERS.map((address, index) => ({ name: `lns${index + 1}`, address, weight: weights[index] }));
  return {
    interfaces: { outside: 'wan0', inside: 'lan0' },
    workers: 2,
    vips: [{ name: 'access', address: VIP, protocols: ['l2tp'], algorithm: 'weighted-round-robin', servers, ...vip }],
    ...more,
  };
}
