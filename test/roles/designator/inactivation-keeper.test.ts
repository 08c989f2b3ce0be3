/** What becomes of an inactivation: states, commands that fail, their repetition, tunnels, and a process that follows another. */
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { parseConfig } from '../../../src/config/load.js';
import { ServerStates } from '../../../src/designation/server-states.js';
import { CELL_WORDS, SERVER_CELL, SERVER_REASON, SERVER_STATE, type TableMemory } from '../../../src/flow/layout.js';
import { EventLog } from '../../../src/ops/events.js';
import { Binding } from '../../../src/roles/designator/binding.js';
import { type HeardLoad, InactivationKeeper } from '../../../src/roles/designator/inactivation-keeper.js';
import type { PowerOutcome } from '../../../src/roles/designator/power-command.js';
import { newMemory } from '../../flow/memory.js';

const NAMES = new Map<number, string>(Object.entries(SERVER_STATE).map(([name, state]) => [state, name]));
const COMMAND = { on: ['/bin/power', 'on'], off: ['/bin/power', 'off'], timeout: '7s' };
const FULL = 100;

class Farm {
  now = 1000;
  readonly commands: string[] = [];
  readonly closed: number[] = [];
  /** What the commands that run now will have come to. */
  readonly running: ((outcome: PowerOutcome) => void)[] = [];
  readonly heard = new Map<number, HeardLoad>();
  readonly memory: TableMemory;
  readonly states: ServerStates;
  readonly binding: Binding;
  readonly events = new EventLog();
  keeper!: InactivationKeeper;
  stops = 0;

  /** `before`: a farm whose table this process finds. */
  constructor(vip: object = {}, before?: Farm) {
    this.memory = before?.memory ?? newMemory(64);
    this.now = before?.now ?? this.now;
    this.states = new ServerStates(this.memory, () => this.now);
    this.states.slowStart = true;
    this.binding = new Binding(this.memory, this.states);
    this.configure(vip);
  }

  configure(vip: object, servers = [1, 2, 3]): void {
    const file = {
      interfaces: { outside: 'wan0', inside: 'lan0' },
      loadStatus: { listen: '127.0.0.1:7017', secret: 'a secret of all servers' },
      vips: [
        {
          name: 'access',
          address: '200.200.100.1',
          servers: servers.map((n) => ({
            name: `lns${n}`,
            address: `10.10.1.${n}`,
            loadStatus: { tunnels: FULL },
          })),
          inactivate: { below: 0.4, above: 0.7, after: '10s', boot: '20s', deadline: '300s', command: COMMAND },
          ...vip,
        },
      ],
    };
    const { config, problems } = parseConfig('test.yaml', JSON.stringify(file));
    if (config === null) throw new Error(JSON.stringify(problems));
    this.binding.bind(config, 0);
    this.keeper ??= new InactivationKeeper({
      binding: this.binding,
      states: this.states,
      logger: pino({ level: 'silent' }),
      events: this.events,
      now: () => this.now,
      closeTunnels: (server) => void this.closed.push(server),
      heardLoad: (server) => this.heard.get(server) ?? null,
      hearsLoad: () => true,
      answered: () => null,
      checksActively: () => false,
      power: {
        run: (argv, { action, server, address, vip: name }, timeout) => {
          this.commands.push(`${argv.join(' ')}: ${action} ${server} ${address} ${name} ${timeout} s`);
          return new Promise((resolve) => void this.running.push(resolve));
        },
        stop: () => void this.stops++,
      },
    });
    this.keeper.setConfig(config);
  }

  /** Tunnels by server. */
  carry(...tunnels: number[]): void {
    for (const [index, count] of tunnels.entries())
      this.memory.servers[index * CELL_WORDS + SERVER_CELL.established] = count;
  }

  async run(seconds: number): Promise<void> {
    for (let second = 0; second < seconds; second++) {
      this.now++;
      this.keeper.tick();
      await Promise.resolve();
    }
  }

  /** The command that has run longest ends. */
  async end(fault: string | null = null): Promise<void> {
    expect(this.running).not.toEqual([]);
    this.running.shift()?.({ fault, output: 'said' });
    for (let turn = 0; turn < 3; turn++) await Promise.resolve();
  }

  hears(server: number, accepting = true, tunnels: number | null = 0): void {
    this.heard.set(server, { at: this.now, accepting, tunnels });
  }

  /** The third is off. */
  async untilOff(): Promise<void> {
    this.carry(25, 25, 0);
    await this.run(13);
    expect(this.all()).toBe('up up inactive');
  }

