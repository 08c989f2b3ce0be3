/**
 * The networks of document 001: FIG. 2, an IP network, a LAN, and between them the cluster master and the NAT server, on one
 * machine or two; FIG. 4, where the endpoints have an address on the IP network as well.
 *
 *   TI 192.128.10.5 ── IP network 70 ─┬─ cluster master 192.128.10.1 ── 10.10.1.253 ─┬─ LAN 156 ── TE 10.10.1.n
 *                                     ├─ NAT server 192.128.10.2 ────── 10.10.1.252 ─┘
 *                                     └─ TE n at 192.128.10.20n (FIG. 4)
 */
import type { LabAppliance } from '../../src/demo/lab/appliance.js';
import type { LabEndpoint } from '../../src/demo/lab/endpoint.js';
import type { Bridge, Lab } from '../../src/demo/lab/lab.js';
import type { Namespace } from '../../src/demo/lab/namespace.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { Figure } from './figure-capture.js';
import { startAppliance, startLns } from './lab.js';

export const TI = '192.128.10.5';
/** Addresses of the cluster: the master's, and the NAT server's own. */
export const CM = '200.200.100.1';
export const NAT = '200.200.100.9';
/** What endpoints have as their gateway. */
export const LAN_GATEWAY = '10.10.1.254';
export const LOCAL = ['10.10.1.1', '10.10.1.2'] as const;
export const GLOBAL = ['192.128.10.201', '192.128.10.202'] as const;
export const NAMES: Readonly<Record<string, string>> = {
  [TI]: 'TI',
  [CM]: 'CM',
  [NAT]: 'NAT',
  [LOCAL[0]]: 'TE',
  [LOCAL[1]]: 'TE2',
  [GLOBAL[0]]: 'globalTE',
  [GLOBAL[1]]: 'globalTE2',
};
/** … and what router advertisements name to them. */
export const LAN_ROUTER_6 = 'fe80::8:fe';
const KEY = { text: 'a key of the endpoints’ gateways' };

export interface FigureOptions {
  /** `one`: one machine is master and NAT server. Default two. */
  readonly machines?: 'one' | 'two';
  readonly endpoints?: number;
  /** Endpoints have global addresses and answer from them (FIG. 4). */
  readonly global?: boolean;
  /** Sets scenes of one lab apart. */
  readonly prefix?: string;
}

export class FigureScene {
  wan!: Bridge;
  lan!: Bridge;
  ti!: Namespace;
  master!: Namespace;
  nat!: Namespace;
  readonly endpoints: Namespace[] = [];

  private constructor(
    readonly lab: Lab,
    readonly options: FigureOptions,
  ) {}

  static async open(lab: Lab, options: FigureOptions = {}): Promise<FigureScene> {
    const scene = new FigureScene(lab, options);
    const { prefix = '', machines = 'two', endpoints = 1, global = false } = options;
    [scene.wan, scene.lan] = [await lab.bridge(`${prefix}wan`), await lab.bridge(`${prefix}lan`)];
    scene.ti = await lab.namespace(`${prefix}ti`);
    await lab.plug(scene.wan, scene.ti, 'eth0', [`${TI}/24`]);
    scene.master = await scene.#box(`${prefix}cm`, 1);
    scene.nat = machines === 'one' ? scene.master : await scene.#box(`${prefix}nat`, 2);
    await scene.ti.ip(
      `route add ${CM}/32 via 192.128.10.1`,
      `route add ${NAT}/32 via 192.128.10.${machines === 'one' ? 1 : 2}`,
    );
    for (let index = 0; index < endpoints; index++) {
      const endpoint = await lab.namespace(`${prefix}te${index + 1}`);
      await lab.plug(scene.lan, endpoint, 'eth0', [`${LOCAL[index]}/24`]);
      if (global) await lab.plug(scene.wan, endpoint, 'wan0', [`${GLOBAL[index]}/24`]);
      else await endpoint.ip(`route add default via ${LAN_GATEWAY}`);
      scene.endpoints.push(endpoint);
    }
    return scene;
  }

