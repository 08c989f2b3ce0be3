/** The L2TP engine and xl2tpd, which nobody here wrote: each dials the other, and tunnels go on in another engine. */
import { randomBytes } from 'node:crypto';
import { afterAll, expect, test } from 'vitest';
import { USER_SPACE } from '../../src/demo/lab/packages.js';
import type { Lab } from '../../src/demo/lab/lab.js';
import type { Namespace } from '../../src/demo/lab/namespace.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { Xl2tpdClient, Xl2tpdServer } from '../../src/demo/lab/xl2tpd.js';
import { L2tpEndpoint } from '../../src/protocol/l2tp/endpoint.js';
import type { L2tpEvent } from '../../src/protocol/l2tp/events.js';
import type { TunnelSnapshot } from '../../src/protocol/l2tp/snapshot.js';
import type { L2tpTunnel } from '../../src/protocol/l2tp/tunnel.js';
import { describeLab } from '../helpers/lab.js';
import { type AgentSocket, UdpAgent } from '../helpers/udp-agent.js';

const US = '10.8.0.2';
const THEM = '10.8.0.1';
const CLIENT_PORT = 1709;
const SERVER_PORT = 1710;
const TUNNELS = 3;
const PATIENT = { helloInterval: 60 };

/** An endpoint at a socket: answers everything with yes. */
class Engine {
  readonly events: L2tpEvent[] = [];
  readonly endpoint = new L2tpEndpoint({
    hostName: 'engine',
    random: randomBytes,
    profile: () => PATIENT,
  });
  readonly #timer = setInterval(() => this.turn(), 10);

  constructor(private readonly socket: AgentSocket) {
    socket.onDatagram = ({ data, address, port }) => {
      this.endpoint.receive(data, { address, port, socket: 0 }, this.now);
      this.turn();
    };
  }

  get now(): number {
    return performance.now() / 1000;
  }

  turn(): void {
    for (let events = this.endpoint.events(); events.length > 0; events = this.endpoint.events()) {
      for (const event of events) {
        this.events.push(event);
        if (event.type === 'tunnel-request') event.tunnel.accept();
        if (event.type === 'call') event.session.accept();
        if (event.type === 'call-answered') event.session.connect({ txSpeed: 100_000_000 });
      }
    }
    for (const { to, bytes } of this.endpoint.output(this.now)) this.socket.send(bytes, to.address, to.port);
  }

  count(type: L2tpEvent['type']): number {
    return this.events.filter((event) => event.type === type).length;
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

describeLab('the L2TP engine and xl2tpd', USER_SPACE, (open) => {
  let lab: Lab;
  let here: Namespace;
  let socket: AgentSocket;
  let client: Xl2tpdClient;
  let engine: Engine;
  let agent: UdpAgent;
  afterAll(() => {
    engine?.close();
    agent?.close();
  });

  test('xl2tpd dials', async () => {
    lab = await open();
    here = await lab.namespace('host');
    await here.ip(`addr add ${THEM}/32 dev lo`, `addr add ${US}/32 dev lo`, 'link set lo up');
    agent = new UdpAgent(here);
    socket = await agent.bind(US, 1701);
    engine = new Engine(socket);
    client = new Xl2tpdClient(lab, here, 'lac', { lns: US, port: CLIENT_PORT, silent: true });
    await client.ready();
    for (let number = 1; number <= TUNNELS; number++) await client.connect(number);
    await waitFor('all calls', () => engine.count('session-up') === TUNNELS);
    const tunnels = [...engine.endpoint.tunnels.values()];
    expect(tunnels.map(({ localId, peerId }) => [localId, peerId])).toEqual(
      client.established().map(({ local, remote }) => [remote, local]),
    );
  });

  test('its tunnels go on in another engine, which knows them as they were some messages ago', async () => {
    const tunnels = [...engine.endpoint.tunnels.values()];
    await waitFor('quiet', () => engine.endpoint.quiet);
    const snapshots: TunnelSnapshot[] = tunnels.map((tunnel) => tunnel.snapshot());
    // What the first engine does without telling: 0, 1 and 2 messages out. Of the peer's last one the last snapshot knows nothing.
    for (const [index, tunnel] of tunnels.entries()) {
      for (let n = 0; n < index; n++) {
        tunnel.sendHello();
        await waitFor('an acknowledgement', () => tunnel.unacknowledged === 0);
      }
    }
    const [, , third] = snapshots;
    snapshots[2] = { ...third, nr: (third.nr - 1) & 0xffff };
    engine.close();
    engine = new Engine(socket);
    const adopted = snapshots.map((snapshot) =>
      engine.endpoint.adopt(snapshot, snapshot.peer, engine.now),
    ) as L2tpTunnel[];
    await waitFor('Hellos that are acknowledged', () => engine.endpoint.quiet);
    expect(adopted.map(({ ns }, index) => ns - (snapshots[index].ns + index))).toEqual([1, 0, 0]);
    // Everything after that is taken as if nothing had been.
    for (const tunnel of adopted) tunnel.sendHello();
    await waitFor('further Hellos', () => engine.endpoint.quiet);
    for (let number = 1; number <= TUNNELS; number++) {
      client.disconnect(number);
      await waitFor(
        'the tunnel to end',
        () => engine.count('tunnel-down') === number,
        10_000,
        () => client.daemon.tail(),
      );
    }
    expect(engine.events.map((event) => ('by' in event ? `${event.type} ${event.by}` : event.type)).sort()).toEqual([
      ...Array.from({ length: TUNNELS }, () => expect.stringMatching(/^session-down (peer|tunnel)$/)),
      ...Array.from({ length: TUNNELS }, () => 'tunnel-down peer'),
    ]);
    expect(client.established()).toHaveLength(TUNNELS); // nothing was dialled again
  });

  test('xl2tpd is dialled', async () => {
    const server = new Xl2tpdServer(lab, here, 'lns', { port: SERVER_PORT, silent: true });
    await server.ready();
    const to = { address: THEM, port: SERVER_PORT, socket: 0 };
    const tunnel = engine.endpoint.open(to, PATIENT, engine.now) as L2tpTunnel;
    const calls = [tunnel.call('incoming', { called: '1' }), tunnel.call('incoming', { called: '2' })];
    engine.turn();
    await waitFor(
      'calls',
      () => calls.every((call) => call?.state === 'established'),
      10_000,
      () => server.daemon.tail(),
    );
    await waitFor('the other end to say so', () => server.calls() === 2);
    calls[0]?.hangUp(1);
    engine.turn();
    await waitFor('the CDN to be acknowledged', () => engine.endpoint.quiet);
    expect([tunnel.state, tunnel.hostName, tunnel.sessions.size]).toEqual(['established', 'lns', 1]);
    tunnel.stop(1);
    engine.turn();
    await waitFor('the end', () => engine.endpoint.tunnels.size === 0);
    expect(engine.events.at(-1)).toMatchObject({ type: 'tunnel-down', by: 'us' });
  });
});
