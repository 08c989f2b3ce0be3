/** A customer with PPPoE, our LAC and our LNS, in a network of their own: a call from one end to the other. */
import { type LabEndpoint, startEndpoint } from './lab/endpoint.js';
import type { Lab } from './lab/lab.js';
import { PppoeClient, preparePppoe } from './lab/pppoe-client.js';
import { Guest } from './lab/uml.js';

const LAC = '198.51.100.10';
const LNS = '198.51.100.1';
const SECRET = 'secret of the tunnels';
const CUSTOMER = { user: 'carol@isp.example', password: 's3cret' };
const ADDRESS = '10.64.0.77';

export class AccessScene {
  private constructor(
    private readonly guest: Guest,
    readonly lac: LabEndpoint,
    readonly lns: LabEndpoint,
  ) {}

  /** The customer's guest boots while the LAC and the LNS start. `self`: the words that start the program. */
  static async start(lab: Lab, self: readonly [string, string]): Promise<AccessScene> {
    const [line, core] = [await lab.bridge('line'), await lab.bridge('core')];
    const [concentrator, server] = [await lab.namespace('lac'), await lab.namespace('ourlns')];
    await lab.plug(line, concentrator, 'eth1', [], { checksums: false });
    await lab.plug(core, concentrator, 'eth0', [`${LAC}/24`]);
    await lab.plug(core, server, 'eth0', [`${LNS}/24`]);
    const guest = await Guest.start(lab, line, 'customer', { mac: '02:00:00:00:00:21' });
    const lns = startEndpoint(lab, server, {
      role: 'lns',
      self,
      users: [{ name: CUSTOMER.user, password: CUSTOMER.password, address: ADDRESS }],
      config: {
        name: 'lns1',
        listen: LNS,
        tunnels: { secret: SECRET },
        pools: [{ name: 'home', ipv4: '10.64.0.0/24' }],
      },
    });
    const lac = startEndpoint(lab, concentrator, {
      role: 'lac',
      self,
      config: {
        name: 'lac1',
        pppoe: { interfaces: 'eth1' },
        lns: [{ name: 'lns1', address: LNS, secret: SECRET }],
        table: [{ realm: 'isp.example', lns: 'lns1' }],
      },
    });
    const [endpoints] = await Promise.all([Promise.all([lac, lns]), preparePppoe(guest)]);
    return new AccessScene(guest, ...endpoints);
  }

  /** Dials; the customer's address, the LNS's on the link, and pings across. */
  async call(): Promise<{ local: string; peer: string; ping: (count: number) => Promise<number> }> {
    const client = await PppoeClient.dial(this.guest, CUSTOMER);
    const { local, peer } = await client.connected();
    await this.lns.untilSessions(1);
    return { local, peer, ping: (count) => client.ping(peer, count) };
  }
}
