/** Orders about servers between two designators: what each does of them, and what only one does. */
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { parseConfig } from '../../../src/config/load.js';
import { ServerStates } from '../../../src/designation/server-states.js';
import { SERVER_STATE } from '../../../src/flow/layout.js';
import { EventLog } from '../../../src/ops/events.js';
import type { ServerCommand } from '../../../src/ops/appliance.js';
import { Binding } from '../../../src/roles/designator/binding.js';
import type { ClusterDesk, NoticeHandler } from '../../../src/roles/designator/cluster/cluster-desk.js';
import { ServerOrders } from '../../../src/roles/designator/cluster/server-orders.js';
import { ServerCommands } from '../../../src/roles/designator/drains.js';
import { InactivationKeeper } from '../../../src/roles/designator/inactivation-keeper.js';
import { newMemory } from '../../flow/memory.js';

const CONFIG = {
  interfaces: { outside: 'wan0', inside: 'lan0' },
  vips: [
    {
      name: 'access',
      address: '200.200.100.1',
      servers: [1, 2].map((n) => ({ name: `lns${n}`, address: `10.10.1.${n}`, loadStatus: { tunnels: 100 } })),
      inactivate: { command: { on: ['/bin/power', 'on'], off: ['/bin/power', 'off'] } },
    },
  ],
  cluster: { name: 'pop1', number: 1 },
};
const NAMES = new Map<number, string>(Object.entries(SERVER_STATE).map(([name, state]) => [state, name]));

class Member {
  readonly power: string[] = [];
  readonly closed: number[] = [];
  decides = false;
  now = 1000;
  readonly #memory = newMemory(64);
  readonly #states = new ServerStates(this.#memory, () => this.now);
  readonly binding = new Binding(this.#memory, this.#states);
  readonly keeper: InactivationKeeper;
  readonly commands: ServerCommands;
  readonly orders: ServerOrders;
  hear: NoticeHandler = () => undefined;

  constructor(
    readonly number: number,
    send: (body: Uint8Array) => void,
  ) {
    const { config, problems } = parseConfig('test.yaml', JSON.stringify(CONFIG));
    if (config === null) throw new Error(JSON.stringify(problems));
    this.binding.bind(config, 0);
    const logger = pino({ level: 'silent' });
    const events = new EventLog();
    const closeTunnels = (server: number): void => void this.closed.push(server);
    this.keeper = new InactivationKeeper({
      binding: this.binding,
      states: this.#states,
      logger,
      events,
      now: () => this.now,
      closeTunnels,
      heardLoad: () => null,
      hearsLoad: () => false,
      answered: () => null,
      checksActively: () => false,
      power: {
        run: async (argv: readonly string[], { server }: { readonly server: string }) => {
          this.power.push(`${argv[1]} ${server}`);
          return { fault: null, output: '' };
        },
        stop: () => undefined,
      } as never,
    });
    this.keeper.setConfig(config);
    this.keeper.decides = () => this.decides;
    this.commands = new ServerCommands(
      this.#memory,
      this.binding,
      () => this.now,
      this.#states,
      closeTunnels,
      this.keeper,
    );
    this.orders = new ServerOrders({
      desk: {
        number,
        log: logger,
        now: () => this.now,
        notify: (_kind: string, body: Uint8Array) => send(body),
        onNotice: (_kind: string, handler: NoticeHandler) => {
          this.hear = handler;
        },
        onChange: () => undefined,
      } as unknown as ClusterDesk,
      events,
      run: (command) => void this.commands.run(command),
      follow: (server, fact) => this.keeper.follow(server, fact),
      decides: () => this.decides,
      clock: () => this.now * 1000,
    });
    this.keeper.onFact = (server, fact) => this.orders.did(server, fact);
  }

  /** As the appliance does what an operator orders. */
  order(command: ServerCommand): void {
    if (!this.orders.isElsewhere(command)) this.commands.run(command);
    if (command.action !== 'activate' && command.action !== 'inactivate') this.orders.ordered(command);
  }

  states(): string[] {
    return this.binding.servers.map(({ index }) => NAMES.get(this.#states.state(index)) ?? '?');
  }
}

class Pair {
  readonly one: Member = new Member(1, (body) => this.two.hear(1, body));
  readonly two: Member = new Member(2, (body) => this.one.hear(2, body));

  /** Seconds in which hooks end and engines turn. */
  async run(seconds: number): Promise<void> {
    for (let turn = 0; turn < seconds; turn++)
      for (const member of [this.one, this.two]) {
        member.now++;
        member.keeper.tick();
        member.orders.tick();
        await Promise.resolve();
      }
  }
}

describe('two designators', () => {
  test('what an operator orders at one, both do', async () => {
    const pair = new Pair();
    pair.two.order({ action: 'drain', names: ['lns2'] });
    expect(pair.one.states()).toEqual(['up', 'draining']);
    pair.one.order({ action: 'enable', names: ['lns2'] });
    expect(pair.two.states()).toEqual(['up', 'up']);
  });

  test('a server is powered off and on by the one whose duty it is, wherever it was ordered; the other follows', async () => {
    const pair = new Pair();
    pair.one.decides = true;
    pair.two.order({ action: 'inactivate', names: ['lns2'], deadlineSeconds: 0 });
    await pair.run(5);
    expect([pair.one.states(), pair.two.states()]).toEqual([
      ['up', 'inactive'],
      ['up', 'inactive'],
    ]);
    expect([pair.one.power, pair.two.power]).toEqual([['off lns2'], []]);
    pair.two.order({ action: 'activate', names: ['lns2'] });
    await pair.run(400);
    expect([pair.one.power, pair.two.power]).toEqual([['off lns2', 'on lns2'], []]);
    for (const member of [pair.one, pair.two]) expect(member.states()[1]).toMatch(/up|slowStart/);
  });

  test('an order that nobody can do yet is done by the next who has the duty, and by nobody twice', async () => {
    const pair = new Pair();
    pair.one.order({ action: 'inactivate', names: ['lns1'], deadlineSeconds: 0 });
    await pair.run(3);
    expect(pair.one.states()).toEqual(['up', 'up']);
    pair.two.decides = true;
    pair.two.orders.retry();
    await pair.run(5);
    expect([pair.one.states()[0], pair.two.states()[0]]).toEqual(['inactive', 'inactive']);
    pair.two.decides = false;
    pair.one.decides = true;
    pair.one.orders.retry();
    await pair.run(20);
    expect([pair.one.power, pair.two.power]).toEqual([[], ['off lns1']]);
  });
});
