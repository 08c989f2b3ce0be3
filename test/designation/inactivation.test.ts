/** Which servers the load needs: rules one by one, then whole days of a farm in virtual time. */
import { describe, expect, test } from 'vitest';
import {
  Inactivation,
  type InactivationServer,
  type InactivationSettings,
  type InactivationStep,
} from '../../src/designation/inactivation.js';
import { Trend } from '../../src/designation/trend.js';
import { SERVER_STATE } from '../../src/flow/layout.js';
import { randomOf } from '../helpers/seeded-random.js';

const SETTINGS: InactivationSettings = { below: 0.4, above: 0.7, minimum: 1, after: 60, deadline: null, boot: 20 };
const UP = SERVER_STATE.up;

/** Servers whose states follow what the engine says, as the keeper would have it. */
class World {
  readonly engine: Inactivation;
  readonly servers: InactivationServer[];
  readonly steps: (InactivationStep & { at: number })[] = [];
  now = 0;
  decides = true;
  /** Whether a hook works, by `action server`. */
  works: (action: 'on' | 'off', server: number) => boolean = () => true;
  /** Those whose hook has been run and that hear of it at once. */
  isHeard: (server: number) => boolean = () => true;
  isOn: boolean[];

  constructor(count: number, settings: Partial<InactivationSettings> = {}) {
    this.engine = new Inactivation({ ...SETTINGS, ...settings });
    this.isOn = Array.from({ length: count }, () => true);
    this.servers = Array.from({ length: count }, (_, index) => ({
      index,
      state: UP,
      ordered: false,
      capacity: 1,
      load: 0,
      tunnels: 0,
      heard: 0,
      audible: true,
    }));
  }

  set(index: number, change: Partial<InactivationServer>): void {
    this.servers[index] = { ...this.servers[index], ...change };
  }

  all(change: Partial<InactivationServer>): void {
    for (const { index } of this.servers) this.set(index, change);
  }

  run(seconds: number): string[] {
    const from = this.steps.length;
    for (let i = 0; i < seconds; i++) {
      this.now++;
      for (const { index } of this.servers)
        if (this.isOn[index] && this.isHeard(index)) this.set(index, { heard: this.now });
      this.do(this.engine.tick(this.servers, this.now, this.decides));
    }
    return this.said(from);
  }

  said(from = 0): string[] {
    return this.steps.slice(from).map(({ kind, server }) => `${kind} ${server}`);
  }

  do(steps: readonly InactivationStep[]): void {
    for (const step of steps) {
      const { kind, server } = step;
      this.steps.push({ ...step, at: this.now });
      if (kind === 'empty') this.set(server, { state: SERVER_STATE.draining });
      else if (kind === 'serve' || kind === 'back') this.set(server, { state: UP });
      else if (kind === 'off' || kind === 'retry-off') {
        this.set(server, { state: SERVER_STATE.inactive, load: null });
        const ok = this.works('off', server);
        if (ok) this.isOn[server] = false;
        this.do(this.engine.ran(server, 'off', ok, this.now));
      } else if (kind === 'on') {
        const ok = this.works('on', server);
        if (ok) this.isOn[server] = true;
        this.do(this.engine.ran(server, 'on', ok, this.now));
      }
    }
  }
}

