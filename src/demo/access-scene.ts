/** A customer with PPPoE, our LAC and a pair of our LNSs, in a network of their own: a call, and the death of an LNS. */
import { LabError } from './lab/command.js';
import { type LabEndpoint, startEndpoint } from './lab/endpoint.js';
import type { Lab } from './lab/lab.js';
import { PppoeClient, preparePppoe } from './lab/pppoe-client.js';
import { Guest } from './lab/uml.js';
import { waitFor } from './lab/wait.js';

const LAC = '198.51.100.10';
const LNS = ['198.51.100.1', '198.51.100.2'] as const;
/** What each LNS of the pair calls its tunnels, so that one can take the other's. */
const IDS = ['1-32767', '32768-65535'] as const;
const SECRET = 'secret of the tunnels';
const CUSTOMER = { user: 'carol@isp.example', password: 's3cret' };
const ADDRESS = '10.64.0.77';
const GATEWAY = '10.64.0.1';

export class AccessScene {
  #client: PppoeClient | null = null;

  private constructor(
    private readonly guest: Guest,
    readonly lac: LabEndpoint,
    /** The one that is dialled, and its peer. */
    readonly pair: readonly LabEndpoint[],
  ) {}

  /** The customer's guest boots while the LAC and the LNSs start. `self`: the words that start the program. */
  static async start(lab: Lab, self: readonly [string, string]): Promise<AccessScene> {
    const [line, core, concentrator] = [await lab.bridge('line'), await lab.bridge('core'), await lab.namespace('lac')];
    await lab.plug(line, concentrator, 'eth1', [], { checksums: false });
    await lab.plug(core, concentrator, 'eth0', [`${LAC}/24`]);
    const guest = await Guest.start(lab, line, 'customer', { mac: '02:00:00:00:00:21' });
    const pair = LNS.map(async (address, index) => {
      const host = await lab.namespace(`our${index + 1}`);
      await lab.plug(core, host, 'eth0', [`${address}/24`]);
      return startEndpoint(lab, host, {
        role: 'lns',
        self,
        name: `our-lns${index + 1}`,
        users: [{ name: CUSTOMER.user, password: CUSTOMER.password, address: ADDRESS }],
        config: {
          name: `lns${index + 1}`,
          listen: address,
          tunnels: { secret: SECRET, ids: IDS[index] },
          ipv4: { local: GATEWAY },
          pools: [{ name: 'home', ipv4: `10.64.${index}.0/24` }],
          offload: { peer: LNS[1 - index], secret: SECRET },
        },
      });
    });
    const lac = startEndpoint(lab, concentrator, {
      role: 'lac',
      self,
      name: 'our-lac',
      config: {
        name: 'lac1',
        pppoe: { interfaces: 'eth1' },
        lns: LNS.map((address, index) => ({ name: `lns${index + 1}`, address, secret: SECRET })),
        table: [{ realm: 'isp.example', lns: ['lns1', 'lns2'] }],
      },
    });
    const [endpoints] = await Promise.all([Promise.all([lac, ...pair]), preparePppoe(guest)]);
    return new AccessScene(guest, endpoints[0], endpoints.slice(1));
  }

  /** Dials; the customer's address and the LNS's on the link. */
  async call(): Promise<{ local: string; peer: string }> {
    this.#client = await PppoeClient.dial(this.guest, CUSTOMER);
    const addresses = await this.#client.connected();
    await this.pair[0].untilSessions(1);
    return addresses;
  }

  /** Echo replies from the far end of the link. */
  ping(count: number): Promise<number> {
    return this.client.ping(GATEWAY, count);
  }

  get client(): PppoeClient {
    if (this.#client === null) throw new LabError('the customer has not dialled');
    return this.#client;
  }

  /** Kills the LNS that has the call while the customer pings; how many of so many came back, and how often LCP began anew. */
  async killLns(count: number): Promise<{ replies: number; renegotiations: number }> {
    const kept = async (): Promise<boolean> =>
      (await this.pair[1].control<{ keptSessions: number }[]>('GET', '/v1/peers'))[0]?.keptSessions === 1;
    await waitFor('the peer LNS to know the session', kept);
    const before = this.client.lcpRequests();
    const pings = this.ping(count);
    await this.pair[0].kill();
    const replies = await pings;
    await this.pair[1].untilSessions(1);
    return { replies, renegotiations: this.client.lcpRequests() - before };
  }
}
