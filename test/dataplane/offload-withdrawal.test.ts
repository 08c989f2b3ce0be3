import { describe, expect, test } from 'vitest';
import type { CaptureFilter } from '../../src/dataplane/plan.js';
import { FLAG_DENIED, SERVER_STATE } from '../../src/flow/layout.js';
import { PORT_INSIDE, PORT_OUTSIDE } from '../../src/io/port.js';
import { cdn, stopccn } from '../helpers/packet-builder.js';
import { CLIENT, type HarnessOptions, SERVER_1 } from '../helpers/shard-harness.js';
import {
  toVip,
  toClient,
  harness,
  connect,
  flags,
  isIn,
  isOut,
  wait,
  offloaded,
  openSession,
  setServer,
} from '../helpers/offload-harness.js';

describe('coming out', () => {
  test.each([
    ['client', () => toVip(stopccn({ tunnel: 99, assigned: 7 })), PORT_OUTSIDE],
    ['server', () => toClient(SERVER_1, stopccn({ tunnel: 7, assigned: 99 })), PORT_INSIDE],
  ] as const)('StopCCN of the %s, at once', (_side, message, port) => {
    const { h, record } = offloaded();
    h.ports[0].waiting.push({ frame: message(), ingress: port });
    h.shards[0].turn(0);
    expect(isOut(h, record)).toBe(true);
    wait(h, 1);
    expect(h.rows.tunnels()).toMatchObject([{ state: 'closing', offloaded: false }]);
  });

  test('CDN of its last session, until another one stands', () => {
    const { h, record } = offloaded();
    openSession(h);
    openSession(h, 12, 23);
    expect(isIn(h, record)).toBe(true);
    h.send(toVip(cdn({ tunnel: 99, session: 22, assigned: 11 })));
    expect(isIn(h, record)).toBe(true);
    h.send(toVip(cdn({ tunnel: 99, session: 23, assigned: 12 })));
    expect(isOut(h, record)).toBe(true);
    wait(h, 1);
    h.tell({ type: 'review' });
    wait(h, 1);
    expect(isOut(h, record)).toBe(true);
    openSession(h, 13, 24);
    wait(h);
    expect(isIn(h, record)).toBe(true);
    expect([h.count('offloaded'), h.count('withdrawn')]).toEqual([2, 1]);
  });

  test('a new tunnel with the record of one whose sessions had ended goes in', () => {
    const { h, record } = offloaded();
    openSession(h);
    h.send(toVip(cdn({ tunnel: 99, session: 22, assigned: 11 })));
    h.send(toVip(stopccn({ tunnel: 99, assigned: 7 })));
    h.at(h.now + 60);
    h.at(h.now + 60);
    expect(h.rows.tunnels()).toEqual([]);
    expect(connect(h)).toBe(record);
    wait(h);
    expect(isIn(h, record)).toBe(true);
  });

  test.each(['down', 'draining', 'disabled', 'inactive'] as const)('a server that is %s', (state) => {
    const { h, record } = offloaded();
    setServer(h, SERVER_STATE[state]);
    h.tell({ type: 'review' });
    h.shards[0].turn(0);
    expect(isOut(h, record)).toBe(true);
    wait(h, 1);
    expect(isOut(h, record)).toBe(true);
    setServer(h, SERVER_STATE.slowStart);
    h.tell({ type: 'review' });
    wait(h);
    wait(h);
    expect(isIn(h, record)).toBe(true);
  });

  test('mere suspicion takes nothing out', () => {
    const { h, record } = offloaded();
    setServer(h, SERVER_STATE.suspect);
    h.tell({ type: 'review' });
    wait(h, 1);
    expect(isIn(h, record)).toBe(true);
  });

  test('the drain’s deadline ends it in both ends’ name', () => {
    const { h, record } = offloaded();
    h.tell({ type: 'release', server: h.binding.servers[0].index });
    h.settle();
    expect(isOut(h, record)).toBe(true);
    expect(h.rows.tunnels()).toMatchObject([{ state: 'closing', offloaded: false }]);
  });

  test('a rule that denies its client; and back when the rule has gone', () => {
    const { h, record } = offloaded();
    const from = [
      { words: [0, 0, 0xffff, 0xc0800a00] as const, length: 120, text: '192.128.10.0/24', family: 4 as const },
    ];
    const rule = { name: null, action: 'deny' as const, from, to: [], vips: [], protocols: [], path: 'rules[0]' };
    h.reconfigure({ rules: [rule] as unknown as HarnessOptions['rules'] });
    expect(isOut(h, record)).toBe(true);
    expect(flags(h, record).map((f) => f & FLAG_DENIED)).toEqual([0, FLAG_DENIED]);
    wait(h, 1);
    expect(isOut(h, record)).toBe(true);
    h.reconfigure({ rules: [] });
    wait(h);
    wait(h);
    expect(flags(h, record).map((f) => f & FLAG_DENIED)).toEqual([0, 0]);
    expect(isIn(h, record)).toBe(true);
  });

  const captures: [string, CaptureFilter, boolean][] = [
    ['of all', { slot: 0 }, true],
    ['of its id', { slot: 0, clientTunnelId: 7 }, true],
    ['of another id', { slot: 0, clientTunnelId: 8 }, false],
    ['of its client', { slot: 0, client: [0, 0, 0xffff, 0xc0800a05], clientPort: 1701 }, true],
    ['of another port', { slot: 0, client: [0, 0, 0xffff, 0xc0800a05], clientPort: 1702 }, false],
    ['of another client', { slot: 0, client: [0, 0, 0xffff, 0xc0800a06] }, false],
  ];
  test.each(captures)('a capture %s', (_what, capture, wanted) => {
    const { h, record } = offloaded();
    h.tell({ type: 'capture', captures: [capture] });
    h.shards[0].turn(0);
    expect(isOut(h, record)).toBe(wanted);
    expect(isIn(h, record)).toBe(!wanted);
    wait(h, 1);
    expect(isOut(h, record)).toBe(wanted);
    h.tell({ type: 'capture', captures: [] });
    wait(h);
    wait(h);
    expect(isIn(h, record)).toBe(true);
  });

  test('a capture that is there already keeps new tunnels out', () => {
    const h = harness();
    h.tell({ type: 'capture', captures: [{ slot: 0 }] });
    const record = connect(h);
    wait(h, 1);
    expect(isOut(h, record)).toBe(true);
  });

  test('only the owner’s shard writes', () => {
    const h = harness({ shards: 2 });
    const records = [CLIENT, '192.128.10.6', '192.128.10.7', '192.128.10.8'].map((client, n) =>
      connect(h, 7, 99 + n, client),
    );
    wait(h);
    expect(records.map((record) => isIn(h, record))).toEqual([true, true, true, true]);
    setServer(h, SERVER_STATE.down);
    h.shards[0].message({ type: 'review' });
    h.settle();
    const owners = h.rows.tunnels().map((row) => row.shard);
    expect(new Set(owners).size).toBe(2);
    const rows = h.rows.tunnels();
    expect(rows.map((row) => row.offloaded)).toEqual(owners.map((shard) => shard !== 0));
  });
});
