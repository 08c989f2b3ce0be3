import { beforeEach, describe, expect, it } from 'vitest';
import { Designator } from '../../../src/designation/designate.js';
import {
  CELL_WORDS,
  HEADER,
  SERVER_CELL,
  SERVER_FLAG,
  SERVER_REASON,
  SERVER_STATE,
  VIP_CELL,
} from '../../../src/flow/layout.js';
import { NextHopTable } from '../../../src/flow/next-hop-table.js';
import { PORT_INSIDE } from '../../../src/io/port.js';
import { FollowForecast } from '../../../src/roles/designator/follow-forecast.js';
import { type ExplainParts, explain } from '../../../src/roles/designator/explain.js';
import { scccn, sccrp, sccrq, stopccn, udpFrame } from '../../helpers/packet-builder.js';
import { CLIENT, Harness, type HarnessOptions, SERVER_2, VIP } from '../../helpers/shard-harness.js';

const WHO = `${CLIENT}:1701`;
let h: Harness;
let parts: ExplainParts;

function scene(options: HarnessOptions = {}, more: Partial<ExplainParts> = {}): void {
  h = new Harness(options);
  const designator = new Designator(h.memory);
  designator.setPlan(h.plan);
  const { memory, binding, rows, config } = h;
  const followForecast = new FollowForecast(memory, designator.cells);
  parts = {
    memory,
    binding,
    rows,
    designator,
    followForecast,
    config,
    refuses: () => null,
    doubts: () => null,
    flooded: false,
    ...more,
  };
}

const ask = (tunnel?: number, client = WHO) =>
  explain(parts, { client, vip: 'access', ...(tunnel === undefined ? {} : { tunnel }) });
const up = (payload: Uint8Array) => h.send(udpFrame(WHO, `${VIP}:1701`, payload));
const cell = (server: number, word: number, value: number) => {
  h.memory.servers[h.binding.servers[server].index * CELL_WORDS + word] = value;
};

beforeEach(() => scene());

