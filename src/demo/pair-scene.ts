/** Two designators that share an address and their tunnels, in front of two xl2tpd servers: the death of the one that forwards. */
import type { TunnelRow } from '../ops/appliance.js';
import { LabError } from './lab/command.js';
import { busAddress, DesignatorFarm, serverAddress, vipAddress } from './lab/designator-farm.js';
import type { Lab } from './lab/lab.js';
import { waitFor } from './lab/wait.js';
import { Xl2tpdClient, Xl2tpdServer } from './lab/xl2tpd.js';

const MEMBERS = 2;
const SERVERS = 2;
/** Packets that each direction of a tunnel must have more. */
const FLOWING = 2;
/** Control messages are about five each way: who has so many packets carries data. */
const CARRIES = 10;
const SECRET = 'a secret of both designators';

export interface PairDeath {
  /** Number of the one that was killed, and of the other one. */
  readonly dead: number;
  readonly heir: number;
  /** From the death until data crossed in every tunnel again. */
  readonly ms: number;
}

export class PairScene {
  private constructor(
    readonly farm: DesignatorFarm,
    readonly client: Xl2tpdClient,
  ) {}

  /** `self`: the words that start the program. Resolves when `tunnels` are up and both designators know them. */
  static async start(lab: Lab, self: readonly [string, string], tunnels: number): Promise<PairScene> {
    const farm = await DesignatorFarm.open(lab, {
      self,
      members: MEMBERS,
      servers: SERVERS,
      clients: 1,
      prefix: 'pr',
      config: (number) => ({ vips: vips(), cluster: cluster(number) }),
    });
    const servers = farm.servers.map(
      (space, n) => new Xl2tpdServer(lab, space, `pair-lns${n + 1}`, { pool: `10.52.${n}` }),
    );
    const client = new Xl2tpdClient(lab, farm.clients[0], 'pair-lac', { lns: vipAddress(0), tunnels });
    await Promise.all([farm.start(), ...servers.map((server) => server.ready()), client.ready()]);
    const scene = new PairScene(farm, client);
    for (let number = 1; number <= tunnels; number++) await client.connect(number);
    const tables = (): Promise<TunnelRow[][]> => Promise.all(farm.members.map((member) => member.established()));
    await waitFor('both designators to know all tunnels', async () =>
      (await tables()).every((rows) => rows.length === tunnels),
    );
    // PPP is asked for once only: a death in that moment would leave a session silent. Each way may cross another member.
    await waitFor('data in every tunnel', async () => {
      const rows = (await tables()).flat();
      const most = (name: string, of: (row: TunnelRow) => number): number =>
        Math.max(...rows.filter((row) => nameOf(row) === name).map(of));
      return rows
        .map(nameOf)
        .every(
          (name) => most(name, (row) => row.packetsIn) >= CARRIES && most(name, (row) => row.packetsOut) >= CARRIES,
        );
    });
    return scene;
  }

  /** The designator that the client's packets go to. */
  active(): Promise<number> {
    return this.farm.memberOf(this.farm.clients[0]);
  }

  /** `designator show cluster` of a living member. */
  table(): Promise<string> {
    return this.farm.member(this.farm.living[0]).command('show', 'cluster');
  }

  /** SIGKILL for the one that forwards; resolves when every tunnel carries data through the other one. LabError if one ended. */
  async kill(): Promise<PairDeath> {
    const dead = await this.active();
    const heir = MEMBERS + 1 - dead;
    const other = this.farm.member(heir);
    const names = nameAll(await other.established());
    const began = performance.now();
    await this.farm.member(dead).process.kill();
    const before = await other.established();
    await waitFor(
      'data in both directions of every tunnel',
      async () => {
        const rows = new Map((await other.established()).map((row) => [nameOf(row), row]));
        return before.every((old) => {
          const row = rows.get(nameOf(old));
          return (
            row !== undefined && row.packetsIn >= old.packetsIn + FLOWING && row.packetsOut >= old.packetsOut + FLOWING
          );
        });
      },
      10_000,
      () => other.command('show', 'tunnels', '--wide'),
    );
    const ms = performance.now() - began;
    const now = nameAll(await other.established());
    if (now !== names) throw new LabError(`tunnels changed:\n${names}\nnow:\n${now}`);
    return { dead, heir, ms };
  }

  async stop(): Promise<void> {
    await this.farm.stop();
  }
}

const nameOf = (row: TunnelRow): string =>
  `${row.client} ${row.clientTunnelId} ${row.serverAddress} ${row.serverTunnelId}`;
const nameAll = (rows: readonly TunnelRow[]): string => rows.map(nameOf).sort().join('\n');

function vips(): object[] {
  const servers = Array.from({ length: SERVERS }, (_, n) => ({ name: `lns${n + 1}`, address: serverAddress(n) }));
  return [{ name: 'access', address: vipAddress(0), protocols: ['l2tp'], algorithm: 'maglev', servers }];
}

function cluster(number: number): object {
  const peers = Array.from({ length: MEMBERS }, (_, n) => ({ number: n + 1, address: busAddress(n + 1) }));
  const bus = { driver: 'udp', address: busAddress(number), peers, secret: SECRET };
  return { name: 'demo', number, member: `designator${number}`, bus };
}
