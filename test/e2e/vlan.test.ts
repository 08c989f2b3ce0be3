/**
 * Tagged interfaces that the host has no VLAN device for: clients and servers are written by hand, as frames with tags,
 * because no kernel of theirs need know the VLAN either.
 */
import { execFileSync, spawn } from 'node:child_process';
import { afterEach, expect, test } from 'vitest';
import type { Lab } from '../../src/demo/lab/lab.js';
import type { Namespace } from '../../src/demo/lab/namespace.js';
import { CLIENT, exampleConfig, SERVERS, VIP } from '../../src/demo/lab/topology.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { Watch } from '../helpers/host-lab.js';
import { describeLab, startAppliance } from '../helpers/lab.js';
import { concat, type FrameOptions, frame, hex, l2tpData, scccn, sccrp, sccrq } from '../helpers/packet-builder.js';

const OWN_MAC = '02:00:00:00:0a:01';
const CLIENT_MAC = '02:00:00:00:0c:05';
const SERVER_MAC = '02:00:00:00:05:01';
const OUTSIDE = 100;
const INSIDE = 200;
const DATA = l2tpData({ tunnel: 9, session: 1, payload: 'ff030021' });

/** The far ends of tagged wires, as bytes. */
class Tagged {
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
    const tagged = concat(untagged.subarray(0, 12), [0x81, 0, vlan >> 8, vlan & 0xff], untagged.subarray(12));
    const words = ['netns', 'exec', this.namespace.name, 'socat', '-u', 'STDIN', `INTERFACE:${this.device}`];
    execFileSync('ip', words, { input: tagged });
  }

  /** The first frame of that VLAN that meets the test, without its tag. */
  async until(vlan: number, is: (untagged: Uint8Array) => boolean): Promise<Uint8Array> {
    const bare = (one: Uint8Array): Uint8Array => concat(one.subarray(0, 12), one.subarray(16));
    const found = await this.watch.until(
      (one) => one.length > 18 && one[12] === 0x81 && (((one[14] & 0xf) << 8) | one[15]) === vlan && is(bare(one)),
    );
    return bare(found);
  }
}

const asksFor =
  (address: string) =>
  (one: Uint8Array): boolean =>
    one[12] === 0x08 && one[13] === 0x06 && one[21] === 1 && one.subarray(38, 42).join('.') === address;
const udpTo =
  (source: string, destination: string) =>
  (one: Uint8Array): boolean =>
    one[12] === 0x08 &&
    one[13] === 0x00 &&
    one[23] === 17 &&
    one.subarray(26, 30).join('.') === source &&
    one.subarray(30, 34).join('.') === destination;
const macs = (one: Uint8Array): string => `${hex(one.subarray(6, 12))} > ${hex(one.subarray(0, 6))}`;
const plain = (mac: string): string => mac.replaceAll(':', '');
const fromClient = (payload: FrameOptions['payload']): Uint8Array =>
  frame({
    eth: { src: CLIENT_MAC, dst: OWN_MAC },
    ip: { src: CLIENT, dst: VIP },
    udp: { src: 4000, dst: 1701 },
    payload,
  });
const fromServer = (payload: FrameOptions['payload']): Uint8Array =>
  frame({
    eth: { src: SERVER_MAC, dst: OWN_MAC },
    ip: { src: SERVERS[0], dst: CLIENT },
    udp: { src: 1701, dst: 4000 },
    payload,
  });

describeLab('VLANs without devices', [], (open) => {
  let lab: Lab | undefined;
  afterEach(() => lab?.close());

  test.each([
    ['two VLANs of one parent', 'trunk0', 'trunk0'],
    ['a VLAN on each of two interfaces', 'wan0', 'lan0'],
  ])('clients and servers on %s', async (_name, outside, inside) => {
    lab = await open();
    const [designator, far] = [await lab.namespace('gw'), await lab.namespace('far')];
    const wires = new Map<string, Tagged>();
    for (const device of new Set([outside, inside])) {
      await designator.ip(`link add ${device} address ${OWN_MAC} type veth peer name ${device} netns ${far.name}`);
      await far.ip(`link set ${device} arp off up`);
      await designator.ip(`link set ${device} up`);
      wires.set(device, await Tagged.open(far, device));
    }
    await designator.ip(`addr add 192.128.10.1/24 dev ${outside}`, `addr add 10.10.1.254/24 dev ${inside}`);
    const [clients, servers] = [wires.get(outside) as Tagged, wires.get(inside) as Tagged];
    const starting = startAppliance(lab, designator, {
      ...exampleConfig({ vip: { servers: [{ name: 'lns1', address: SERVERS[0] }] } }),
      interfaces: { outside: `${outside}.${OUTSIDE}`, inside: `${inside}.${INSIDE}` },
    });
    starting.catch(() => {}); // awaited below
    const question = await servers.until(INSIDE, asksFor(SERVERS[0]));
    expect(hex(question.subarray(6, 12))).toBe(plain(OWN_MAC));
    const reply = { operation: 2, senderMac: SERVER_MAC, senderIp: SERVERS[0], targetMac: OWN_MAC };
    const appliance = await starting;
    servers.send(INSIDE, frame({ eth: { src: SERVER_MAC, dst: OWN_MAC }, arp: { ...reply, targetIp: '0.0.0.0' } }));

    // As a client repeats it (RFC 2661 §5.8): the first one may come before a shard has read the server's answer.
    const again = setInterval(() => clients.send(OUTSIDE, fromClient(sccrq({ assigned: 7 }))), 200);
    const request = await servers.until(INSIDE, udpTo(CLIENT, SERVERS[0])).finally(() => clearInterval(again));
    expect(macs(request)).toBe(`${plain(OWN_MAC)} > ${plain(SERVER_MAC)}`);
    servers.send(INSIDE, fromServer(sccrp({ tunnel: 7, assigned: 9 })));
    const answer = await clients.until(OUTSIDE, udpTo(VIP, CLIENT));
    expect(macs(answer)).toBe(`${plain(OWN_MAC)} > ${plain(CLIENT_MAC)}`);
    clients.send(OUTSIDE, fromClient(scccn({ tunnel: 9 })));
    clients.send(OUTSIDE, fromClient(DATA));
    await servers.until(INSIDE, (one) => udpTo(CLIENT, SERVERS[0])(one) && hex(one).includes('ff030021'));
    await waitFor('an established tunnel', async () => (await appliance.established()).length > 0);
    expect((await appliance.tunnels()).map(({ state, server }) => [state, server])).toEqual([['established', 'lns1']]);
  });
});