describe('explain', () => {
  it('names the server that the next request gets, and all that might have', () => {
    const row = ask();
    expect(row).toMatchObject({ server: 'lns2', existing: false, refusal: null, notes: [] });
    expect(row.reason).toMatch(/weight/);
    expect(row.candidates).toMatchObject([
      { server: 'lns1', takes: true, why: null, state: 'up', weight: 1 },
      { server: 'lns2', takes: true, why: null, state: 'up', weight: 2 },
    ]);
    expect(ask().server).toBe('lns2'); // no turn was used up
    const { sent } = up(sccrq({ assigned: 7 }));
    expect([...sent[0].frame.subarray(30, 34)].join('.')).toBe(SERVER_2);
  });

  it('knows a tunnel that there is, one that is closing, and others of the client', () => {
    up(sccrq({ assigned: 7 }));
    expect(ask(7)).toMatchObject({ server: 'lns2', existing: true, reason: expect.stringContaining('half-open') });
    h.send(udpFrame(`${SERVER_2}:1701`, WHO, sccrp({ tunnel: 7, assigned: 99 })), PORT_INSIDE);
    up(scccn({ tunnel: 99 }));
    expect(ask(7).reason).toContain('established');
    expect(ask(8).notes).toEqual([expect.stringMatching(/^1 other tunnel of this client, at lns2: .*RFC 4951/)]);
    up(stopccn({ tunnel: 99, assigned: 7, result: 1 }));
    expect(ask(7)).toMatchObject({ existing: false, notes: [expect.stringContaining('is closing at lns2')] });
  });

  it.each([
    [SERVER_STATE.down, SERVER_REASON.silent, 'down: silent while tunnels ask'],
    [SERVER_STATE.suspect, SERVER_REASON.unanswered, 'suspect: control messages stay unanswered'],
    [SERVER_STATE.draining, SERVER_REASON.command, 'draining: command'],
    [SERVER_STATE.disabled, SERVER_REASON.command, 'disabled: command'],
  ])('says of a server in state %i why it takes none, and since when', (state, reason, why) => {
    h.binding.states.enter(h.binding.servers[0].index, state, reason, '', 990);
    expect(ask().candidates[0]).toMatchObject({ takes: false, why, sinceSeconds: 10 });
  });

  it('says so of its weight and its load status', () => {
    cell(0, SERVER_CELL.weight, 0);
    expect(ask().candidates[0].why).toBe('its weight is 0');
    cell(0, SERVER_CELL.weight, 1);
    cell(0, SERVER_CELL.flags, SERVER_FLAG.notAccepting);
    expect(ask().candidates[0].why).toBe('its load status says: not accepting');
    cell(0, SERVER_CELL.flags, SERVER_FLAG.heldBack);
    expect(ask().candidates[0].why).toMatch(/no load status/);
  });

  it('says what a refusal is counted under', () => {
    for (const server of h.binding.servers)
      h.binding.states.enter(server.index, SERVER_STATE.down, SERVER_REASON.silent);
    expect(ask()).toMatchObject({ server: null, refusal: 'no-server' });
    scene({}, { refuses: () => 'the firewall denies this client' });
    expect(ask()).toMatchObject({
      server: null,
      refusal: 'firewall-denied',
      reason: 'the firewall denies this client',
    });
    scene({ halfOpen: 1 });
    up(sccrq({ assigned: 1 }));
    expect(ask()).toMatchObject({ refusal: 'half-open-limit', reason: expect.stringContaining('halfOpen is 1') });
    expect(up(sccrq({ assigned: 2 })).sent).toEqual([]);
    expect(h.drops()).toEqual({ 'half-open-limit': 1 });
    scene();
    h.memory.header[HEADER.recordsUsed] = h.memory.layout.recordCount;
    expect(ask()).toMatchObject({ refusal: 'table-full', reason: expect.stringContaining('table.connections') });
  });

  it('follows the client’s tunnel where servers hide their ids', () => {
    up(sccrq({ assigned: 7 }));
    h.memory.vips[h.binding.vips[0].index * CELL_WORDS + VIP_CELL.hiddenSeen] = 1000;
    for (let n = 0; n < 3; n++) {
      expect(ask()).toMatchObject({
        server: 'lns2',
        reason: expect.stringMatching(/affinity.*hide their tunnel ids.*tunnel 7/),
      });
    }
    expect(ask(undefined, '192.0.2.77:1701').reason).not.toContain('hide');
  });

  it('says which tunnel a recovering request follows, and when there is none to follow', () => {
    up(sccrq({ assigned: 7 }));
    h.send(udpFrame(`${SERVER_2}:1701`, WHO, sccrp({ tunnel: 7, assigned: 99 })), PORT_INSIDE);
    up(scccn({ tunnel: 99 }));
    const recovers = (recover: string) => explain(parts, { client: WHO, vip: 'access', recover });
    for (let n = 0; n < 3; n++) {
      expect(recovers('7:99')).toMatchObject({
        server: 'lns2',
        reason: expect.stringMatching(/^recovery: .*tunnel 7/),
      });
      up(sccrq({ assigned: 50 + n })); // whosever turn it is
    }
    expect(recovers('7:98').reason).toMatch(/^tunnel 7\/98 to be recovered is not in the table.*; weighted/);
    cell(1, SERVER_CELL.state, SERVER_STATE.down);
    expect(recovers('7:99')).toMatchObject({ server: 'lns1' });
  });

  it('says that a request with a tie breaker meets the server that dials', () => {
    h.send(udpFrame(`${SERVER_2}:1701`, WHO, sccrq({ assigned: 40 })), PORT_INSIDE);
    cell(1, SERVER_CELL.weight, 0);
    expect(ask().server).toBe('lns1');
    expect(explain(parts, { client: WHO, vip: 'access', tie: true })).toMatchObject({
      server: 'lns2',
      reason: expect.stringMatching(/^tie breaker/),
    });
  });

  it('notes rates, doubts and neighbours that do not answer', () => {
    scene({ requestsPerSecond: 5, burst: 9 }, { doubts: () => 'unless a rule refuses it', flooded: true });
    new NextHopTable(h.memory).setUnresolved(
      h.memory.servers[h.binding.servers[1].index * CELL_WORDS + SERVER_CELL.nextHop],
    );
    expect(ask().notes).toEqual([
      'unless a rule refuses it',
      expect.stringContaining('request-unproven'),
      'each source may ask for 5 new tunnels a second, 9 at once; beyond that: request-rate',
      expect.stringMatching(/way to lns2 is not known yet: neighbour-unresolved/),
    ]);
  });

  it('refuses what it cannot read', () => {
    expect(() => explain(parts, { client: WHO, vip: 'nobody' })).toThrow(/no VIP is named "nobody"/);
    expect(() => explain(parts, { client: 'x', vip: 'access' })).toThrow(/write it as/);
  });
});
