/** Who may take over whose tunnels: the desk that decides, and the keeper that believes messages and remembers. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ShardMessage } from '../../../src/dataplane/plan.js';
import type { RePointOrder } from '../../../src/dataplane/re-pointing.js';
import { RECORD, RECORD_STATE, SERVER_REASON, SERVER_STATE } from '../../../src/flow/layout.js';
import { EventLog } from '../../../src/ops/events.js';
import { createLogger } from '../../../src/ops/log.js';
import { TakeOverDesk, WORKING_LIMIT } from '../../../src/roles/designator/take-over-desk.js';
import { TakeOverKeeper, takeOverFile } from '../../../src/roles/designator/take-over-keeper.js';
import { TakeOverClient } from '../../../src/roles/take-over/client.js';
import {
  buildTakeOver,
  isAuthenticTakeOver,
  readTakeOver,
  type TakeOverAnswer,
  type TakeOverMessage,
  type TakeOverOrder,
} from '../../../src/wire/take-over.js';
import { configOf, MemoryAppliance } from '../../helpers/memory-appliance.js';

const KEY = Buffer.from('a secret of some length');

const CLAIM: TakeOverOrder = {
  kind: 'claim',
  sequence: 1,
  timeMs: 0,
  sender: 'lns2',
  server: 'lns1',
  heir: 'lns2',
  generation: 5,
  ranges: [],
};
const YIELD: TakeOverOrder = { ...CLAIM, kind: 'yield', sender: 'lns1' };

function desk(shards = 2) {
  const sent: [number, RePointOrder][] = [];
  const alive: number[] = [];
  const dead: number[] = [];
  const rows: unknown[] = [];
  const state = {
    now: 100,
    heard: new Map<number, number>(),
    down: new Set<number>(),
    changes: 0,
    empty: new Set<number>(),
    asked: [] as number[],
    confirms: true,
  };
  const made = new TakeOverDesk({
    now: () => state.now,
    shards: () => Array.from({ length: shards }, (_, shard) => shard),
    send: (shard, order) => sent.push([shard, order]),
    heardSince: (server, second) => (state.heard.get(server) ?? 0) >= second,
    confirmDead: (server) => {
      state.asked.push(server);
      return state.confirms;
    },
    hasTunnels: (server) => !state.empty.has(server),
    isDown: (server) => state.down.has(server),
    declareDown: (server) => dead.push(server),
    declareAlive: (server) => alive.push(server),
    changed: () => state.changes++,
    done: (row) => rows.push(row),
  });
  made.configure(
    [
      { name: 'lns1', index: 0, address: 10, vip: 0, peer: 'lns2' },
      { name: 'lns2', index: 1, address: 11, vip: 0, peer: null },
      { name: 'lns3', index: 2, address: 12, vip: 0, peer: null },
      { name: 'other', index: 3, address: 13, vip: 1, peer: null },
    ],
    1,
  );
  const answers: TakeOverAnswer[] = [];
  const order = (message: TakeOverOrder): string | null => {
    const before = answers.length;
    made.order(message, (answer) => answers.push(answer));
    return answers.length > before ? (answers.at(-1) as TakeOverAnswer).result : null;
  };
  const finish = (id: number, moved = 3, left = 0): void => {
    for (let shard = 0; shard < shards; shard++) made.rePointed(shard, [{ id, moved, left }]);
  };
  return { desk: made, state, sent, alive, dead, rows, answers, order, finish };
}

describe('a claim', () => {
  test('is given to every shard and answered when all have done it', () => {
    const d = desk();
    expect(d.order({ ...CLAIM, ranges: [{ low: 1, high: 9 }] })).toBeNull();
    expect(d.sent).toEqual(
      [0, 1].map((shard) => [shard, { id: 1, server: 0, heir: 1, ranges: [{ low: 1, high: 9 }], grace: 0 }]),
    );
    expect([d.alive, d.dead]).toEqual([[1], [0]]);
    expect(d.desk.rows()).toMatchObject([{ state: 'working', server: 'lns1', heir: 'lns2', kind: 'claim' }]);
    d.desk.rePointed(0, [{ id: 1, moved: 3, left: 0 }]);
    d.desk.rePointed(0, [{ id: 1, moved: 3, left: 0 }]);
    expect(d.answers).toEqual([]);
    d.desk.rePointed(1, [{ id: 1, moved: 4, left: 0 }]);
    expect(d.answers).toMatchObject([{ kind: 'answer', sequence: 1, result: 'taken', tunnels: 7, generation: 5 }]);
    expect(d.rows).toMatchObject([{ state: 'done', tunnels: 7, left: 0 }]);
  });

  test('is refused as long as anything comes from the server, and believed at once when health knows better', () => {
    const d = desk();
    d.state.heard.set(0, 99.5);
    expect(d.order(CLAIM)).toBe('still-heard');
    d.state.down.add(0);
    expect(d.order({ ...CLAIM, sequence: 2 })).toBeNull();
    d.state.down.clear();
    d.state.now = 110;
    d.finish(1);
    expect(d.answers.at(-1)?.result).toBe('taken');
  });

  test('that is refused for that reason has not used up its generation', () => {
    const d = desk();
    d.state.heard.set(0, 99.5);
    d.order(CLAIM);
    d.state.now = 101;
    expect(d.order({ ...CLAIM, sequence: 2 })).toBeNull();
    expect(d.sent).toHaveLength(2);
  });

  test('that comes again is answered as the first one, and moves nothing again', () => {
    const d = desk();
    d.order(CLAIM);
    expect(d.order({ ...CLAIM, sequence: 2 })).toBeNull();
    d.finish(1);
    expect(d.answers.map(({ sequence, result }) => [sequence, result])).toEqual([
      [1, 'taken'],
      [2, 'taken'],
    ]);
    expect(d.order({ ...CLAIM, sequence: 3 })).toBe('taken');
    expect(d.answers.at(-1)?.tunnels).toBe(6);
    expect(d.sent).toHaveLength(2);
  });

  test('after which some tunnels stayed behind says so', () => {
    const d = desk();
    d.order(CLAIM);
    d.finish(1, 2, 1);
    expect(d.answers.at(-1)).toMatchObject({ result: 'incomplete', tunnels: 4 });
    expect(d.order({ ...CLAIM, sequence: 3 })).toBe('incomplete');
  });
});

test.each([
  ['unknown-server', { ...CLAIM, server: 'nobody' }],
  ['unknown-server', { ...CLAIM, server: 'other', sender: 'lns2' }],
  ['not-peer', { ...CLAIM, heir: 'lns3', sender: 'lns3' }],
  ['not-entitled', { ...CLAIM, sender: 'lns1' }],
  ['not-entitled', { ...CLAIM, sender: 'lns3' }],
  ['not-entitled', { ...YIELD, sender: 'lns2' }],
  ['not-entitled', { ...CLAIM, kind: 'ask' as const, sender: 'lns3' }],
])('%s', (result, order) => {
  const d = desk();
  expect(d.order(order as TakeOverOrder)).toBe(result);
  expect([d.sent, d.state.changes]).toEqual([[], 0]);
});

describe('the fence', () => {
  test('of two servers that both give orders the one with the higher generation wins, in either direction', () => {
    const d = desk();
    d.order(CLAIM);
    d.finish(1);
    expect(d.order({ ...YIELD, generation: 4 })).toBe('old-generation');
    expect(d.order({ ...YIELD, generation: 5 })).toBe('old-generation');
    expect(d.answers.at(-1)?.generation).toBe(5);
    const back: TakeOverOrder = { ...YIELD, sender: 'lns2', server: 'lns2', heir: 'lns1', generation: 6 };
    expect(d.order(back)).toBeNull();
    d.finish(2);
    expect(d.order({ ...CLAIM, sequence: 9 })).toBe('old-generation');
    expect(d.order({ ...CLAIM, kind: 'ask', sender: 'lns1' })).toBe('known');
    expect(d.answers.at(-1)?.generation).toBe(6);
  });

  test('survives the process', () => {
    const d = desk();
    d.order(CLAIM);
    d.finish(1);
    const next = desk();
    next.desk.recall(JSON.parse(JSON.stringify(d.desk.remember())));
    expect(next.order({ ...CLAIM, sequence: 2 })).toBe('old-generation');
    expect(next.order({ ...CLAIM, generation: 6 })).toBeNull();
    expect(next.desk.heirPairs()).toEqual([[10, 11]]);
    expect(next.desk.rows().map(({ generation }) => generation)).toEqual([6]);
  });
});

describe('a claim of the heir and a gift of the server for the same tunnels', () => {
  test('may cross: whichever comes second has nothing to do', () => {
    const d = desk();
    d.state.heard.set(0, 99.9);
    expect(d.order(CLAIM)).toBe('still-heard');
    expect(d.order({ ...YIELD, generation: 9 })).toBeNull();
    expect(d.order({ ...CLAIM, sequence: 2 })).toBe('working');
    d.finish(1);
    d.state.empty.add(0);
    expect(d.order({ ...CLAIM, sequence: 3 })).toBe('taken');
    expect([d.sent.length, d.dead]).toEqual([2, []]);
    expect(d.answers.at(-1)?.generation).toBe(9);
  });

  test('an order that has nothing to do ends lower generations nevertheless', () => {
    const d = desk();
    d.state.empty.add(0);
    expect(d.order({ ...CLAIM, generation: 7 })).toBe('taken');
    d.state.empty.clear();
    expect(d.order({ ...YIELD, generation: 6 })).toBe('old-generation');
    expect(d.order({ ...YIELD, generation: 7 })).toBe('old-generation');
  });
});

test('a silent server that can be asked is asked first', () => {
  const d = desk();
  d.state.confirms = false;
  expect(d.order(CLAIM)).toBe('still-heard');
  expect(d.state.asked).toEqual([0]);
  d.state.down.add(0);
  expect(d.order({ ...CLAIM, sequence: 2 })).toBeNull();
});

test('a shard that starts anew does what is still to be done', () => {
  const d = desk();
  d.order(CLAIM);
  d.desk.rePointed(0, [{ id: 1, moved: 1, left: 0 }]);
  d.sent.length = 0;
  d.desk.shardUp(0);
  d.desk.shardUp(1);
  expect(d.sent.map(([shard]) => shard)).toEqual([1]);
  d.desk.rePointed(1, [{ id: 1, moved: 1, left: 0 }]);
  d.desk.shardUp(1);
  expect(d.sent).toHaveLength(1);
});

test('so many orders at once, and no more', () => {
  const d = desk();
  for (let generation = 1; generation <= WORKING_LIMIT; generation++)
    expect(d.order({ ...YIELD, generation })).toBeNull();
  expect(d.order({ ...YIELD, generation: WORKING_LIMIT + 1 })).toBe('busy');
  d.finish(1);
  expect(d.order({ ...YIELD, generation: WORKING_LIMIT + 1 })).toBeNull();
});

test('whether a dead server’s tunnels should wait', () => {
  const d = desk();
  expect([0, 1, 2, 9].map((server) => d.desk.hasPeer(server))).toEqual([true, true, false, false]);
  d.state.down.add(1);
  expect(d.desk.hasPeer(0)).toBe(false);
});

test('pairs that were never used are shown as ready', () => {
  const d = desk();
  expect(d.desk.rows()).toEqual([
    { server: 'lns1', heir: 'lns2', kind: null, generation: 0, state: 'ready', tunnels: 0, left: 0, ageSeconds: null },
  ]);
});

// ── keeper ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const YAML = `
vips:
  - name: access
    address: 200.200.100.1
    servers:
      - { name: lns1, address: 10.10.1.1, peer: lns2 }
      - { name: lns2, address: 10.10.1.2 }
takeOver: { listen: '127.0.0.1:1', secret: a secret of some length, clockSkew: 30s }
`;
/** Any free port, which the configuration's text has no word for. */
const config = (() => {
  const compiled = configOf(YAML);
  return { ...compiled, takeOver: { ...compiled.takeOver, listen: { host: '127.0.0.1', port: 0 } } } as typeof compiled;
})();

