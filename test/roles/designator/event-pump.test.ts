import { describe, expect, it } from 'vitest';
import { REFUSALS_PER_SECOND } from '../../../src/dataplane/event-tap.js';
import type { CompiledRule } from '../../../src/config/compiled.js';
import { PORT_INSIDE } from '../../../src/io/port.js';
import { EventLog } from '../../../src/ops/events.js';
import { EventPump } from '../../../src/roles/designator/event-pump.js';
import {
  cdn,
  iccn,
  icrp,
  icrq,
  l2tpData,
  sccrp,
  sccrq,
  scccn,
  stopccn,
  udpFrame,
} from '../../helpers/packet-builder.js';
import { CLIENT, Harness, type HarnessOptions, SERVER_2, VIP } from '../../helpers/shard-harness.js';

function scene(options: HarnessOptions = {}) {
  const harness = new Harness({ eventSlots: 1024, ...options });
  const log = new EventLog();
  const pump = new EventPump(log, harness.eventRings, harness.binding, () => harness.now);
  return {
    harness,
    log,
    pump,
    up: (payload: Uint8Array) => harness.send(udpFrame(`${CLIENT}:1701`, `${VIP}:1701`, payload)),
    down: (payload: Uint8Array, server = SERVER_2) =>
      harness.send(udpFrame(`${server}:1701`, `${CLIENT}:1701`, payload), PORT_INSIDE),
    events() {
      while (pump.poll());
      return log.recent().map(({ seq: _seq, time: _time, ...event }) => event);
    },
  };
}

const TUNNEL = {
  vip: 'access',
  protocol: 'l2tp',
  client: `${CLIENT}:1701`,
  clientTunnelId: 7,
  server: 'lns2',
  serverAddress: SERVER_2,
  serverPort: 1701,
  virtualTunnelId: null,
};

describe('events of a shard', () => {
  it('tells the whole life of a tunnel and its session', () => {
    const s = scene();
    s.up(sccrq({ assigned: 7 }));
    s.up(sccrq({ assigned: 7 })); // repeated: no news
    s.down(sccrp({ tunnel: 7, assigned: 99 }));
    s.up(scccn({ tunnel: 99 }));
    s.up(icrq({ tunnel: 99, assigned: 5 }));
    s.down(icrp({ tunnel: 7, session: 5, assigned: 6 }));
    s.up(iccn({ tunnel: 99, session: 6 }));
    s.up(l2tpData({ tunnel: 99, session: 6, payload: 'ff03' }));
    s.down(cdn({ tunnel: 7, session: 5, assigned: 6, result: 3 }));
    s.harness.at(1012);
    s.down(stopccn({ tunnel: 7, assigned: 99, result: 6 }));
    const known = { ...TUNNEL, serverTunnelId: 99 };
    expect(s.events()).toEqual([
      { type: 'tunnel-request', ...TUNNEL, serverTunnelId: null },
      { type: 'tunnel-established', ...known },
      { type: 'session-requested', ...known, clientSessionId: 5, serverSessionId: null },
      { type: 'session-established', ...known, clientSessionId: 5, serverSessionId: 6 },
      { type: 'session-closed', ...known, clientSessionId: 5, serverSessionId: 6, resultCode: 3 },
      {
        type: 'tunnel-closed',
        ...known,
        reason: 'server',
        resultCode: 6,
        durationSeconds: 12,
        sessions: 0,
        packetsIn: 6,
        packetsOut: 3,
        bytesIn: expect.any(Number),
        bytesOut: expect.any(Number),
      },
    ]);
  });

  it.each([
    ['half-open-timeout', false, 70],
    ['idle-timeout', true, 700],
  ])('names the %s', (reason, established, seconds) => {
    const s = scene();
    s.up(sccrq({ assigned: 7 }));
    if (established) {
      s.down(sccrp({ tunnel: 7, assigned: 99 }));
      s.up(scccn({ tunnel: 99 }));
    }
    for (let at = 1001; at <= 1000 + seconds; at++) s.harness.at(at);
    expect(s.events().filter(({ type }) => type === 'tunnel-closed')).toMatchObject([{ reason, resultCode: null }]);
  });

  it('names a command, and says each end once', () => {
    const s = scene();
    s.up(sccrq({ assigned: 7 }));
    s.harness.tell({ type: 'release', server: s.harness.binding.servers[1].index });
    for (let at = 1001; at <= 1050; at++) s.harness.at(at);
    expect(s.events().filter(({ type }) => type === 'tunnel-closed')).toMatchObject([{ reason: 'command' }]);
    expect(s.harness.rows.tunnels()).toEqual([]);
  });

  it('tells refusals, and of a flood of them only so many with the number of the others', () => {
    const s = scene({ halfOpen: 1 });
    for (let id = 1; id <= 1 + REFUSALS_PER_SECOND + 25; id++) s.up(sccrq({ assigned: id }));
    s.harness.at(1001);
    s.up(sccrq({ assigned: 5000 }));
    const refusals = s.events().filter(({ type }) => type === 'request-refused');
    expect(refusals).toHaveLength(REFUSALS_PER_SECOND + 1);
    expect(refusals[0]).toEqual({
      type: 'request-refused',
      vip: 'access',
      protocol: 'l2tp',
      client: `${CLIENT}:1701`,
      clientTunnelId: 2,
      reason: 'half-open-limit',
      rule: null,
      suppressed: 0,
    });
    expect(refusals.at(-1)).toMatchObject({ clientTunnelId: 5000, suppressed: 25 });
  });

  it('names the rule that refused', () => {
    const rule = {
      action: 'deny',
      name: 'strangers',
      from: [],
      to: [],
      vips: [],
      protocols: [],
      attributes: null,
      limit: null,
    };
    const s = scene({ rules: [rule as unknown as CompiledRule] });
    const named = new EventPump(
      s.log,
      s.harness.eventRings,
      s.harness.binding,
      () => s.harness.now,
      (n) => `rule ${n}`,
    );
    s.up(sccrq({ assigned: 7 }));
    named.poll();
    expect(s.log.recent()).toMatchObject([{ type: 'request-refused', reason: 'firewall-denied', rule: 'rule 0' }]);
  });

  it('loses events before it waits, and says how many', () => {
    const s = scene({ eventSlots: 4 });
    for (let id = 1; id <= 10; id++) s.up(sccrq({ assigned: id }));
    expect(s.events().map(({ type, count, where }) => (type === 'lost' ? { count, where } : type))).toEqual([
      'tunnel-request',
      'tunnel-request',
      'tunnel-request',
      'tunnel-request',
      { count: 6, where: 'shard 0' },
    ]);
    expect(s.harness.rows.tunnels()).toHaveLength(10);
    expect(s.log.totals().lostBefore).toBe(6);
  });

  it('dates events by the wall clock', () => {
    const s = scene();
    s.up(sccrq({ assigned: 7 }));
    s.harness.at(1002.5);
    const before = Date.now();
    s.pump.poll();
    const at = Date.parse(s.log.recent()[0].time);
    expect(at).toBeGreaterThanOrEqual(before - 2500);
    expect(at).toBeLessThanOrEqual(Date.now() - 2500);
  });
});
