/**
 * `designator demo`: document 003's example on one machine, with programs that nobody here wrote as clients and servers.
 * Every step is checked; the first that does not hold ends the demo. Nothing is left behind.
 */
import { existsSync, readdirSync } from 'node:fs';
import { DesignatorError } from '../errors.js';
import type { TunnelRow } from '../ops/appliance.js';
import { AccessScene } from './access-scene.js';
import { forwardTable, loadForwardBench } from './forward-cost.js';
import { GatewayScene } from './gateway-scene.js';
import { GUEST_SERVER, GUEST_VIP, GuestPair } from './guest-pair.js';
import { LabAppliance } from './lab/appliance.js';
import type { Environment } from './lab/command.js';
import { Lab, labProblem } from './lab/lab.js';
import { BASE, GUESTS, missingPackages, USER_SPACE } from './lab/packages.js';
import { buildTopology, CLIENT, exampleConfig, SERVERS, type Topology, VIP } from './lab/topology.js';
import { waitFor } from './lab/wait.js';
import { Xl2tpdClient, Xl2tpdServer } from './lab/xl2tpd.js';
import type { Narrator } from './narrator.js';
import { PairScene } from './pair-scene.js';

export interface DemoOptions {
  readonly pid: number;
  readonly env: Environment;
  readonly self: readonly [string, string];
  readonly narrator: Narrator;
  /** Aborted by Ctrl-C: the demo takes everything down and rejects. */
  readonly signal: AbortSignal;
  /** Leave the network up at the end, until the signal. */
  readonly keep: boolean;
}

const WEIGHTS = [1, 2];
/** Contestants that run on any machine; ours is left out where there is no XDP. */
const BENCH_PEERS = ['nft-dnat', 'ip-forward'];
/** Whoever brought less across, in thousands a second, did not forward; how much exactly is the benchmark's business. */
const LEAST_KPPS = 1;
/** Packets that must be added in each direction before data counts as flowing. */
const FLOWING = 4;
const PAIR_TUNNELS = 4;
/** Five a second, while an LNS dies and its peer takes over. */
const PINGS = 25;

