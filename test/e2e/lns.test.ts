/** Our LNS against real programs: xl2tpd, pppd and the PPP of a kernel. */
import { afterEach, expect, test } from 'vitest';
import { KernelClient } from '../../src/demo/lab/kernel-ppp.js';
import type { Lab } from '../../src/demo/lab/lab.js';
import { GUESTS } from '../../src/demo/lab/packages.js';
import { addServer } from '../../src/demo/lab/topology.js';
import { Guest } from '../../src/demo/lab/uml.js';
import { describeLab, startLns } from '../helpers/lab.js';

const LNS = '10.10.1.1';
const USERS = [{ name: 'alice', password: 's3cret', address: '10.64.0.77' }];

const config = {
  name: 'lns1',
  listen: LNS,
  ipv4: { dns: ['10.64.0.1'] },
  ipv6: { pool: 'six' },
  pools: [
    { name: 'home', ipv4: '10.64.0.0/24' },
    { name: 'six', ipv6: '2001:db8:64::/48' },
  ],
  tun: { device: 'lns0' },
};

describeLab('the LNS with a kernel’s PPP', GUESTS, (open) => {
  let lab: Lab | undefined;
  afterEach(() => lab?.close());

  test('xl2tpd and pppd dial in, ping and copy by TCP', async () => {
    lab = await open();
    const lan = await lab.bridge('lan');
    const server = await addServer(lab, lan, 'lns', LNS);
    const guest = await Guest.start(lab, lan, 'cpe', { mac: '02:00:00:00:00:07' });
    const lns = await startLns(lab, server, config, { users: USERS });
    const client = await KernelClient.start(guest, { network: ['addr add 10.10.1.7/24 dev eth0'], vip: LNS });
    const { local, peer } = await client.connect(1, 'ppp0');
    expect([local, peer]).toEqual(['10.64.0.77', '10.64.0.1']);
    expect(await client.ping(peer, 'ppp0')).toBe(5);
  });
});
