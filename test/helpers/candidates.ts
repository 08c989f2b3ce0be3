/**
 * Endpoints of a cluster that all stand for election as its master (document 001, FIG. 4, with the master at one of the
 * endpoints), in a network of namespaces:
 *
 *   client 192.128.10.11 ── wan ── router ── lan ── endpoints: 10.10.1.n local, 200.200.100.1n global
 *                                                   VIP 200.200.100.1, at whoever is master
 *
 * The same for IPv6 with 2001:db8:10::/64, fd00:1::/64 and 2001:db8:64::/64. Endpoints 1 and 2 are ours; 3 is xl2tpd with
 * an agent beside it, which carries the master part there.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { LabAppliance } from '../../src/demo/lab/appliance.js';
import type { Daemon } from '../../src/demo/lab/daemon.js';
import { LabEndpoint } from '../../src/demo/lab/endpoint.js';
import type { Bridge, Lab } from '../../src/demo/lab/lab.js';
import type { Namespace } from '../../src/demo/lab/namespace.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { Xl2tpdServer } from '../../src/demo/lab/xl2tpd.js';
import type { FarmGatewayRow } from '../../src/demo/lab/designator-farm.js';
import type { ServerRow } from '../../src/ops/appliance.js';
import type { CandidateRow } from '../../src/roles/candidate/candidate.js';
import { SELF } from './lab.js';
import { LabGenerator } from './lab-generator.js';

export const VIP = '200.200.100.1';
export const VIP6 = '2001:db8:64::1';
/** Of the endpoint that is xl2tpd. */
export const OTHER_VIP = '200.200.100.2';
export const USER = { name: 'user', password: 's3cret' };
const OURS = 2;
export const ENDPOINTS = 3;
const ROUTER = '200.200.100.254';
const ROUTER6 = '2001:db8:64::fe';
const KEY = { text: 'a key of all candidates' };
const LOAD_SECRET = 'a secret of all endpoints';
const SETTLED_MS = 40_000;
const PINGS_PER_SECOND = 5;

const local = (number: number): string => `10.10.1.${number}`;
const global = (number: number): string => `200.200.100.${10 + number}`;
const local6 = (number: number): string => `fd00:1::${number}`;
const global6 = (number: number): string => `2001:db8:64::1${number}`;

/** An endpoint and the master part that it carries. */
export interface CandidateMachine {
  readonly number: number;
  readonly box: Namespace;
  /** Configuration and socket of the master part; its process is started by the endpoint. */
  readonly master: LabAppliance;
  /** null: the endpoint is not ours. */
  readonly lns: LabEndpoint | null;
  /** What carries the master part. */
  carrier: Daemon | null;
  /** xl2tpd. */
  server: Xl2tpdServer | null;
  alive: boolean;
}

export interface CandidatesOptions {
  /** Keys of every master part's file. */
  readonly master?: Readonly<Record<string, unknown>>;
  /** Of every group. */
  readonly group?: Readonly<Record<string, unknown>>;
}

export class Candidates {
  wan!: Bridge;
  lan!: Bridge;
  client!: Namespace;
  readonly machines: CandidateMachine[] = [];

  private constructor(
    readonly lab: Lab,
    readonly options: CandidatesOptions,
  ) {}

  /** Everything runs, and there is one master, when it resolves. */
  static async open(lab: Lab, options: CandidatesOptions = {}): Promise<Candidates> {
    const scene = new Candidates(lab, options);
    scene.wan = await lab.bridge('wan');
    scene.lan = await lab.bridge('lan');
    const router = await lab.namespace('router');
    await lab.plug(scene.wan, router, 'wan0', ['192.128.10.1/24', '2001:db8:10::1/64']);
    await lab.plug(scene.lan, router, 'lan0', [`${ROUTER}/24`, `${ROUTER6}/64`]);
    await router.sysctl('net.ipv4.ip_forward', 1);
    await router.sysctl('net.ipv6.conf.all.forwarding', 1);
    await router.ip('route add 10.10.1.0/24 dev lan0');
    scene.client = await lab.namespace('client');
    await lab.plug(scene.wan, scene.client, 'eth0', ['192.128.10.11/24', '2001:db8:10::11/64']);
    await scene.client.ip('route add default via 192.128.10.1', 'route add default via 2001:db8:10::1');
    for (let number = 1; number <= ENDPOINTS; number++) await scene.#add(number);
    // The one that is there first is master: it has listened when the others are ready.
    const [first, ...others] = scene.machines;
    await scene.start(first);
    await Promise.all(others.map((machine) => scene.start(machine)));
    await scene.settled();
    return scene;
  }

