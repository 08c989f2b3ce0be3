/**
 * Whole shards against a model of a few Maps: random clients, requests, answers, copies, ends and time. The model says
 * where every message must go; after every step the table's memory must agree with itself. `FUZZ_RUNS` raises the count.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PORT_INSIDE, PORT_OUTSIDE } from '../../src/io/port.js';
import { FUZZ_RUNS } from '../helpers/fuzz.js';
import { configOf, MemoryAppliance } from '../helpers/memory-appliance.js';
import { l2tpData, scccn, sccrp, sccrq, stopccn, udpFrame, viewOf } from '../helpers/packet-builder.js';
import { brokenInvariants } from '../helpers/table-invariants.js';

const VIP = '200.200.100.1';
const WEIGHTS: Record<string, number> = { '10.10.1.1': 1, '10.10.1.2': 2, '10.10.1.3': 1 };
const SERVERS = Object.keys(WEIGHTS);
const CONNECTIONS = 16;
const CONFIG = configOf(`
vips:
  - name: access
    address: ${VIP}
    servers: [${SERVERS.map((address, n) => `{ name: s${n}, address: ${address}, weight: ${WEIGHTS[address]} }`).join(', ')}]
timeouts: { halfOpen: 60s, idle: 600s, closing: 35s }
table: { connections: ${CONNECTIONS} }
firewall: { tunnelRequestRate: { duplicates: 0ms } }
`);
const CLIENTS = ['192.128.10.5:1701', '192.128.10.5:4000', '192.128.10.6:1701'];

interface Tunnel {
  readonly client: string;
  readonly id: number;
  readonly server: string;
  /** The server's id, 0 before its answer; what the client is shown instead. */
  serverId: number;
  shownId: number;
  state: 'half-open' | 'established' | 'closing';
  /** Seconds. */
  seen: number;
  closedAt: number;
  establishedAt: number;
  /** Late copies of its request are no longer expected: the request's key is free. */
  forgotten: boolean;
  /** It is closing and its ids belong to a tunnel that came after it. */
  replaced: boolean;
}

/** Tunnels by client and client's id: what there is at most once while it is not closing. */
class Model {
  readonly tunnels = new Map<string, Tunnel>();
  readonly #current = new Map(SERVERS.map((server) => [server, 0]));
  now = 1000;