  async #box(short: string, number: number): Promise<Namespace> {
    const box = await this.lab.namespace(short);
    await this.lab.plug(this.wan, box, 'wan0', [`192.128.10.${number}/24`], { checksums: false });
    await this.lab.plug(this.lan, box, 'lan0', [`10.10.1.${254 - number}/24`], { checksums: false });
    await box.sysctl('net.ipv4.ip_forward', 1);
    return box;
  }

  /** `part` of the product on its machine; `vip` and `more`: further keys of the VIP and of the file; and further VIPs. */
  start(
    part: 'all' | 'master' | 'nat',
    vip: Readonly<Record<string, unknown>>,
    more: Readonly<Record<string, unknown>> = {},
    others: readonly Readonly<Record<string, unknown>>[] = [],
  ): Promise<LabAppliance> {
    const servers = this.endpoints.map((_, index) => ({
      name: `te${index + 1}`,
      address: LOCAL[index],
      ...(this.options.global ? { globalAddress: GLOBAL[index] } : {}),
    }));
    const inside = {
      group: 8,
      number: 1,
      key: KEY,
      addresses: [LAN_GATEWAY, LAN_ROUTER_6],
      advertise: { interval: '3s', lifetime: '1800s' },
    };
    const gateway = { inside };
    const config = {
      interfaces: { outside: 'wan0', inside: 'lan0' },
      workers: 1,
      part,
      vips: [
        { name: 'access', address: CM, protocols: ['l2tp'], algorithm: 'round-robin', servers, ...vip },
        ...others,
      ],
      ...(part === 'master' || this.options.global ? {} : { gateway }),
      ...more,
    };
    const box = part === 'nat' ? this.nat : this.master;
    return startAppliance(this.lab, box, config, `${this.options.prefix ?? ''}${part}`);
  }

  /**
   * A cluster master that nobody here wrote: the kernel puts the local address of an endpoint into requests, endpoint n for
   * the initiator's tunnel id n (which stands 62 bytes into the engine's SCCRQ of a host called `ti`), however often it asks.
   */
  async foreignMaster(): Promise<void> {
    const rules = LOCAL.slice(0, this.endpoints.length).map(
      (address, index) => `    ip daddr ${CM} udp dport 1701 @th,560,16 ${index + 1} notrack ip daddr set ${address}\n`,
    );
    await this.master.nft(
      `table ip master {\n  chain requests {\n    type filter hook prerouting priority raw\n${rules.join('')}  }\n}\n`,
    );
  }

  /** Our LNS at an endpoint, with a single tunnel id unless told otherwise. */
  startEndpoint(index: number, ids = '2-2', more: Readonly<Record<string, unknown>> = {}): Promise<LabEndpoint> {
    const name = `${this.options.prefix ?? ''}te${index + 1}`;
    const answer = this.options.global ? { answerFrom: [{ listen: LOCAL[index], address: GLOBAL[index] }] } : {};
    const config = {
      name: `te${index + 1}`,
      listen: LOCAL[index],
      workers: 1,
      tunnels: { ids },
      ppp: { authentication: 'none' },
      pools: [{ name: 'home', ipv4: `10.64.${index}.0/24` }],
      tun: { device: 'lns0' },
      sessions: { limit: 256 },
      ...answer,
      ...more,
    };
    return startLns(this.lab, this.endpoints[index], config, { name });
  }

  /** The endpoints’ gateway answers. */
  async gatewayAnswers(): Promise<void> {
    await waitFor('the endpoints’ gateway to answer ARP', async () => {
      await this.endpoints[0].tryRun('ping', ['-c', '1', '-W', '1', LAN_GATEWAY]);
      return (await this.endpoints[0].run('ip', ['neigh', 'show', LAN_GATEWAY])).includes('lladdr');
    });
  }

  /** Watches every place that the figures have a line for. */
  async watch(): Promise<Figure> {
    const figure = new Figure(this.lab.folder, NAMES);
    const { wan, lan } = this;
    const [te] = this.endpoints;
    await figure.watch({
      ti: [this.ti, 'eth0'],
      'master-wan': await wireOf(wan, this.master, 'wan0'),
      'master-lan': await wireOf(lan, this.master, 'lan0'),
      'nat-lan': await wireOf(lan, this.nat, 'lan0'),
      'nat-wan': await wireOf(wan, this.nat, 'wan0'),
      te: [te, 'eth0'],
      ...(this.options.global ? { 'te-wan': [te, 'wan0'] as const } : {}),
    });
    return figure;
  }
}

/** The far end of an interface's wire: an XDP program at the interface takes frames before a capture there sees them. */
async function wireOf(bridge: Bridge, box: Namespace, device: string): Promise<readonly [Namespace, string]> {
  const index = /@if(\d+):/.exec(await box.run('ip', ['-o', 'link', 'show', device]))?.[1];
  const links = await bridge.namespace.run('ip', ['-o', 'link']);
  const port = new RegExp(`^${index}: (\\w+)@`, 'm').exec(links)?.[1];
  if (port === undefined) throw new Error(`${device} of ${box.short} has no wire to ${bridge.namespace.short}`);
  return [bridge.namespace, port];
}