describe('the keeper', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'take-over-'));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  const START_MS = 1_750_000_000_000;

  async function keeper(started = true) {
    const appliance = new MemoryAppliance(config);
    const { binding, memory } = appliance;
    // A tunnel of lns1's.
    memory.records[RECORD.state] = RECORD_STATE.established;
    memory.records[RECORD.place] = binding.servers[0].index;
    memory.records[RECORD.serverChannel] = 7;
    const events = new EventLog();
    const messages: ShardMessage[] = [];
    const state = { heard: false, alive: 0, clock: START_MS };
    const made = new TakeOverKeeper({
      binding,
      logger: createLogger('error'),
      events,
      health: {
        heardSince: () => state.heard,
        confirmDead: () => true,
        health: {
          declareDown: (server, detail) =>
            binding.states.enter(server, SERVER_STATE.down, SERVER_REASON.takenOver, detail),
          declareAlive: () => state.alive++,
        },
      },
      shards: 1,
      message: (_, message) => messages.push(message),
      file: takeOverFile(path.join(folder, 'control.sock')),
      now: () => 1000,
      clock: () => state.clock,
    });
    if (started) await made.start(config);
    const answers: TakeOverMessage[] = [];
    const receive = (bytes: Uint8Array): void =>
      made.receive(bytes, (answer) => {
        expect(isAuthenticTakeOver(answer, KEY)).toBe(true);
        answers.push(readTakeOver(answer) as TakeOverMessage);
      });
    const refused = (): Record<string, number> =>
      Object.fromEntries(made.drops().flatMap(({ reason, packets }) => (packets > 0 ? [[reason, packets]] : [])));
    return { keeper: made, binding, events, messages, state, answers, receive, refused };
  }

  test('has its order done, tells it, and remembers it', async () => {
    const k = await keeper();
    k.receive(buildTakeOver({ ...CLAIM, timeMs: START_MS }, KEY));
    const order = k.messages.find((message) => message.type === 're-point');
    expect(order).toMatchObject({ order: { id: 1, ranges: [] } });
    k.keeper.rePointed(0, [{ id: 1, moved: 12, left: 0 }]);
    expect(k.answers).toMatchObject([{ result: 'taken', tunnels: 12 }]);
    expect(k.binding.states.history(k.binding.servers[0].index).at(-1)).toMatchObject({
      to: 'down',
      reason: 'its peer has taken over its tunnels',
      detail: 'lns2 has its tunnels',
    });
    expect(k.events.recent().at(-1)).toMatchObject({ type: 'take-over', server: 'lns1', heir: 'lns2', tunnels: 12 });
    expect(JSON.parse(readFileSync(takeOverFile(path.join(folder, 'control.sock')), 'utf8'))).toEqual({
      version: 1,
      pairs: [{ names: ['lns1', 'lns2'], generation: 5 }],
      heirs: [{ server: 'lns1', heir: 'lns2' }],
    });
    k.keeper.stop();

    const next = await keeper();
    next.receive(buildTakeOver({ ...CLAIM, timeMs: START_MS, sequence: 2 }, KEY));
    expect(next.answers).toMatchObject([{ result: 'old-generation', generation: 5 }]);
    next.keeper.shardUp(0);
    expect(next.messages).toMatchObject([{ type: 'heirs', pairs: [[expect.any(Number), expect.any(Number)]] }]);
    next.keeper.stop();
  });

  test('believes nobody else: every fault has its count, and no answer', async () => {
    const k = await keeper();
    const good = { ...CLAIM, kind: 'ask' as const, timeMs: START_MS };
    k.receive(buildTakeOver(good, KEY));
    expect(k.answers).toMatchObject([{ result: 'known' }]);
    k.receive(buildTakeOver(good, KEY));
    k.receive(buildTakeOver({ ...good, sequence: 2 }, Buffer.from('another secret, also long')));
    k.receive(buildTakeOver({ ...good, sequence: 3, timeMs: START_MS - 31_000 }, KEY));
    k.receive(buildTakeOver({ ...good, sequence: 4, timeMs: START_MS + 31_000 }, KEY));
    k.receive(buildTakeOver({ ...good, sequence: 5, sender: 'nobody' }, KEY));
    k.receive(Uint8Array.of(1, 2, 3));
    k.receive(new Uint8Array(5000));
    const other = buildTakeOver({ ...good, sequence: 6 }, KEY);
    other[4] = 2;
    k.receive(other);
    k.receive(buildTakeOver({ ...(k.answers[0] as TakeOverAnswer), sequence: 7 }, KEY));
    expect(k.refused()).toEqual({
      'take-over-replayed': 1,
      'take-over-bad-hmac': 1,
      'take-over-late': 1,
      'take-over-early': 1,
      'take-over-unknown-sender': 1,
      'take-over-malformed': 3,
      'take-over-version': 1,
    });
    expect(k.answers).toHaveLength(1);
    expect(k.events.recent({ types: ['take-over-refused'] })).toHaveLength(5);
    expect(k.keeper.accepted).toBe(1);
    k.keeper.stop();
  });

  test('an order for tunnels that the server does not have is done already', async () => {
    const k = await keeper();
    const other = { ...CLAIM, timeMs: START_MS, ranges: [{ low: 8, high: 9 }] };
    k.receive(buildTakeOver(other, KEY));
    expect(k.answers).toMatchObject([{ result: 'taken', tunnels: 0, generation: 5 }]);
    expect(k.messages).toEqual([]);
    k.keeper.stop();
  });

  test('a refusal is told', async () => {
    const k = await keeper();
    k.state.heard = true;
    k.receive(buildTakeOver({ ...CLAIM, timeMs: START_MS }, KEY));
    expect(k.answers).toMatchObject([{ result: 'still-heard', generation: 0 }]);
    expect(k.events.recent().at(-1)).toMatchObject({
      type: 'take-over-refused',
      reason: 'still-heard',
      server: 'lns1',
    });
    k.keeper.stop();
  });

  test('a memory that cannot be read is as none', async () => {
    writeFileSync(takeOverFile(path.join(folder, 'control.sock')), '{"version":1,"pairs":[{"names":[3]}],"heirs":[]}');
    const k = await keeper();
    expect(k.keeper.rows()).toMatchObject([{ generation: 0, state: 'ready' }]);
    k.keeper.stop();
  });

  test('a server that dies waits for its peer, and only where messages are taken', async () => {
    const k = await keeper(false);
    const { index } = k.binding.servers[0];
    expect(k.keeper.waitFor(index)).toBe(0);
    await k.keeper.start(config);
    expect(k.keeper.waitFor(index)).toBe(10);
    k.binding.states.enter(k.binding.servers[1].index, SERVER_STATE.down, SERVER_REASON.silent);
    expect(k.keeper.waitFor(index)).toBe(0);
    k.keeper.stop();
  });

  test('answers a client over the network: it asks again until the tunnels are moved', async () => {
    const k = await keeper();
    k.state.heard = true;
    k.state.clock = Date.now();
    const client = new TakeOverClient({
      designators: [{ host: '127.0.0.1', port: k.keeper.port as number }],
      key: KEY,
      repeatMs: 5,
      giveUpMs: 30_000,
    });
    const { kind, sender, server, heir, generation } = CLAIM;
    const answer = client.order({ kind, sender, server, heir, generation });
    await until(() => k.keeper.accepted >= 2);
    k.state.heard = false;
    await until(() => k.messages.some((message) => message.type === 're-point'));
    k.keeper.rePointed(0, [{ id: 1, moved: 9, left: 0 }]);
    expect(await answer).toMatchObject([{ result: 'taken', tunnels: 9, generation: 5 }]);
    client.close();
    k.keeper.stop();
  });

  test('a designator that is not there is asked until it is given up', async () => {
    let now = 0;
    const client = new TakeOverClient({
      designators: [{ host: '127.0.0.1', port: 9 }],
      key: KEY,
      repeatMs: 1,
      giveUpMs: 1000,
      clock: () => (now += 300),
    });
    const { kind, sender, server, heir, generation } = CLAIM;
    expect(await client.order({ kind, sender, server, heir, generation })).toEqual([
      { host: '127.0.0.1', port: 9, result: 'no-answer', generation: 0, tunnels: 0 },
    ]);
    client.close();
  });
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}