/** Errors: TD_NO_PERMISSION, TD_UNAVAILABLE a needed program is missing, StepFailed. */
export async function runDemo(options: DemoOptions): Promise<void> {
  const problem = labProblem();
  if (problem !== null) throw new DesignatorError('TD_NO_PERMISSION', problem);
  const missing = missingPackages(options.env, [...BASE, ...USER_SPACE]);
  if (missing.length > 0) {
    throw new DesignatorError('TD_UNAVAILABLE', `programs are missing: apt-get install ${missing.join(' ')}`, {
      missing,
    });
  }
  const { narrator, signal } = options;
  const lab = await Lab.open(options);
  const stopped = new Promise<never>((_, reject) => {
    const stop = (): void => reject(new DesignatorError('TD_UNAVAILABLE', 'stopped'));
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
  // The race below may be over before the signal comes.
  stopped.catch(() => {});
  try {
    await Promise.race([new Demo(lab, options).run(), stopped]);
  } finally {
    if (signal.aborted) {
      narrator.mute();
      await Lab.closeAll();
    } else {
      await narrator.step('clean up', async () => {
        await lab.close();
        check(leftOf(lab).length === 0, `left behind: ${leftOf(lab).join(', ')}`);
        return 'cleaned up: namespaces, processes and files are gone';
      });
    }
  }
}

function leftOf(lab: Lab): string[] {
  const names = new Set(lab.namespaces.map(({ name }) => name));
  const namespaces = existsSync('/run/netns') ? readdirSync('/run/netns').filter((name) => names.has(name)) : [];
  return existsSync(lab.folder) ? [...namespaces, lab.folder] : namespaces;
}

class Demo {
  readonly #say: Narrator;
  #net!: Topology;
  #appliance!: LabAppliance;
  #client!: Xl2tpdClient;
  #guests: Promise<GuestPair> | null = null;
  /** Echo replies that come through the guests' tunnel. */
  #ping: ((count: number) => Promise<number>) | null = null;

  constructor(
    readonly lab: Lab,
    readonly options: DemoOptions,
  ) {
    this.#say = options.narrator;
  }

  async run(): Promise<void> {
    await this.#network();
    await this.#start();
    await this.#firstTunnel();
    await this.#moreTunnels();
    await this.#data();
    await this.#kernelPpp();
    await this.#drain();
    await this.#reload();
    await this.#crash();
    await this.#kill();
    await this.#end();
    await this.#access();
    await this.#gateways();
    await this.#pair();
    await this.#cost();
    if (this.options.keep) await this.#keep();
  }

  async #network(): Promise<void> {
    await this.#say.step('a network of namespaces', async () => {
      this.#net = await buildTopology(this.lab);
      return `a network of namespaces: client ${CLIENT}, designator, servers ${SERVERS.join(' and ')}`;
    });
    if (missingPackages(this.options.env, GUESTS).length === 0) {
      this.#guests = GuestPair.start(this.lab, this.#net);
      // It is waited for, and its failure seen, at its own step.
      this.#guests.catch(() => {});
    }
    await this.#say.step('L2TP servers', async () => {
      const servers = this.#net.servers.map(
        (namespace, index) => new Xl2tpdServer(this.lab, namespace, `lns${index + 1}`, { pool: `10.50.${index + 1}` }),
      );
      this.#client = new Xl2tpdClient(this.lab, this.#net.client, 'lac', { lns: VIP });
      for (const program of [...servers, this.#client]) await program.ready();
      return 'two real L2TP servers and a client (xl2tpd; PPP by slirp)';
    });
  }

  async #start(): Promise<void> {
    const { lab, options } = this;
    await this.#say.step('designator run', async () => {
      this.#appliance = new LabAppliance(lab, this.#net.designator, {
        self: options.self,
        config: exampleConfig({ weights: WEIGHTS }),
      });
      const { shards, io } = await this.#appliance.start();
      return `designator run: ready, ${shards} shards on ${io}`;
    });
    const vips = await this.#appliance.command('show', 'vips');
    await this.#say.step('the virtual address and its servers', async () => {
      const rows = vips
        .split('\n')
        .slice(1, 3)
        .map((line) => line.trim().split(/ {2,}/));
      check(rows[0]?.slice(0, 5).join() === `${VIP},1701,${SERVERS[0]},1701,1`, `unexpected: ${rows[0]}`);
      check(rows[1]?.join() === `${SERVERS[1]},1701,2`, `unexpected: ${rows[1]}`);
      return 'the virtual address and its servers (designator show vips)';
    });
    this.#say.block(vips);
  }

  async #firstTunnel(): Promise<void> {
    await this.#say.step('a client dials the virtual address', async () => {
      const { local } = await this.#client.connect(1);
      const [row] = await this.#appliance.established({ tunnel: local });
      check(row?.serverAddress === SERVERS[1], `the first tunnel went to ${row?.serverAddress}`);
      return `${CLIENT} dials ${VIP}: weighted round robin gives its tunnel to ${SERVERS[1]}`;
    });
    this.#say.block(await this.#appliance.command('show', 'tunnels', '--map'));
  }

  async #moreTunnels(): Promise<void> {
    await this.#say.step('a second tunnel of the same socket', async () => {
      await this.#client.connect(2);
      const rows = await this.#appliance.established();
      check(new Set(rows.map(({ client }) => client)).size === 1, 'the tunnels come from different sockets');
      check(servers(rows).join() === `${SERVERS[1]},${SERVERS[0]}`, `they went to ${servers(rows)}`);
      return `a second tunnel of the same client socket goes to ${SERVERS[0]}`;
    });
    await this.#say.step('five tunnels of one socket', async () => {
      for (let number = 3; number <= 5; number++) await this.#client.connect(number);
      const rows = await this.#appliance.established();
      const counts = SERVERS.map((address) => rows.filter(({ serverAddress }) => serverAddress === address).length);
      check(counts.join() === '2,3', `they went to ${servers(rows)}`);
      return `five tunnels of one client socket: ${counts[0]} at ${SERVERS[0]} (weight 1), ${counts[1]} at ${SERVERS[1]} (weight 2)`;
    });
  }

  async #data(): Promise<void> {
    await this.#say.step('PPP frames cross both ways', async () => {
      await this.#flowing();
      const { wrong } = await this.#strangers();
      check(wrong === '', wrong);
      return 'PPP frames cross both ways in all five tunnels';
    });
    this.#say.block(await this.#appliance.command('show', 'tunnels', '--wide'));
  }

  async #kernelPpp(): Promise<void> {
    const title = 'guests with PPP in their kernel';
    if (this.#guests === null) {
      return this.#say.leftOut(title, `apt-get install ${missingPackages(this.options.env, GUESTS).join(' ')} adds it`);
    }
    await this.#say.step(title, async () => {
      this.#appliance.write(this.#config(WEIGHTS));
      check((await this.#appliance.hangUp()).includes('"reloaded"'), 'the second virtual address was refused');
      const { local, peer, ping } = await (await (this.#guests as Promise<GuestPair>)).connect();
      this.#ping = ping;
      await this.#pings();
      return `two user-mode-linux guests with kernel PPP: ${local} pings ${peer} through its tunnel, 5 of 5`;
    });
  }

  async #drain(): Promise<void> {
    const old = await this.#appliance.established({ vip: 'access' });
    await this.#say.step('drain a server', async () => {
      await this.#appliance.command('server', 'drain', 'lns2');
      for (const number of [6, 7]) await this.#client.connect(number);
      const rows = await this.#appliance.established({ vip: 'access' });
      check(
        servers(rows.slice(5)).every((address) => address === SERVERS[0]),
        `new tunnels went to ${servers(rows.slice(5))}`,
      );
      this.#same(old, rows.slice(0, 5));
      await this.#flowing();
      await this.#appliance.command('server', 'enable', 'lns2');
      return `lns2 drains: two new tunnels avoid it, its ${old.filter(({ server }) => server === 'lns2').length} old ones go on`;
    });
  }

  async #reload(): Promise<void> {
    const rows = await this.#appliance.established();
    await this.#say.step('reload', async () => {
      this.#appliance.write(this.#config([4, 1]));
      check((await this.#appliance.hangUp()).includes('"reloaded"'), this.#appliance.process.tail(3));
      this.#same(rows, await this.#appliance.established());
      await this.#flowing();
      const [one, two] = await this.#appliance.servers();
      check(one.weight === 4 && two.weight === 1, `weights are ${one.weight} and ${two.weight}`);
      return 'SIGHUP with weights 4 and 1: no tunnel lost';
    });
    let problem = '';
    await this.#say.step('reload of a broken file', async () => {
      const text = this.#appliance.text();
      this.#appliance.writeText(text.replace('weighted-round-robin', 'weighted-robin'));
      const { status, stderr } = await this.#appliance.tryCommand('reload');
      this.#appliance.writeText(text);
      problem = stderr.split('\n')[0];
      check(status === 78, `status ${status}: ${stderr}`);
      check(/\.yaml:\d+:\d+: /.test(problem), `no place in: ${problem}`);
      this.#same(rows, await this.#appliance.established());
      return 'a reload of a broken file is refused with its place, and the old configuration goes on';
    });
    this.#say.block(problem);
  }

  async #crash(): Promise<void> {
    await this.#say.step('crash a shard', async () => {
      const rows = await this.#appliance.established();
      const { shard } = rows[0];
      await this.#appliance.crash(shard);
      this.#same(rows, await this.#appliance.established());
      await this.#flowing();
      await this.#pings();
      const row = (await this.#appliance.workers()).find((worker) => worker.shard === shard);
      check(row?.restarts === 1 && row.state === 'running', `shard ${shard}: ${JSON.stringify(row)}`);
      return `shard ${shard}, which forwards the client's tunnels, crashes and starts again: all ${rows.length} tunnels go on`;
    });
  }

  async #kill(): Promise<void> {
    await this.#say.step('SIGKILL', async () => {
      const [rows, calls] = [await this.#appliance.established(), this.#client.calls()];
      const inKernel = (await this.#appliance.workers()).every(({ io }) => io.startsWith('xdp'));
      if (inKernel) {
        await waitFor('all tunnels in the kernel', async () =>
          (await this.#appliance.established()).every(({ offloaded }) => offloaded),
        );
      }
      await this.#appliance.process.kill();
      // Nobody is there now but the kernel.
      if (inKernel) await this.#pings();
      const { tunnels } = await this.#appliance.start();
      check(tunnels === rows.length, `${tunnels} tunnels were adopted, there were ${rows.length}`);
      this.#same(rows, await this.#appliance.established());
      await this.#flowing();
      check(this.#client.calls() === calls, 'tunnels were set up again');
      await this.#pings();
      const meanwhile = inKernel && this.#ping !== null ? '; meanwhile the kernel forwards on, 5 of 5 pings' : '';
      return `SIGKILL for the whole designator${meanwhile}; a new one adopts all ${tunnels} tunnels, without a new set-up`;
    });
  }

  async #end(): Promise<void> {
    if (this.options.keep) return;
    await this.#say.step('SIGTERM', async () => {
      const began = performance.now();
      const { process } = this.#appliance;
      process.signal('SIGTERM');
      const status = await process.ended;
      const seconds = (performance.now() - began) / 1000;
      check(status === 0, `status ${status}\n${process.tail()}`);
      check(seconds < 10, `it took ${seconds.toFixed(1)} s`);
      const rules = await this.#net.designator.run('nft', ['list', 'ruleset']);
      check(rules.trim() === '', `nftables rules are left:\n${rules}`);
      check(!existsSync(this.#appliance.socket), 'the control socket is left');
      return `SIGTERM: ended in ${seconds.toFixed(1)} s, nothing left on the host`;
    });
  }

  async #access(): Promise<void> {
    const title = 'designator lac and designator lns';
    const missing = missingPackages(this.options.env, GUESTS);
    if (missing.length > 0) return this.#say.leftOut(title, `apt-get install ${missing.join(' ')} adds it`);
    let table = '';
    let scene: AccessScene | null = null;
    await this.#say.step(title, async () => {
      scene = await AccessScene.start(this.lab, this.options.self);
      const { local, peer } = await scene.call();
      const replies = await scene.ping(5);
      check(replies === 5, `${replies} of 5 echo replies`);
      table = await scene.lac.command('show', 'tunnels');
      return `a customer's PPPoE (pppd in a guest) through our LAC to our LNS: ${local} pings ${peer}, 5 of 5`;
    });
    this.#say.block(table);
    await this.#say.step('the LNS dies', async () => {
      if (scene === null) throw new Error('there is no call');
      const { replies, renegotiations } = await scene.killLns(PINGS);
      check(renegotiations === 0, 'PPP was negotiated anew');
      const again = await scene.ping(5);
      check(again === 5, `${again} of 5 echo replies afterwards`);
      table = await scene.lac.command('show', 'tunnels');
      return `SIGKILL for the LNS: its peer has the session, PPP and address unchanged, ${replies} of ${PINGS} pings meanwhile`;
    });
    this.#say.block(table);
  }

  async #gateways(): Promise<void> {
    let scene: GatewayScene | null = null;
    let table = '';
    await this.#say.step('designator gateway', async () => {
      scene = await GatewayScene.start(this.lab, this.options.self);
      const shares = await scene.shares();
      check(
        shares.every((hosts) => hosts === 2),
        `the hosts know ${shares.join(', ')}`,
      );
      table = await scene.table();
      return `three gateways answer ARP for one address with a virtual MAC of their own each: ${shares.join(' + ')} hosts`;
    });
    this.#say.block(table);
    await this.#say.step('the master of the gateways dies', async () => {
      if (scene === null) throw new Error('there are no gateways');
      const { hosts, ms, recovered } = await scene.kill(1);
      check(recovered, 'a host is still without a gateway');
      table = await scene.table();
      await scene.stop();
      return `the master's machine dies: another one answers and serves its hosts, ${hosts} lost a ping, the last for ${ms} ms`;
    });
    this.#say.block(table);
  }

  async #pair(): Promise<void> {
    let scene: PairScene | null = null;
    let table = '';
    await this.#say.step('two designators as one', async () => {
      scene = await PairScene.start(this.lab, this.options.self, PAIR_TUNNELS);
      table = await scene.table();
      return `two designators share one address: both know all ${PAIR_TUNNELS} tunnels, designator ${await scene.active()} forwards them`;
    });
    this.#say.block(table);
    await this.#say.step('the one that forwards dies', async () => {
      if (scene === null) throw new Error('there is no pair');
      const { dead, heir, ms } = await scene.kill();
      await scene.stop();
      return `SIGKILL for designator ${dead}: designator ${heir} has its address and goes on with all ${PAIR_TUNNELS} tunnels, data in each within ${(ms / 1000).toFixed(1)} s`;
    });
  }

  async #cost(): Promise<void> {
    const title = 'what forwarding costs';
    const bench = await loadForwardBench();
    if (bench === null) return this.#say.leftOut(title, 'the benchmark is not built: npm run build');
    let table = '';
    await this.#say.step(title, async () => {
      const rows = await bench(this.options);
      for (const peer of BENCH_PEERS) {
        const kpps = rows.find((row) => row.peer === peer)?.kpps ?? 0;
        check(kpps > LEAST_KPPS, `${peer} forwarded next to nothing`);
      }
      table = forwardTable(rows);
      return 'what forwarding costs, CPU time a packet (a short run: designator bench forward measures properly)';
    });
    this.#say.block(table);
  }

  async #keep(): Promise<void> {
    const { designator, client, servers: lns } = this.#net;
    this.#say.block(
      [
        'The network stays up until Ctrl-C. To enter it:',
        ...[designator, client, ...lns].map(({ name, short }) => `  ip netns exec ${name} sh    # ${short}`),
        `  ${this.options.self.join(' ')} show tunnels -c ${this.#appliance.file}`,
      ].join('\n'),
    );
    await new Promise(() => {});
  }

  #config(weights: readonly number[]): Record<string, unknown> {
    const config = exampleConfig({ weights });
    if (this.#guests === null) return config;
    const second = { name: 'kernel', address: GUEST_VIP, servers: [{ name: 'lns3', address: GUEST_SERVER }] };
    return { ...config, vips: [...(config.vips as object[]), second] };
  }

  /** Waits until every tunnel of the client has carried more, both ways. */
  async #flowing(): Promise<void> {
    const before = new Map(
      (await this.#appliance.established({ vip: 'access' })).map((row) => [row.clientTunnelId, row]),
    );
    await waitFor(
      'data in both directions of every tunnel',
      async () => {
        const rows = await this.#appliance.established({ vip: 'access' });
        return [...before].every(([id, old]) => {
          const row = rows.find(({ clientTunnelId }) => clientTunnelId === id);
          return (
            row !== undefined && row.packetsIn >= old.packetsIn + FLOWING && row.packetsOut >= old.packetsOut + FLOWING
          );
        });
      },
      10_000,
      () => this.#appliance.command('show', 'tunnels', '--wide'),
    );
  }

  async #pings(): Promise<void> {
    const replies = (await this.#ping?.(5)) ?? 5;
    check(replies === 5, `${replies} of 5 echo replies through the guests' tunnel`);
  }

  /** Packets that were dropped although nothing here should be. */
  async #strangers(): Promise<{ wrong: string }> {
    const drops = Object.entries(await this.#appliance.drops());
    return { wrong: drops.map(([reason, packets]) => `${packets} packets dropped: ${reason}`).join(', ') };
  }

  /** The same tunnels at the same servers. */
  #same(before: readonly TunnelRow[], after: readonly TunnelRow[]): void {
    const places = (rows: readonly TunnelRow[]): string =>
      rows
        .map((row) => `${row.client} ${row.clientTunnelId} ${row.serverAddress} ${row.serverTunnelId}`)
        .sort()
        .join('\n');
    check(places(before) === places(after), `tunnels changed:\n${places(before)}\nnow:\n${places(after)}`);
  }
}

const servers = (rows: readonly TunnelRow[]): string[] => rows.map(({ serverAddress }) => serverAddress);

function check(holds: boolean, otherwise: string): void {
  if (!holds) throw new Error(otherwise);
}