  all(): string {
    return this.binding.servers.map(({ index }) => NAMES.get(this.states.state(index))).join(' ');
  }

  count(counter: string): number | undefined {
    return this.keeper.counters().find((row) => row.counter === counter)?.count;
  }

  powers(): object[] {
    return this.events.recent({ types: ['server-power'] }).map((event) => event as unknown as object);
  }
}

const off = (n: number): string => `/bin/power off: off lns${n} 10.10.1.${n} access 7 s`;
const on = (n: number): string => `/bin/power on: on lns${n} 10.10.1.${n} access 7 s`;

describe('off', () => {
  test('the command gets what it needs to know, once, when the server is empty', async () => {
    const farm = new Farm();
    farm.carry(25, 25, 2);
    await farm.run(13);
    expect([farm.all(), farm.commands]).toEqual(['up up draining', []]);
    expect(farm.states.reason(2)).toBe(SERVER_REASON.notNeeded);
    farm.carry(25, 25, 0);
    await farm.run(30);
    expect([farm.all(), farm.commands]).toEqual(['up up inactive', [off(3)]]);
    await farm.end();
    await farm.run(100);
    expect(farm.commands).toEqual([off(3)]);
    expect(farm.powers()).toMatchObject([{ server: 'lns3', action: 'off', ok: true }]);
    expect([farm.count('servers-emptied'), farm.count('servers-inactivated')]).toEqual([1, 1]);
  });

  test('a command that fails leaves the server inactive, is told, and is run again later, and later still', async () => {
    const farm = new Farm();
    await farm.untilOff();
    await farm.end('status 3');
    expect([farm.all(), farm.count('power-commands-failed')]).toEqual(['up up inactive', 1]);
    expect(farm.powers()).toMatchObject([{ ok: false, fault: 'status 3' }]);
    await farm.run(29);
    expect(farm.commands).toHaveLength(1);
    await farm.run(2);
    expect(farm.commands).toEqual([off(3), off(3)]);
    await farm.end('took longer than 7 s');
    await farm.run(58);
    expect(farm.commands).toHaveLength(2);
    await farm.run(3);
    await farm.end();
    await farm.run(4000);
    expect([farm.commands.length, farm.count('power-commands-failed')]).toEqual([3, 2]);
  });

  test('the deadline closes what is left; it counts no more when the load is back before', async () => {
    const farm = new Farm();
    farm.carry(25, 25, 2);
    await farm.run(200);
    farm.carry(85, 85, 2);
    await farm.run(2);
    expect([farm.all(), farm.count('servers-kept')]).toEqual(['up up up', 1]);
    await farm.run(400);
    expect(farm.closed).toEqual([]);
    farm.carry(25, 25, 2);
    await farm.run(320);
    expect([farm.all(), farm.closed]).toEqual(['up up draining', [2]]);
    // A tunnel that will not end does not hold it for ever.
    await farm.run(40);
    expect([farm.all(), farm.closed]).toEqual(['up up inactive', [2]]);
  });

  test('where answers do not cross, it is empty by its own word alone', async () => {
    const farm = new Farm({ reply: 'direct' });
    const said = (left: number | null): void => {
      for (const [server, tunnels] of [25, 25, left].entries()) farm.hears(server, true, tunnels);
    };
    said(null);
    // Nothing is known of the third's load, so nobody is emptied.
    await farm.run(60);
    expect(farm.all()).toBe('up up up');
    said(2);
    await farm.run(12);
    expect(farm.all()).toBe('up up draining');
    farm.heard.delete(2);
    await farm.run(60);
    expect(farm.all()).toBe('up up draining');
    said(0);
    await farm.run(2);
    expect([farm.all(), farm.commands]).toEqual(['up up inactive', [off(3)]]);
  });
});

