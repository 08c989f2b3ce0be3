/**
 * The call generator against servers that are not ours: l2tpns, which does PPP itself, and xl2tpd with pppd on a kernel
 * with PPP.
 */
import { expect, test } from 'vitest';
import type { Lab } from '../../src/demo/lab/lab.js';
import { startKernelServer } from '../../src/demo/lab/kernel-ppp.js';
import { L2tpns } from '../../src/demo/lab/l2tpns.js';
import type { Namespace } from '../../src/demo/lab/namespace.js';
import { GUESTS, L2TPNS } from '../../src/demo/lab/packages.js';
import { Guest } from '../../src/demo/lab/uml.js';
import type { GeneratorResults } from '../../src/roles/lac/generator/results.js';
import { describeLab, SELF, startLns } from '../helpers/lab.js';

const SERVER = '192.0.2.1';
const CLIENT = '192.0.2.9';
const PASSWORD = 's3cret';

async function generate(namespace: Namespace, ...words: string[]): Promise<GeneratorResults> {
  const args = [...SELF.slice(1), 'lac', '--generate', '--lns', SERVER, '--json', '--password', PASSWORD, ...words];
  return JSON.parse(await namespace.run(SELF[0], args, { timeoutMs: 60_000 })) as GeneratorResults;
}

describeLab('the generator and l2tpns', L2TPNS, (open) => {
  test('sixty sessions in three tunnels with CHAP: pings to its end come back, and neighbours reach each other', async () => {
    const lab: Lab = await open();
    const bridge = await lab.bridge('lan');
    const [server, client] = [await lab.namespace('lns'), await lab.namespace('gen')];
    await lab.plug(bridge, server, 'eth0', [`${SERVER}/24`]);
    await lab.plug(bridge, client, 'eth0', [`${CLIENT}/24`]);
    const l2tpns = new L2tpns(lab, server, 'l2tpns', {
      address: SERVER,
      pool: '10.60.1',
      secret: 'tunnelled',
      moreUsers: Array.from({ length: 60 }, (_, n) => [`user${n + 1}`, PASSWORD] as const),
      clusterAddress: '239.192.13.77',
    });
    // Nobody has the address that it tells as its own end; the kernel passes on what neighbours send each other.
    await server.sysctl('net.ipv4.ip_forward', 1);
    await l2tpns.ready();
    // While a tunnel of an address and port is being set up it takes no second one.
    const tunnels = ['--tunnels', '3', '--sockets', '3', '--secret', 'tunnelled'];
    const many = ['--sessions', '60', '--rate', '200', '--seconds', '1'];
    const results = await generate(
      client,
      ...tunnels,
      ...many,
      '--target',
      SERVER,
      '--traffic',
      'ping:64@5,pairs:576@10',
    );
    expect(results.failures).toEqual([]);
    expect(results.tunnels).toMatchObject({ asked: 3, up: 3 });
    expect(results.sessions).toMatchObject({ asked: 60, up: 60, failed: 0, lost: 0, held: 60 });
    for (const { sent, received, latencyMs } of results.traffic) {
      expect(sent).toBeGreaterThan(100);
      expect(received).toBeGreaterThan(sent * 0.9);
      expect(latencyMs?.median).toBeGreaterThan(0);
    }
  });
});

describeLab('the generator and pppd', GUESTS, (open) => {
  test('pppd accepts what our PPP says: addresses, and pings through its kernel', async () => {
    const lab: Lab = await open();
    const bridge = await lab.bridge('lan');
    const client = await lab.namespace('gen');
    await lab.plug(bridge, client, 'eth0', [`${CLIENT}/24`]);
    const guest = await Guest.start(lab, bridge, 'lns', { mac: '02:00:00:00:02:01' });
    await startKernelServer(guest, { network: [`addr add ${SERVER}/24 dev eth0`], pool: '10.61.1' });
    const alice = ['--user', 'alice', '--seconds', '0.5'];
    const results = await generate(client, ...alice, '--sessions', '3', '--ipv6', '--traffic', 'ping:600@10');
    expect(results.failures).toEqual([]);
    expect(results.sessions).toMatchObject({ up: 3, failed: 0, lost: 0, held: 3 });
    expect(results.traffic[0].received).toBeGreaterThan(results.traffic[0].sent * 0.9);
    // pppd proves itself too: an answer to the client's challenge that only the password can give.
    await guest.put('/etc/ppp/l2tp', 'noccp\nauth\nrequire-mschap-v2\nmtu 1400\nmru 1400\n');
    const microsoft = await generate(client, ...alice, '--sessions', '1', '--methods', 'ms-chap-v2');
    expect(microsoft.failures).toEqual([]);
    expect(microsoft.sessions).toMatchObject({ up: 1, held: 1 });
  });
});

describeLab('the generator and our LNS', [], (open) => {
  test('two hundred sessions by CHAP and MS-CHAPv2, more by PAP; wrong passwords are told of; calls are hung up and dialled again', async () => {
    const lab: Lab = await open();
    const bridge = await lab.bridge('lan');
    const [server, client] = [await lab.namespace('lns'), await lab.namespace('gen')];
    await lab.plug(bridge, server, 'eth0', [`${SERVER}/24`]);
    await lab.plug(bridge, client, 'eth0', [`${CLIENT}/24`]);
    await server.sysctl('net.ipv4.ip_forward', 1);
    const config = {
      name: 'lns1',
      listen: SERVER,
      pools: [
        { name: 'home', ipv4: '10.62.0.0/16' },
        { name: 'six', ipv6: '2001:db8:64::/48' },
      ],
      ipv6: { pool: 'six' },
      tun: { device: 'lns0' },
    };
    const users = Array.from({ length: 100 }, (_, n) => ({ name: `user${n + 1}`, password: PASSWORD }));
    await startLns(lab, server, config, { users });
    for (const method of ['chap-md5', 'ms-chap-v2']) {
      const words = ['--methods', method, '--tunnels', '2', '--sessions', '100', '--rate', '1000', '--seconds', '0.5'];
      const results = await generate(client, ...words, '--ipv6', '--traffic', 'ping@4,pairs:1400@4');
      expect(results.failures, method).toEqual([]);
      expect(results.sessions, method).toMatchObject({ up: 100, failed: 0, lost: 0, held: 100 });
      for (const { sent, received } of results.traffic) expect(received, method).toBe(sent);
    }
    const wrong = await client.tryRun(
      SELF[0],
      [SELF[1], 'lac', '--generate', '--lns', SERVER, '--json', '--sessions', '2', '--password', 'wrong'],
      { timeoutMs: 60_000 },
    );
    expect(wrong.status).toBe(69);
    const { sessions, failures } = JSON.parse(wrong.stdout) as GeneratorResults;
    expect(sessions).toMatchObject({ up: 0, failed: 2 });
    expect(failures).toEqual([{ stage: 'authentication', reason: 'PPP authentication-failed by us', count: 2 }]);
    const pap = ['--methods', 'pap', '--sessions', '20', '--rate', '100'];
    const churn = await generate(client, ...pap, '--seconds', '1', '--lifetime', '0.3');
    expect(churn.failures).toEqual([]);
    expect(churn.sessions.up).toBeGreaterThanOrEqual(40);
  });
});
