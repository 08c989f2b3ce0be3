/**
 * Tagged wires whose far ends are written by hand, as frames with tags, because no kernel there need know VLANs: the product
 * between a client and a server, with a tunnel that stands.
 */
import { execFileSync, spawn } from 'node:child_process';
import type { LabAppliance } from '../../src/demo/lab/appliance.js';
import type { Lab } from '../../src/demo/lab/lab.js';
import type { Namespace } from '../../src/demo/lab/namespace.js';
import { CLIENT, exampleConfig, SERVERS, VIP } from '../../src/demo/lab/topology.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { Watch } from './host-lab.js';
import { startAppliance } from './lab.js';
import { concat, type FrameOptions, frame, hex, l2tpData, scccn, sccrp, sccrq } from './packet-builder.js';

export const OWN_MAC = '02:00:00:00:0a:01';
export const CLIENT_MAC = '02:00:00:00:0c:05';
export const SERVER_MAC = '02:00:00:00:05:01';
const CLIENT_TUNNEL = 7;
const SERVER_TUNNEL = 9;
const SESSION = 1;

/** The far end of a wire, as bytes. VLAN 0: frames without a tag. */
export class Tagged {
  private constructor(
    readonly namespace: Namespace,
    readonly device: string,
    readonly watch: Watch,
  ) {}

  static async open(namespace: Namespace, device: string): Promise<Tagged> {
    const words = ['netns', 'exec', namespace.name, 'tcpdump', '-i', device, '-Q', 'in', '-U', '--immediate-mode'];
    const watch = new Watch(spawn('ip', [...words, '-w', '-'], { stdio: ['ignore', 'pipe', 'pipe'] }));
    await watch.begun;
    return new Tagged(namespace, device, watch);
  }

  send(vlan: number, untagged: Uint8Array): void {
    const tagged =
      vlan === 0
        ? untagged
        : concat(untagged.subarray(0, 12), [0x81, 0, vlan >> 8, vlan & 0xff], untagged.subarray(12));
    const words = ['netns', 'exec', this.namespace.name, 'socat', '-u', 'STDIN', `INTERFACE:${this.device}`];
    execFileSync('ip', words, { input: tagged });
  }

  /** The first frame of that VLAN that meets the test, without its tag. */
  async until(vlan: number, is: (untagged: Uint8Array) => boolean): Promise<Uint8Array> {
    const found = await this.watch.until((one) => isOf(vlan, one) && is(bare(vlan, one)));
    return bare(vlan, found);
  }

  /** All that came in that VLAN and meet the test, without their tags. */
  all(vlan: number, is: (untagged: Uint8Array) => boolean): Uint8Array[] {
    return this.watch.frames
      .filter((one) => isOf(vlan, one))
      .map((one) => bare(vlan, one))
      .filter(is);
  }
}

const isOf = (vlan: number, one: Uint8Array): boolean =>
  vlan === 0 ? one[12] !== 0x81 : one.length > 18 && one[12] === 0x81 && (((one[14] & 0xf) << 8) | one[15]) === vlan;
const bare = (vlan: number, one: Uint8Array): Uint8Array =>
  vlan === 0 ? one : concat(one.subarray(0, 12), one.subarray(16));
export const asksFor =
  (address: string) =>
  (one: Uint8Array): boolean =>
    one[12] === 0x08 && one[13] === 0x06 && one[21] === 1 && one.subarray(38, 42).join('.') === address;
export const udpTo =
  (source: string, destination: string) =>
  (one: Uint8Array): boolean =>
    one[12] === 0x08 &&
    one[13] === 0x00 &&
    one[23] === 17 &&
    one.subarray(26, 30).join('.') === source &&
    one.subarray(30, 34).join('.') === destination;
export const macs = (one: Uint8Array): string => `${hex(one.subarray(6, 12))} > ${hex(one.subarray(0, 6))}`;
export const plain = (mac: string): string => mac.replaceAll(':', '');
export const fromClient = (payload: FrameOptions['payload']): Uint8Array =>
  frame({
    eth: { src: CLIENT_MAC, dst: OWN_MAC },
    ip: { src: CLIENT, dst: VIP },
    udp: { src: 4000, dst: 1701 },
    payload,
  });
export const fromServer = (payload: FrameOptions['payload']): Uint8Array =>
  frame({
    eth: { src: SERVER_MAC, dst: OWN_MAC },
    ip: { src: SERVERS[0], dst: CLIENT },
    udp: { src: 1701, dst: 4000 },
    payload,
  });

export interface TaggedOptions {
  /** `wan0.100`, `lan0` … */
  readonly outside: string;
  readonly inside: string;
  readonly config?: Readonly<Record<string, unknown>>;
  /** The far ends poll. Default false. */
  readonly gro?: boolean;
}

/** The product on wires with tags, one tunnel and its two ends. */
export class TaggedPath {
  private constructor(
    readonly designator: Namespace,
    readonly appliance: LabAppliance,
    readonly clients: Tagged,
    readonly servers: Tagged,
    readonly vlans: readonly [number, number],
  ) {}

