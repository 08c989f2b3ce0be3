/** What a gateway tracks: what fails costs what is configured, as soon as it is seen, and no longer than it fails. */
import { expect, test } from 'vitest';
import type { TrackConfig } from '../../../src/config/gateway.js';
import type { Tracking } from '../../../src/gateway/types.js';
import { runScript, TrackKeeper, type TrackWorld } from '../../../src/roles/gateway/tracking.js';

/** A host whose time passes by hand. */
class World implements TrackWorld {
  now = 0;
  up = new Set<string>();
  routes = new Set<number>();
  script: string | null = null;
  share = 0;
  runs = 0;
  routeError: Error | null = null;
  /** Scripts wait for it. */
  hold: Promise<void> = Promise.resolve();
  readonly #timers = new Set<{ at: number; act: () => void }>();

  interfaceUp(device: string): boolean {
    return this.up.has(device);
  }
  async routesTo(prefixes: readonly { length: number }[]): Promise<boolean[]> {
    if (this.routeError !== null) throw this.routeError;
    return prefixes.map(({ length }) => this.routes.has(length));
  }
  async run(): Promise<string | null> {
    this.runs++;
    await this.hold;
    return this.script;
  }
  load(): number {
    return this.share;
  }
  after(seconds: number, act: () => void): () => void {
    const timer = { at: this.now + seconds, act };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }
  async pass(seconds: number): Promise<void> {
    const end = this.now + seconds;
    for (;;) {
      await settled();
      const next = [...this.#timers].sort((a, b) => a.at - b.at)[0];
      if (next === undefined || next.at > end) break;
      this.now = next.at;
      this.#timers.delete(next);
      next.act();
    }
    this.now = end;
  }
  get waiting(): number {
    return this.#timers.size;
  }
}
const settled = (): Promise<void> => new Promise((done) => setImmediate(done));

const item = (values: Partial<TrackConfig> & Pick<TrackConfig, 'target'>): TrackConfig => ({
  name: values.target.kind,
  everySeconds: 1,
  rise: 1,
  fall: 1,
  priorityLoss: 0,
  weightLoss: 0,
  blocks: false,
  ...values,
});
const UPSTREAM = item({ target: { kind: 'interface', device: 'eth1' }, blocks: true });
const ROUTE = item({
  target: { kind: 'route', prefix: { words: [0, 0, 0xffff, 0], length: 96, text: '0.0.0.0/0', family: 4 } },
  priorityLoss: 50,
});
const SCRIPT = item({
  target: { kind: 'script', command: ['/bin/check'], timeoutSeconds: 2 },
  weightLoss: 20,
  rise: 2,
  fall: 3,
});
const LOAD = item({ target: { kind: 'load', share: 0.8 }, weightLoss: 50, priorityLoss: 10 });

function keeper(items: readonly TrackConfig[], world: World) {
  const told: Tracking[] = [];
  const tracks = new TrackKeeper(items, world, (tracking) => told.push(tracking));
  return { tracks, told };
}

test('what was not seen yet fails: a gateway that cannot know that it forwards is not able', async () => {
  const world = new World();
  world.up.add('eth1');
  const { tracks, told } = keeper([UPSTREAM, ROUTE], world);
  expect(tracks.tracking()).toEqual({
    priorityLoss: 50,
    weightLoss: 0,
    able: false,
    reasons: ['interface: not seen yet', 'route: not seen yet'],
  });
  expect(tracks.states()[0]).toEqual({ name: 'interface', good: null, reason: 'not seen yet' });
  tracks.start();
  await settled();
  expect(told.at(-1)).toEqual({ priorityLoss: 50, weightLoss: 0, able: true, reasons: ['route: missing'] });
  world.routes.add(96);
  await world.pass(1);
  expect(told.at(-1)).toEqual({ priorityLoss: 0, weightLoss: 0, able: true, reasons: [] });
  tracks.stop();
});

test('losses add up, and each is given back when its own cause is gone', async () => {
  const world = new World();
  world.up.add('eth1').add('eth2');
  world.routes.add(96);
  const second = { ...UPSTREAM, name: 'other', target: { kind: 'interface', device: 'eth2' } as const };
  const { tracks, told } = keeper([UPSTREAM, second, ROUTE, LOAD], world);
  tracks.start();
  await settled();
  expect(tracks.tracking()).toMatchObject({ able: true, reasons: [] });
  world.share = 0.8;
  world.routes.clear();
  world.up.clear();
  await world.pass(1);
  expect(tracks.tracking()).toEqual({
    priorityLoss: 60,
    weightLoss: 50,
    able: false,
    reasons: ['interface: down', 'other: down', 'route: missing', 'load: 80%'],
  });
  world.up.add('eth1');
  world.share = 0.79;
  await world.pass(1);
  expect(tracks.tracking()).toMatchObject({ priorityLoss: 50, weightLoss: 0, able: false });
  world.up.add('eth2');
  await world.pass(1);
  expect(told.at(-1)).toMatchObject({ able: true });
  tracks.stop();
});

test('a change of the host is looked at at once, without waiting for the interval; scripts are not run for it', async () => {
  const world = new World();
  world.up.add('eth1');
  const { tracks, told } = keeper([UPSTREAM, SCRIPT], world);
  tracks.start();
  await settled();
  expect([told.at(-1)?.able, world.runs]).toEqual([true, 1]);
  world.up.clear();
  tracks.hostChanged();
  await settled();
  expect([told.at(-1)?.able, world.runs, world.now]).toEqual([false, 1, 0]);
  tracks.stop();
});

test('a script fails after `fall` bad ends in a row and is well after `rise` good ones', async () => {
  const world = new World();
  const { tracks, told } = keeper([SCRIPT], world);
  tracks.start();
  await settled();
  expect(tracks.tracking().weightLoss).toBe(0);
  world.script = 'status 1';
  await world.pass(2);
  world.script = null; // One good look breaks the row.
  await world.pass(1);
  world.script = 'status 2';
  await world.pass(2);
  expect(tracks.tracking().weightLoss).toBe(0);
  await world.pass(1);
  expect(told.at(-1)).toMatchObject({ weightLoss: 20, reasons: ['script: status 2'] });
  world.script = null;
  await world.pass(1);
  expect(tracks.tracking().weightLoss).toBe(20);
  await world.pass(1);
  expect(tracks.tracking()).toMatchObject({ weightLoss: 0, reasons: [] });
  tracks.stop();
});

test('a script that takes longer than its interval never runs twice at one time', async () => {
  const world = new World();
  let release = (): void => {};
  world.hold = new Promise((done) => {
    release = done;
  });
  const { tracks } = keeper([SCRIPT], world);
  tracks.start();
  await world.pass(100);
  expect([world.runs, world.waiting]).toEqual([1, 0]);
  release();
  await world.pass(2);
  expect(world.runs).toBe(3);
  tracks.stop();
});

test('a host that cannot be asked is a failure with its reason, and it goes on', async () => {
  const world = new World();
  world.routes.add(96);
  world.routeError = new Error('rtnetlink does not answer');
  const { tracks } = keeper([ROUTE], world);
  tracks.start();
  await settled();
  expect(tracks.tracking().reasons).toEqual(['route: rtnetlink does not answer']);
  world.routeError = null;
  await world.pass(1);
  expect(tracks.tracking().reasons).toEqual([]);
  tracks.stop();
});

test('after the end nothing is looked at and nothing is told', async () => {
  const world = new World();
  const { tracks, told } = keeper([UPSTREAM, SCRIPT], world);
  tracks.start();
  await settled();
  const before = [told.length, world.runs];
  tracks.stop();
  world.up.add('eth1');
  tracks.hostChanged();
  await world.pass(10);
  expect([told.length, world.runs, world.waiting]).toEqual([...before, 0]);
});

test.each([
  [['/bin/true'], 2, null],
  [['/bin/false'], 2, 'status 1'],
  [['/nowhere/check'], 2, 'cannot be run: ENOENT'],
  [['/bin/sh', '-c', 'kill -9 $$'], 2, 'ended by SIGKILL'],
  [['/bin/sleep', '30'], 0.05, 'took too long'],
  // Whatever it prints is nobody's, and fills nothing.
  [['/bin/sh', '-c', 'head -c 300000 /dev/zero; exit 0'], 5, null],
])('%j', async (command, timeout, expected) => expect(await runScript(command, timeout)).toBe(expected));