  async #add(number: number): Promise<void> {
    const { lab } = this;
    const box = await lab.namespace(`e${number}`);
    const addresses = [`${global(number)}/24`, `${local(number)}/24`, `${global6(number)}/64`, `${local6(number)}/64`];
    await lab.plug(this.lan, box, 'lan0', addresses);
    await box.ip(`route add default via ${ROUTER}`, `route add default via ${ROUTER6}`);
    const master = new LabAppliance(lab, box, {
      self: SELF,
      name: `master${number}`,
      config: this.#masterFile(number),
    });
    const lns = number > OURS ? null : new LabEndpoint(lab, box, this.#lnsOptions(number, master.file));
    this.machines.push({ number, box, master, lns, carrier: null, server: null, alive: false });
  }

  #masterFile(number: number): Record<string, unknown> {
    const vip = (name: string, address: string, servers: object[]): object => ({
      name,
      address,
      protocols: ['l2tp'],
      algorithm: 'maglev',
      reply: 'direct',
      servers,
    });
    const ours = (address: (number: number) => string, globalAddress: (number: number) => string, suffix: string) =>
      Array.from({ length: OURS }, (_, n) => ({
        name: `lns${n + 1}${suffix}`,
        address: address(n + 1),
        globalAddress: globalAddress(n + 1),
      }));
    return {
      interfaces: { outside: 'lan0', inside: 'lan0' },
      workers: 1,
      part: 'master',
      health: { slowStart: '0s', active: { type: 'icmp', every: '500ms' } },
      vips: [
        vip('access', VIP, ours(local, global, '')),
        vip('access6', VIP6, ours(local6, global6, 'six')),
        vip('wholesale', OTHER_VIP, [{ name: 'xl2tpd3', address: local(3) }]),
      ],
      gateway: {
        outside: {
          group: 7,
          number,
          key: KEY,
          algorithm: 'master',
          adverts: { interval: '200ms' },
          priority: 110 - number,
          ...this.options.group,
        },
      },
      ...this.options.master,
    };
  }

  #lnsOptions(number: number, file: string) {
    return {
      role: 'lns' as const,
      self: SELF,
      name: `lns${number}`,
      users: [USER],
      config: {
        name: `lns${number}`,
        listen: [local(number), local6(number)],
        answerFrom: [
          { listen: local(number), address: global(number) },
          { listen: local6(number), address: global6(number) },
        ],
        workers: 1,
        pools: [{ name: 'all', ipv4: `10.${70 + number}.0.0/24` }],
        master: { config: file },
      },
    };
  }

  /** The endpoint, which starts its master part. */
  async start(machine: CandidateMachine): Promise<void> {
    const { box, lns, master, number } = machine;
    if (lns !== null) {
      await lns.start();
      machine.carrier = lns.process;
    } else {
      machine.server ??= new Xl2tpdServer(this.lab, box, `xl2tpd${number}`, { pool: '10.79.0' });
      await machine.server.ready();
      const file = join(this.lab.folder, 'agent.yaml');
      const config = {
        server: 'xl2tpd3',
        designators: `${VIP}:1800`,
        secret: LOAD_SECRET,
        master: { config: master.file },
      };
      writeFileSync(file, stringify(config));
      machine.carrier = box.start(`agent${number}`, SELF[0], [SELF[1], 'agent', '-c', file]);
    }
    machine.alive = true;
    await machine.carrier.waitForLine(/"msg":"master part ready"/, SETTLED_MS);
  }

  get living(): CandidateMachine[] {
    return this.machines.filter(({ alive }) => alive);
  }

  machine(number: number): CandidateMachine {
    return this.machines[number - 1];
  }

  /** Members of the group as this machine's master part sees them. */
  gateways(machine: CandidateMachine): Promise<FarmGatewayRow[]> {
    return machine.master.control('GET', '/v1/gateways');
  }

  /** Resolves with the master when it is one of these, and all of these see it and each other. */
  async settled(living = this.living): Promise<CandidateMachine> {
    let seen: unknown = null;
    const numbers = living.map(({ number }) => number);
    const master = await waitFor(
      `candidates ${numbers.join()} to agree`,
      async () => {
        const tables = await Promise.all(living.map((machine) => this.gateways(machine).catch(() => [])));
        seen = tables;
        const masters = tables.map((rows) => rows.find(({ master }) => master)?.gateway ?? 0);
        const known = tables.every((rows) =>
          numbers.every((number) =>
            rows.some(({ gateway, alive, verified, able }) => gateway === number && alive && verified && able),
          ),
        );
        return known && numbers.includes(masters[0]) && new Set(masters).size === 1 ? masters[0] : null;
      },
      SETTLED_MS,
      () => JSON.stringify(seen),
    );
    return this.machine(master);
  }

  /** Tunnels, each with one session that pings all the time; they are held until the lab ends. */
  async dial(label: string, lns: string, tunnels: number): Promise<void> {
    // A socket each: until it is known that a client follows, the tunnels of one port are kept at one endpoint.
    const more = ['--user', USER.name, '--methods', 'chap-md5', '--sockets', `${tunnels}`];
    const options = { self: SELF, lns, tunnels, traffic: `ping:64@${PINGS_PER_SECOND}`, password: USER.password, more };
    await new LabGenerator(this.client, label, options).held();
  }

  /** How many tunnels stand at each of our endpoints that live; 0 at the others. */
  tunnelsAt(): Promise<number[]> {
    return Promise.all(
      this.machines.slice(0, OURS).map(async ({ lns, alive }) => {
        if (lns === null || !alive) return 0;
        return (await lns.tunnels<{ state: string }>()).filter(({ state }) => state === 'established').length;
      }),
    );
  }

  async #marks(): Promise<Map<string, number>> {
    const marks = new Map<string, number>();
    for (const { lns } of this.living)
      for (const row of (await lns?.sessions()) ?? [])
        if (row.state === 'up') marks.set(`${lns?.name} ${row.tunnelId}/${row.sessionId}`, row.packetsIn);
    return marks;
  }

  /** Resolves when each session that is up now has carried more. LabError names those that have not. */
  async flowing(): Promise<void> {
    const before = await this.#marks();
    let silent: string[] = [];
    await waitFor(
      'data in every tunnel',
      async () => {
        const now = await this.#marks();
        silent = [...before].filter(([name, packets]) => (now.get(name) ?? 0) < packets + 2).map(([name]) => name);
        return before.size > 0 && silent.length === 0;
      },
      SETTLED_MS,
      () => `${silent.length} of ${before.size} are silent, as ${silent.slice(0, 5).join(', ')}`,
    );
  }

  /** Resolves when this machine's master part has the server in this state. */
  async serverState({ master }: CandidateMachine, name: string, state: string): Promise<void> {
    let last: unknown = null;
    await waitFor(
      `${name} to be ${state}`,
      async () => {
        const rows = await master.control<ServerRow[]>('GET', '/v1/servers');
        last = rows.find((row) => row.name === name);
        return (last as ServerRow | undefined)?.state === state;
      },
      SETTLED_MS,
      () => JSON.stringify(last),
    );
  }

  /** Process of the master part of one of our endpoints, as the endpoint says. */
  async part(machine: CandidateMachine): Promise<CandidateRow> {
    if (machine.lns === null) throw new Error(`endpoint ${machine.number} has no control socket`);
    const [row] = await machine.lns.control<CandidateRow[]>('GET', '/v1/master');
    return row;
  }

  /** kill −9 of all processes of the machine, and its wire. */
  async killMachine(machine: CandidateMachine): Promise<void> {
    const { box, carrier, lns } = machine;
    const { process: pid } = lns === null ? { process: null } : await this.part(machine);
    machine.alive = false;
    carrier?.signal('SIGKILL');
    if (pid !== null) process.kill(pid, 'SIGKILL');
    await box.ip('link set lan0 down');
    await carrier?.ended;
  }

  /** The machine is there again, with new processes. */
  async revive(machine: CandidateMachine): Promise<void> {
    const { box, number } = machine;
    await box.ip(
      'link set lan0 up',
      `addr replace ${global6(number)}/64 dev lan0 nodad`,
      `addr replace ${local6(number)}/64 dev lan0 nodad`,
      `route replace default via ${ROUTER}`,
      `route replace default via ${ROUTER6}`,
    );
    await this.start(machine);
  }
}