describe('one rule at a time', () => {
  test('a server that is not needed is emptied after the time, then off when it is empty, one at a time', () => {
    const world = new World(4);
    world.all({ load: 0.2, tunnels: 5 });
    world.set(1, { tunnels: 2 });
    expect(world.run(60)).toEqual([]);
    expect(world.run(2)).toEqual(['empty 1']); // it has the fewest tunnels
    expect(world.steps[0].detail).toBe('a load of 27 % is expected');
    expect(world.run(500)).toEqual([]); // nobody else while it has tunnels
    world.set(1, { tunnels: 0, load: 0 });
    expect(world.run(1)).toEqual(['off 1']);
    expect(world.engine.phase(1)).toBe('inactive');
    // 0.6 on three: 0.3 on two, so one more, after the time again.
    expect(world.run(59)).toEqual([]);
    expect(world.run(3)).toEqual(['empty 3']); // the last of those that are alike
    world.set(3, { tunnels: 0 });
    world.set(0, { load: 0.3 });
    world.set(2, { load: 0.3 });
    expect(world.run(200)).toEqual(['off 3']); // 0.6 on one would be too much
  });

  test('the load must allow it without a break', () => {
    const world = new World(2);
    world.all({ load: 0.1 });
    for (let i = 0; i < 5; i++) {
      world.run(50);
      world.set(0, { load: 0.35 });
      world.run(1);
      world.set(0, { load: 0.1 });
    }
    expect(world.said()).toEqual([]);
  });

  test('what is between the bounds is left alone, in both directions', () => {
    for (const load of [0.41, 0.5, 0.6, 0.69]) {
      const world = new World(2);
      world.all({ load });
      expect(world.run(1000)).toEqual([]);
    }
  });

  test('no server fewer than the minimum', () => {
    const world = new World(3, { minimum: 2 });
    expect(world.run(1000)).toEqual(['empty 2', 'off 2']);
  });

  test('one is brought back when the load asks for it, and serves when it is heard', () => {
    const world = new World(2);
    world.run(100);
    expect(world.said()).toEqual(['empty 1', 'off 1']);
    world.set(0, { load: 0.8 });
    world.isHeard = (server) => server === 0;
    expect(world.run(10)).toEqual(['on 1']);
    expect(world.engine.phase(1)).toBe('waking');
    world.isHeard = () => true;
    expect(world.run(1)).toEqual(['back 1']);
    expect(world.engine.phase(1)).toBeNull();
  });

  test('it is brought back ahead of need: before the bound is reached, by as long as it takes to boot', () => {
    const world = new World(2, { boot: 100, after: 60 });
    world.run(100);
    expect(world.said().at(-1)).toBe('off 1');
    let load = 0.2;
    let at = -1;
    while (load < 1 && at < 0) {
      load += 0.001;
      world.set(0, { load });
      if (world.run(1).includes('on 1')) at = load;
    }
    expect(at).toBeLessThan(0.65);
    expect(at).toBeGreaterThan(0.5);
  });

  test('one that is still being emptied is kept instead', () => {
    const world = new World(3);
    world.all({ load: 0.1, tunnels: 3 });
    world.run(62);
    expect(world.said()).toEqual(['empty 2']);
    world.set(0, { load: 0.9 });
    world.set(1, { load: 0.9 });
    expect(world.run(1)).toEqual(['serve 2']);
  });

  test('nobody is emptied while a load is not known', () => {
    const world = new World(3);
    world.set(1, { load: null });
    expect(world.run(1000)).toEqual([]);
    world.set(1, { load: 0 });
    expect(world.run(61)).toEqual(['empty 2']);
  });

  test('a server that is down does not count, and what it carried is expected back', () => {
    const world = new World(3);
    world.all({ load: 0.3, tunnels: 10 });
    world.run(30);
    world.set(2, { state: SERVER_STATE.down, load: null });
    expect(world.run(300)).toEqual([]); // 0.6 on two, and 0.6 on one would be too much
    const idle = new World(3);
    idle.run(200);
    expect(idle.said()).toEqual(['empty 2', 'off 2', 'empty 1', 'off 1']);
    idle.set(0, { state: SERVER_STATE.down, load: null });
    expect(idle.run(1)).toEqual(['on 1']); // fewer than the minimum
  });

  test('the load of a server that has just died counts as if its tunnels were back', () => {
    const world = new World(4);
    world.engine.adopt(3, 'inactive', false, 0);
    world.all({ load: 0.6 });
    world.set(3, { load: null, state: SERVER_STATE.inactive });
    expect(world.run(30)).toEqual([]);
    world.set(0, { state: SERVER_STATE.down, load: null });
    // 1.2 on two would be within the bound, 1.8 is not.
    expect(world.run(1)).toEqual(['on 3']);
  });

  test('what an operator has ordered is left alone', () => {
    const world = new World(3);
    world.set(2, { ordered: true });
    world.set(1, { ordered: true });
    world.run(61);
    expect(world.said()).toEqual(['empty 0']);
  });

  test('a deadline closes what is left, and after a while the server goes with what will not end', () => {
    const world = new World(2, { deadline: 100 });
    world.all({ load: 0.1, tunnels: 4 });
    world.run(62);
    const empty = world.now;
    expect(world.said()).toEqual(['empty 1']);
    world.run(98);
    expect(world.said()).toEqual(['empty 1']);
    world.run(2);
    expect(world.said()).toEqual(['empty 1', 'close 1']);
    world.run(60);
    expect(world.said()).toEqual(['empty 1', 'close 1', 'off 1']);
    expect(world.now - empty).toBeLessThan(170);
  });

  test('one that dies while it is emptied is health’s again', () => {
    const world = new World(3);
    world.all({ tunnels: 4 });
    world.run(62);
    expect(world.said()).toEqual(['empty 2']);
    world.set(2, { state: SERVER_STATE.down, load: null });
    expect(world.run(1)).toEqual(['withdraw 2']);
    expect(world.engine.phase(2)).toBeNull();
  });

  test('a server that does not come is given up, another one is tried, and it again later', () => {
    const world = new World(3);
    for (const server of [1, 2]) {
      world.engine.adopt(server, 'inactive', false, 0);
      world.set(server, { state: SERVER_STATE.inactive, load: null });
    }
    world.isOn = [true, false, false];
    world.set(0, { load: 0.9 });
    world.isHeard = (server) => server === 0;
    expect(world.run(41)).toEqual(['on 1', 'failed 1', 'on 2']);
    expect(world.steps.at(-2)?.detail).toBe('not heard of for 40 s after it was powered on');
    world.isHeard = (server) => server !== 1;
    expect(world.run(1)).toEqual(['back 2']);
    world.set(2, { load: 0.9 });
    expect(world.run(100)).toEqual(['on 1', 'failed 1']); // after its rest
    world.isHeard = () => true;
    expect(world.run(100)).toEqual(['on 1', 'back 1']);
  });

  test('a hook that fails: off is run again at growing intervals, on is another server’s turn', () => {
    const world = new World(2);
    world.works = (action) => action === 'on';
    world.run(62);
    expect(world.said()).toEqual(['empty 1', 'off 1']);
    expect(world.run(100)).toEqual(['retry-off 1', 'retry-off 1']); // 30 s, then 60 s
    expect(world.run(100)).toEqual([]);
    world.works = () => false;
    world.set(0, { load: 0.9 });
    expect(world.run(1)).toEqual(['on 1', 'failed 1']);
    expect(world.run(20)).toEqual([]); // it rests
  });

  test('without anything to hear it by, its time to boot decides', () => {
    const world = new World(2);
    world.all({ audible: false });
    world.run(62);
    world.set(0, { load: 0.9 });
    expect(world.run(20)).toEqual(['on 1']);
    expect(world.run(1)).toEqual(['back 1']);
  });

  test('an operator inactivates and activates: the load brings nothing back that a command has taken', () => {
    const world = new World(2);
    world.all({ load: 0.9, tunnels: 1 });
    world.do(world.engine.empty(1, world.now, 50));
    expect(world.engine.isCommanded(1)).toBe(true);
    world.run(49);
    expect(world.said()).toEqual(['empty 1']);
    world.run(2);
    world.set(1, { tunnels: 0 });
    expect(world.run(300)).toEqual(['off 1']);
    world.do(world.engine.activate(1, world.now));
    expect(world.run(1)).toEqual(['on 1', 'back 1'].slice(1));
    expect(world.engine.activate(1, world.now)).toEqual([]);
  });

  test('one who does not decide follows and does nothing', () => {
    const world = new World(3);
    world.decides = false;
    expect(world.run(1000)).toEqual([]);
    world.decides = true;
    expect(world.run(61)).toEqual(['empty 2']); // its own time begins when it is its turn
  });

  test('what a process before has begun goes on', () => {
    const world = new World(3);
    world.set(1, { state: SERVER_STATE.draining, tunnels: 1 });
    world.set(2, { state: SERVER_STATE.inactive, load: null });
    world.engine.adopt(1, 'emptying', false, 0);
    world.engine.adopt(2, 'inactive', false, 0);
    world.set(0, { load: 0.9 });
    expect(world.run(5)).toEqual(['serve 1', 'on 2', 'back 2'].slice(0, 1));
    world.set(1, { load: 0.9 });
    expect(world.run(5)).toEqual(['on 2', 'back 2']);
  });
});