  /** Sets the tunnel up; throws when a frame on the way has not the MACs that it must have. */
  static async open(lab: Lab, { outside, inside, config = {}, gro = false }: TaggedOptions): Promise<TaggedPath> {
    const [[outDevice, outVlan], [inDevice, inVlan]] = [parts(outside), parts(inside)];
    const [designator, far] = [await lab.namespace('gw'), await lab.namespace('far')];
    const wires = new Map<string, Tagged>();
    for (const device of new Set([outDevice, inDevice])) {
      await designator.ip(`link add ${device} address ${OWN_MAC} type veth peer name ${device} netns ${far.name}`);
      await far.ip(`link set ${device} arp off up`);
      if (gro) await far.run('ethtool', ['-K', device, 'gro', 'on']);
      await designator.ip(`link set ${device} up`);
      wires.set(device, await Tagged.open(far, device));
    }
    await designator.ip(`addr add 192.128.10.1/24 dev ${outDevice}`, `addr add 10.10.1.254/24 dev ${inDevice}`);
    const [clients, servers] = [wires.get(outDevice) as Tagged, wires.get(inDevice) as Tagged];
    const starting = startAppliance(lab, designator, {
      ...exampleConfig({ vip: { servers: [{ name: 'lns1', address: SERVERS[0] }] } }),
      interfaces: { outside, inside },
      ...config,
    });
    starting.catch(() => {}); // awaited below
    const question = await servers.until(inVlan, asksFor(SERVERS[0]));
    check(hex(question.subarray(6, 12)), plain(OWN_MAC));
    const answer = frame({ eth: { src: SERVER_MAC, dst: OWN_MAC }, arp: answerTo(question) });
    // A host that asks for itself hears the answer at once; the product, only when its shards run.
    servers.send(inVlan, answer);
    const appliance = await starting;
    servers.send(inVlan, answer);
    const path = new TaggedPath(designator, appliance, clients, servers, [outVlan, inVlan]);
    await path.#setUp();
    return path;
  }

  async #setUp(): Promise<void> {
    const { clients, servers, appliance } = this;
    const [outVlan, inVlan] = this.vlans;
    // As a client repeats it (RFC 2661 §5.8): the first one may come before a shard has read the server's answer.
    const again = setInterval(() => clients.send(outVlan, fromClient(sccrq({ assigned: CLIENT_TUNNEL }))), 200);
    const request = await servers.until(inVlan, udpTo(CLIENT, SERVERS[0])).finally(() => clearInterval(again));
    check(macs(request), `${plain(OWN_MAC)} > ${plain(SERVER_MAC)}`);
    servers.send(inVlan, fromServer(sccrp({ tunnel: CLIENT_TUNNEL, assigned: SERVER_TUNNEL })));
    check(macs(await clients.until(outVlan, udpTo(VIP, CLIENT))), `${plain(OWN_MAC)} > ${plain(CLIENT_MAC)}`);
    clients.send(outVlan, fromClient(scccn({ tunnel: SERVER_TUNNEL })));
    await waitFor('an established tunnel', async () => (await appliance.established()).length > 0);
  }

  /** `count` frames of data each way, one after the other; all must arrive. `mark`: 4 hexadecimal digits. */
  async exchange(count: number, mark: string): Promise<void> {
    const { clients, servers } = this;
    const [outVlan, inVlan] = this.vlans;
    const payload = (index: number): string => `ff030021${mark}${index.toString(16).padStart(4, '0')}`;
    for (let index = 0; index < count; index++) {
      const data = (tunnel: number): Uint8Array => l2tpData({ tunnel, session: SESSION, payload: payload(index) });
      clients.send(outVlan, fromClient(data(SERVER_TUNNEL)));
      servers.send(inVlan, fromServer(data(CLIENT_TUNNEL)));
    }
    const arrived = (wire: Tagged, vlan: number, is: (one: Uint8Array) => boolean): number =>
      wire.all(vlan, (one) => is(one) && hex(one).includes(`ff030021${mark}`)).length;
    await waitFor(
      `${count} frames of data both ways`,
      () =>
        arrived(servers, inVlan, udpTo(CLIENT, SERVERS[0])) === count &&
        arrived(clients, outVlan, udpTo(VIP, CLIENT)) === count,
      5000,
      () =>
        `${arrived(servers, inVlan, udpTo(CLIENT, SERVERS[0]))} and ${arrived(clients, outVlan, udpTo(VIP, CLIENT))} came`,
    );
  }
}

function parts(name: string): [string, number] {
  const [device, vlan = '0'] = name.split('.');
  return [device, Number(vlan)];
}

function check(is: string, must: string): void {
  if (is !== must) throw new Error(`${is} instead of ${must}`);
}

/** To whoever asked, by the addresses in the question. */
function answerTo(question: Uint8Array): NonNullable<FrameOptions['arp']> {
  return {
    operation: 2,
    senderMac: SERVER_MAC,
    senderIp: SERVERS[0],
    targetMac: OWN_MAC,
    targetIp: question.subarray(28, 32).join('.'),
  };
}
