/** A LAN with our gateways in it, and what is seen on its wires: ARP by ARP, and which gateway sent it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Capture } from '../../src/demo/lab/capture.js';
import {
  GatewayLan,
  type GatewayLanOptions,
  type LanHost,
  type Pings,
  SHARED,
} from '../../src/demo/lab/gateway-lan.js';
import { GatewayMembers, type MemberOptions } from '../../src/demo/lab/gateway-members.js';
import type { Lab } from '../../src/demo/lab/lab.js';
import { formatIpv4, formatMac } from '../../src/wire/address.js';
import {
  ARP_REQUEST,
  arpOperation,
  arpSenderIp,
  arpSenderMacOffset,
  arpTargetIp,
  arpTargetMacOffset,
  checkArp,
} from '../../src/wire/arp.js';
import { ETHERNET_LENGTH, etherType, sourceMacOffset, TYPE_ARP } from '../../src/wire/ethernet.js';
import { readPcap } from '../../src/wire/pcap.js';
import { SELF } from './lab.js';

export interface SceneOptions extends GatewayLanOptions {
  readonly group?: MemberOptions['group'];
  readonly each?: MemberOptions['each'];
}

/** An ARP message as it went over the wire. */
export interface SeenArp {
  readonly at: number;
  /** Gateway that sent it into the segment; 0: somebody else. */
  readonly from: number;
  readonly kind: 'request' | 'reply';
  readonly source: string;
  readonly destination: string;
  readonly senderMac: string;
  readonly sender: string;
  readonly target: string;
  readonly targetMac: string;
}

export class GatewayScene {
  private constructor(
    readonly lan: GatewayLan,
    readonly members: GatewayMembers,
  ) {}

  /**
   * Gateways run and agree; hosts have not asked yet. They speak half as often as by default: on a busy machine a process
   * may not run for a fifth of a second, and these tests are not about that.
   */
  static async open(lab: Lab, { group: settings, each, ...options }: SceneOptions): Promise<GatewayScene> {
    const lan = await GatewayLan.open(lab, options);
    const group = { adverts: { interval: '200ms' }, ...settings };
    return new GatewayScene(lan, await GatewayMembers.start(lan, { self: SELF, group, each }));
  }

  /** Every host pings the target; resolves when all have answers. */
  async pinging(intervalMs = 20, target?: string): Promise<Pings> {
    const pings = await this.lan.ping(intervalMs, target);
    await pings.flowing();
    return pings;
  }

  /** What gateways and hosts say by ARP while `run` runs. */
  async arps(run: () => Promise<unknown>): Promise<SeenArp[]> {
    const { lan } = this;
    const number = ++captures;
    const file = (name: string): string => join(lan.lab.folder, `arp-${number}-${name}.pcap`);
    const ports = lan.ports.slice(0, lan.gateways.length);
    // Ports for themselves, and only what comes in there: so it is known which gateway has sent it.
    const running = await Promise.all([
      Capture.start(lan.lan.namespace, 'br0', file('all'), 'arp'),
      ...ports.map((port) => Capture.start(lan.lan.namespace, port, file(port), 'arp', ['-Q', 'in'])),
    ]);
    await run();
    await Promise.all(running.map((capture) => capture.stop()));
    const read = (name: string, from: number): SeenArp[] =>
      readPcap(readFileSync(file(name))).flatMap(({ seconds, frame }) => seenArp(frame, seconds, from));
    const hosts = new Set(lan.hosts.map(({ mac }) => mac));
    return [
      ...read('all', 0).filter(({ source }) => hosts.has(source)),
      ...ports.flatMap((port, index) => read(port, index + 1)),
    ].sort((a, b) => a.at - b.at);
  }

  /** `arping` of a host for the shared address, until the first answer unless told otherwise; how many answers came. */
  async ask(host: LanHost, words: readonly string[] = ['-f'], address = SHARED): Promise<number> {
    const { stdout } = await host.namespace.tryRun('arping', ['-w', '3', '-I', 'eth0', ...words, address]);
    return Number(/Received (\d+) re/.exec(stdout)?.[1] ?? 0);
  }
}

let captures = 0;

function seenArp(frame: Uint8Array, at: number, from: number): SeenArp[] {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (frame.length < ETHERNET_LENGTH || etherType(view, 0) !== TYPE_ARP) return [];
  if (checkArp(view, ETHERNET_LENGTH, frame.length) === 0) return [];
  return [
    {
      at,
      from,
      kind: arpOperation(view, ETHERNET_LENGTH) === ARP_REQUEST ? 'request' : 'reply',
      source: formatMac(frame, sourceMacOffset(0)),
      destination: formatMac(frame),
      senderMac: formatMac(frame, arpSenderMacOffset(ETHERNET_LENGTH)),
      sender: formatIpv4(arpSenderIp(view, ETHERNET_LENGTH)),
      targetMac: formatMac(frame, arpTargetMacOffset(ETHERNET_LENGTH)),
      target: formatIpv4(arpTargetIp(view, ETHERNET_LENGTH)),
    },
  ];
}
