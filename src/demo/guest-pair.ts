/** A client and a server with PPP in their kernels, behind a virtual address of their own: a ping that crosses a tunnel. */
import { KernelClient, startKernelServer } from './lab/kernel-ppp.js';
import type { Lab } from './lab/lab.js';
import { LAN_GATEWAY, type Topology, WAN_GATEWAY } from './lab/topology.js';
import { Guest } from './lab/uml.js';

export const GUEST_VIP = '200.200.100.2';
export const GUEST_SERVER = '10.10.1.3';
const GUEST_CLIENT = '192.128.10.7';
const POOL = '10.50.3';

export class GuestPair {
  private constructor(
    private readonly lac: Guest,
    private readonly lns: Guest,
  ) {}

  /** Both boot while other things happen. */
  static async start(lab: Lab, { wan, lan }: Topology): Promise<GuestPair> {
    return new GuestPair(
      await Guest.start(lab, wan, 'lac', { mac: '02:00:00:00:00:07' }),
      await Guest.start(lab, lan, 'lns', { mac: '02:00:00:00:00:13' }),
    );
  }

  /** Sets the tunnel up; the client's address and the server's inside it. */
  async connect(): Promise<{ local: string; peer: string; ping: (count: number) => Promise<number> }> {
    const [client] = await Promise.all([
      KernelClient.start(this.lac, {
        vip: GUEST_VIP,
        network: [`addr add ${GUEST_CLIENT}/24 dev eth0`, `route add default via ${WAN_GATEWAY}`],
      }),
      startKernelServer(this.lns, {
        pool: POOL,
        network: [`addr add ${GUEST_SERVER}/24 dev eth0`, `route add default via ${LAN_GATEWAY}`],
      }),
    ]);
    const { local, peer } = await client.connect(1, 'ppp0');
    return { local, peer, ping: (count) => client.ping(peer, 'ppp0', count) };
  }
}