describe('on', () => {
  test('it serves when it is heard to accept, not before, and not by what it said before', async () => {
    const farm = new Farm();
    farm.hears(2);
    await farm.untilOff();
    await farm.end();
    farm.carry(80, 80, 0);
    await farm.run(2);
    expect(farm.commands.slice(1)).toEqual([on(3)]);
    expect([farm.keeper.expects(2), farm.keeper.words(2)]).toEqual([true, 'it is being powered on']);
    farm.hears(2);
    await farm.run(5);
    expect(farm.all()).toBe('up up inactive'); // the command still runs
    await farm.end();
    farm.now++;
    farm.hears(2, false);
    await farm.run(2);
    expect(farm.all()).toBe('up up inactive');
    farm.hears(2);
    await farm.run(1);
    expect(farm.all()).toBe('up up slowStart');
    expect([farm.keeper.expects(2), farm.keeper.words(2), farm.count('servers-activated')]).toEqual([false, null, 1]);
    expect(farm.states.reason(2)).toBe(SERVER_REASON.needed);
  });

  test('a command that fails, or a server that does not come: the next one is tried', async () => {
    const farm = new Farm({
      inactivate: { below: 0.7, above: 0.8, after: '2s', boot: '20s', command: COMMAND },
    });
    farm.carry(10, 0, 0);
    await farm.run(12);
    for (let ended = 0; ended < 2; ended++) await farm.end();
    expect(farm.all()).toBe('up inactive inactive');
    farm.carry(95, 0, 0);
    await farm.run(2);
    await farm.end('status 1');
    expect(farm.count('activations-failed')).toBe(1);
    await farm.run(2);
    expect(farm.commands.slice(2)).toEqual([on(2), on(3)]);
    await farm.end();
    await farm.run(41);
    expect([farm.count('activations-failed'), farm.all()]).toEqual([2, 'up inactive inactive']);
    // The first one again: its pause is over.
    expect(farm.commands.slice(4)).toEqual([on(2)]);
  });
});

describe('whose it is', () => {
  test('another process finds what was inactivated, and brings it back; a command’s it leaves', async () => {
    const farm = new Farm();
    await farm.untilOff();
    farm.keeper.inactivate(1, 0);
    farm.carry(25, 0, 0);
    farm.running.length = 0;
    await farm.run(2);
    expect(farm.all()).toBe('up inactive inactive');
    farm.keeper.stop();
    expect(farm.stops).toBe(1);
    const next = new Farm({}, farm);
    expect(next.all()).toBe('up inactive inactive');
    next.carry(95, 0, 0);
    await next.run(2);
    expect(next.commands).toEqual([on(3)]);
    await next.end();
    next.now++;
    next.hears(2);
    await next.run(60);
    expect(next.all()).toBe('up inactive slowStart');
    expect(next.keeper.activate(1)).toBe(true);
    expect(next.commands.at(-1)).toBe(on(2));
  });

  test('one who does not decide does nothing by the load, and what it is told stands', async () => {
    const farm = new Farm();
    farm.keeper.decides = () => false;
    farm.carry(25, 25, 0);
    await farm.run(60);
    expect([farm.all(), farm.commands]).toEqual(['up up up', []]);
    expect(farm.keeper.follow('lns3', 'emptied')).toBe(true);
    expect(farm.keeper.follow('lns3', 'off')).toBe(true);
    expect(farm.keeper.follow('nobody', 'off')).toBe(false);
    await farm.run(60);
    expect([farm.all(), farm.commands]).toEqual(['up up inactive', []]);
    // The other one is gone, and the load comes.
    farm.keeper.decides = () => true;
    farm.carry(80, 80, 0);
    await farm.run(2);
    expect(farm.commands).toEqual([on(3)]);
  });

  test('what others are to know is told: each step once, by name', async () => {
    const farm = new Farm();
    const facts: string[] = [];
    farm.keeper.onFact = (server, fact) => void facts.push(`${server} ${fact}`);
    await farm.untilOff();
    await farm.end();
    farm.carry(80, 80, 0);
    await farm.run(2);
    await farm.end();
    farm.now++;
    farm.hears(2);
    await farm.run(1);
    expect(facts).toEqual(['lns3 emptied', 'lns3 off', 'lns3 back']);
  });

  test('a process that ends runs nothing more, whatever its commands come to', async () => {
    const farm = new Farm();
    await farm.untilOff();
    farm.keeper.stop();
    await farm.end('ended by SIGKILL');
    expect([farm.powers(), farm.count('power-commands-failed')]).toEqual([[], 0]);
  });

  test('a server that is taken out of the configuration while its command runs', async () => {
    const farm = new Farm();
    await farm.untilOff();
    farm.configure({}, [1, 2]);
    await farm.end('status 1');
    await farm.run(100);
    expect(farm.commands).toEqual([off(3)]);
  });

  test('without the section what was inactivated comes back', async () => {
    const farm = new Farm();
    await farm.untilOff();
    await farm.end();
    farm.configure({ inactivate: undefined });
    await farm.run(2);
    // There is no command any more: whoever powers it on is heard.
    expect(farm.commands).toEqual([off(3)]);
    farm.hears(2);
    await farm.run(2);
    expect(farm.all()).toBe('up up slowStart');
  });
});