test('the trend is the slope of the last while, and nothing before it has been seen', () => {
  const trend = new Trend(100);
  trend.add(0, 5);
  trend.add(1, 50);
  expect(trend.slope).toBe(0);
  for (let t = 2; t <= 300; t++) trend.add(t, t < 150 ? 0 : (t - 150) * 2);
  expect(trend.slope).toBeCloseTo(2, 5);
});

describe('days', () => {
  const DAY = 86_400;
  const STEP = 5;
  /** Load of the farm in servers: little at night, a steep morning, a peak in the evening. */
  const curve = (t: number): number => {
    const hour = (t % DAY) / 3600;
    const bump = (at: number, width: number): number => Math.exp(-(((hour - at) / width) ** 2));
    return 0.6 + 3.2 * bump(10, 2.2) + 5.2 * bump(20, 2.6);
  };

  function live(seed: number, noise: number, settings: Partial<InactivationSettings> = {}) {
    const count = 10;
    const random = randomOf(seed);
    const world = new World(count, { boot: 180, after: 900, deadline: 1800, minimum: 2, ...settings });
    const bootAt: number[] = new Array(count).fill(0);
    let worst = 0;
    let served = 0;
    const starts: number[] = [];
    for (let t = 0; t < 3 * DAY; t += STEP) {
      world.now = t;
      const total = curve(t) * (1 + noise * (random() - 0.5));
      // Those that are emptied keep what they have for a while: tunnels live for half an hour.
      const serving = world.servers.filter(({ state }) => state === UP);
      const emptying = world.servers.filter(({ state }) => state === SERVER_STATE.draining);
      const kept = emptying.reduce((sum, { load }) => sum + (load ?? 0) * (1 - STEP / 1800), 0);
      const each = Math.max(0, total - kept) / serving.length;
      for (const { index } of serving) world.set(index, { load: each, tunnels: Math.ceil(each * 1000), heard: t });
      for (const { index, load } of emptying) {
        const left = (load ?? 0) * (1 - STEP / 1800);
        world.set(index, { load: left, tunnels: left * 1000 < 1 ? 0 : Math.ceil(left * 1000) });
      }
      for (const { index } of world.servers) {
        if (world.engine.phase(index) === 'waking' && t - bootAt[index] >= 180) world.set(index, { heard: t });
      }
      const from = world.steps.length;
      const tick = world.engine.tick(world.servers, t, true);
      for (const { kind, server } of tick) {
        if (kind === 'close') world.set(server, { tunnels: 0, load: 0 });
        if (kind === 'on') bootAt[server] = t;
      }
      world.do(tick);
      for (const { kind } of world.steps.slice(from)) if (kind === 'on' || kind === 'serve') starts.push(t);
      // The first hours are the farm's own settling.
      if (t > DAY / 4) {
        worst = Math.max(worst, each);
        served += world.servers.filter(({ state }) => state !== SERVER_STATE.inactive).length * STEP;
      }
    }
    return { world, worst, mean: served / (2.75 * DAY), starts };
  }

  test.each([
    [1, 0],
    [2, 0.1],
    [3, 0.2],
  ])('three days, seed %i, noise %d: never short, far fewer than all, and nobody goes up and down', (seed, noise) => {
    const { world, worst, mean } = live(seed, noise);
    expect(worst).toBeLessThan(0.9);
    expect(mean).toBeLessThan(7);
    // Two waves a day: each server goes and comes twice a day at most.
    const moves = new Map<number, number>();
    for (const { kind, server } of world.steps) if (kind === 'empty') moves.set(server, (moves.get(server) ?? 0) + 1);
    for (const count of moves.values()) expect(count).toBeLessThanOrEqual(6);
    // Nobody is emptied within `after` of anybody's having been brought back.
    let broughtBack = Number.NEGATIVE_INFINITY;
    for (const { kind, at } of world.steps) {
      if (kind === 'on' || kind === 'serve' || kind === 'back') broughtBack = at;
      if (kind === 'empty') expect(at - broughtBack).toBeGreaterThanOrEqual(900);
    }
    expect(world.steps.filter(({ kind }) => kind === 'off').length).toBeGreaterThan(5);
  });

  test('a steady load with much noise moves nobody', () => {
    for (const load of [0.3, 0.45, 0.6]) {
      const random = randomOf(7);
      const world = new World(4, { boot: 60, after: 300 });
      world.run(1);
      for (let t = 0; t < 20_000; t += 5) {
        world.now = t;
        const serving = world.servers.filter(({ state }) => state === UP);
        for (const { index } of serving)
          world.set(index, { load: (4 * load * (0.9 + 0.2 * random())) / serving.length, heard: t });
        world.do(world.engine.tick(world.servers, t, true));
      }
      const empties = world.steps.filter(({ kind }) => kind === 'empty').length;
      const backs = world.steps.filter(({ kind }) => kind === 'back' || kind === 'serve').length;
      expect(empties).toBeLessThanOrEqual(3);
      expect(backs).toBe(0);
    }
  });
});