  /** Smooth weighted round robin, from its definition. */
  designate(): string {
    let best = SERVERS[0];
    for (const server of SERVERS) {
      this.#current.set(server, (this.#current.get(server) as number) + WEIGHTS[server]);
      if ((this.#current.get(server) as number) > (this.#current.get(best) as number)) best = server;
    }
    const total = SERVERS.reduce((sum, server) => sum + WEIGHTS[server], 0);
    this.#current.set(best, (this.#current.get(best) as number) - total);
    return best;
  }

  /** What time takes away. */
  age(): void {
    for (const [key, tunnel] of this.tunnels) {
      const { state, seen, closedAt } = tunnel;
      if (state === 'established' && this.now >= tunnel.establishedAt + 35) tunnel.forgotten = true;
      const limit = state === 'half-open' ? 60 : 600;
      const gone = state === 'closing' ? this.now >= closedAt + 35 : this.now >= seen + limit;
      if (gone) this.tunnels.delete(key);
    }
  }

  /** Tunnels of the client that another one must not be taken for. */
  shown(client: string, id: number): boolean {
    return [...this.tunnels.values()].some((t) => t.client === client && t.shownId === id && t.state !== 'closing');
  }
}

interface World {
  readonly appliance: MemoryAppliance;
}

const keyOf = (client: string, id: number): string => `${client}/${id}`;

/** [source, destination] of a frame that was sent, null when none was. */
function ends(appliance: MemoryAppliance, frame: Uint8Array, ingress: number, shard: number) {
  const { sent, passed } = appliance.send(frame, ingress, shard);
  expect(passed).toEqual([]);
  if (sent.length === 0) return null;
  expect(sent.length).toBe(1);
  const view = viewOf(sent[0].frame);
  const at = (ip: number, port: number): string =>
    `${[...sent[0].frame.subarray(ip, ip + 4)].join('.')}:${view.getUint16(port)}`;
  return { from: at(26, 34), to: at(30, 36), view };
}

type Command = fc.Command<Model, World>;

/** The n-th tunnel that there is, in the order of making. */
function pick(model: Model, n: number): [string, Tunnel] {
  const all = [...model.tunnels];
  return all[n % all.length];
}

class Request implements Command {
  constructor(
    readonly client: string,
    readonly id: number,
    readonly shard: number,
  ) {}
  /** A client that uses an id again while its old tunnel stands and nobody remembers the request is another story. */
  check(model: Readonly<Model>): boolean {
    return model.tunnels.get(keyOf(this.client, this.id))?.state !== 'established';
  }
  run(model: Model, { appliance }: World): void {
    const key = keyOf(this.client, this.id);
    const known = model.tunnels.get(key);
    const way = ends(
      appliance,
      udpFrame(this.client, `${VIP}:1701`, sccrq({ assigned: this.id })),
      PORT_OUTSIDE,
      this.shard,
    );
    if (known?.state === 'half-open') {
      known.seen = model.now;
      expect(way).toMatchObject({ from: this.client, to: `${known.server}:1701` });
      return;
    }
    model.tunnels.delete(key);
    if (known?.forgotten) model.tunnels.set(`${key}#${model.tunnels.size}#${model.now}`, { ...known, replaced: true });
    const full = model.tunnels.size >= CONNECTIONS;
    const server = model.designate();
    if (full) return expect(way).toBeNull();
    model.tunnels.set(key, {
      client: this.client,
      id: this.id,
      server,
      serverId: 0,
      shownId: 0,
      state: 'half-open',
      seen: model.now,
      closedAt: 0,
      establishedAt: 0,
      forgotten: false,
      replaced: false,
    });
    expect(way).toMatchObject({ from: this.client, to: `${server}:1701` });
  }
  toString = (): string => `request ${this.client} ${this.id} @${this.shard}`;
}

class Answer implements Command {
  constructor(
    readonly n: number,
    readonly id: number,
    readonly shard: number,
  ) {}
  check(model: Readonly<Model>): boolean {
    return model.tunnels.size > 0;
  }
  run(model: Model, { appliance }: World): void {
    const [, tunnel] = pick(model, this.n);
    if (tunnel.replaced) return;
    const id = tunnel.serverId || this.id; // a copy says what the first said
    const payload = sccrp({ tunnel: tunnel.id, assigned: id });
    const way = ends(appliance, udpFrame(`${tunnel.server}:1701`, tunnel.client, payload), PORT_INSIDE, this.shard);
    expect(way).toMatchObject({ from: `${VIP}:1701`, to: tunnel.client });
    tunnel.seen = model.now;
    const shown = viewOf(payload).byteLength - 8 + 42 - 2; // AVP 9 stands before the last, of 8 bytes
    const told = (way as { view: DataView }).view.getUint16(shown);
    if (tunnel.state !== 'half-open' || tunnel.serverId !== 0) {
      if (tunnel.shownId !== 0) expect(told).toBe(tunnel.shownId);
      return;
    }
    if (model.shown(tunnel.client, id)) expect(model.shown(tunnel.client, told)).toBe(false);
    else expect(told).toBe(id);
    tunnel.serverId = id;
    tunnel.shownId = told;
    // A closing tunnel gives up its way in where a new one needs it.
    for (const other of model.tunnels.values()) {
      if (other !== tunnel && other.client === tunnel.client && other.shownId === told) other.shownId = 0;
    }
  }
  toString = (): string => `answer ${this.n} with ${this.id} @${this.shard}`;
}

class FromClient implements Command {
  constructor(
    readonly what: 'connected' | 'data' | 'close',
    readonly n: number,
    readonly shard: number,
  ) {}
  check(model: Readonly<Model>): boolean {
    return model.tunnels.size > 0;
  }
  run(model: Model, { appliance }: World): void {
    const [, tunnel] = pick(model, this.n);
    if (tunnel.shownId === 0 || tunnel.replaced) return;
    const header = { tunnel: tunnel.shownId };
    const payload =
      this.what === 'connected'
        ? scccn(header)
        : this.what === 'data'
          ? l2tpData({ ...header, session: 1 })
          : stopccn({ ...header, assigned: tunnel.id });
    const way = ends(appliance, udpFrame(tunnel.client, `${VIP}:1701`, payload), PORT_OUTSIDE, this.shard);
    expect(way).toMatchObject({ from: tunnel.client, to: `${tunnel.server}:1701` });
    // Whatever the client was shown, the server hears its own id.
    expect((way as { view: DataView }).view.getUint16(this.what === 'data' ? 44 : 46)).toBe(tunnel.serverId);
    tunnel.seen = model.now;
    if (this.what === 'connected' && tunnel.state === 'half-open') {
      tunnel.state = 'established';
      tunnel.establishedAt = model.now;
    }
    if (this.what === 'close' && tunnel.state !== 'closing') {
      tunnel.state = 'closing';
      tunnel.closedAt = model.now;
    }
  }
  toString = (): string => `${this.what} from client of ${this.n} @${this.shard}`;
}

class Pass implements Command {
  constructor(readonly seconds: number) {}
  check(): boolean {
    return true;
  }
  run(model: Model, { appliance }: World): void {
    model.now += this.seconds;
    appliance.at(model.now);
    model.age();
  }
  toString = (): string => `${this.seconds} s pass`;
}

/** After every command: the same tunnels in the same states, and a table in order. */
function agrees(model: Model, { appliance }: World): void {
  const rows = appliance.rows
    .tunnels()
    .map((row) => `${row.client}/${row.clientTunnelId} ${row.serverAddress} ${row.serverTunnelId ?? 0} ${row.state}`);
  const all = [...model.tunnels.values()];
  // A closing tunnel that has given up both ways to the one that came after it waits unseen for its end.
  const unseen = (t: Tunnel): boolean =>
    t.replaced &&
    t.shownId === 0 &&
    all.some((o) => o !== t && o.client === t.client && o.id === t.id && o.server === t.server);
  const should = [...model.tunnels]
    .filter(([, t]) => !unseen(t))
    .map(([key, t]) => `${key.split('#')[0]} ${t.server} ${t.serverId} ${t.state}`);
  expect(rows.sort()).toEqual(should.sort());
  expect(brokenInvariants(appliance.memory)).toEqual([]);
}

class Checked implements Command {
  constructor(readonly inner: Command) {}
  check(model: Readonly<Model>): boolean {
    return this.inner.check(model) as boolean;
  }
  run(model: Model, world: World): void {
    this.inner.run(model, world);
    agrees(model, world);
  }
  toString = (): string => String(this.inner);
}

const client = fc.constantFrom(...CLIENTS);
/** Few ids, so that servers choose alike and clients come again. */
const id = fc.integer({ min: 1, max: 5 });
const shard = fc.nat(2);
const commands = [
  fc.tuple(client, id, shard).map(([c, i, s]) => new Request(c, i, s)),
  fc.tuple(fc.nat(20), id, shard).map(([n, i, s]) => new Answer(n, i, s)),
  fc
    .tuple(fc.constantFrom('connected', 'data', 'close'), fc.nat(20), shard)
    .map(([what, n, s]) => new FromClient(what as 'data', n, s)),
  fc.constantFrom(1, 5, 34, 35, 59, 61, 300).map((seconds) => new Pass(seconds)),
].map((arbitrary) => (arbitrary as fc.Arbitrary<Command>).map((command) => new Checked(command)));

test('three shards do as the model says', () => {
  fc.assert(
    fc.property(fc.commands(commands, { maxCommands: 80, size: 'max' }), (script) => {
      const world = { appliance: new MemoryAppliance(CONFIG, { shards: 3 }) };
      const model = new Model();
      fc.modelRun(() => ({ model, real: world }), script);
      world.appliance.at(model.now + 3000);
      expect(world.appliance.rows.totals()).toMatchObject({ entries: 0, tunnels: 0, sessions: 0 });
    }),
    { numRuns: Math.max(1, Math.floor(FUZZ_RUNS / 20)), endOnFailure: true },
  );
});
