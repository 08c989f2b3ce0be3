import { describe, expect, test } from 'vitest';
import { statusPage } from '../../src/ops/status-page.js';
import { FakeAppliance } from '../helpers/fake-appliance.js';

const now = new Date('2030-01-02T04:05:06Z');
const textOf = (html: string) =>
  html
    .replace(/<style>.*<\/style>/s, '')
    .replace(/<[^>]+>/g, ' ')
    .replace(/\s+/g, ' ');

test('tells what runs: addresses, servers, workers and the reasons that count', () => {
  const text = textOf(statusPage(new FakeAppliance(), '1.2.3', now));
  expect(text).toContain('ready 3 of 512 tunnels, 4 sessions up since 2030-01-02 03:04:05 UTC');
  expect(text).toContain('access 200.200.100.1 1701 l2tp weighted-round-robin 3 4 2 of 2');
  expect(text).toContain('lns2 access 10.10.1.2 1701 up 2 0.25 1 2 45 s');
  expect(text).toContain('1 running packet 2,000 1 0.2 s ago');
  expect(text).toContain('truncated 3 the frame is shorter');
  expect(text).not.toContain('no-server');
});

test('loads nothing from elsewhere and holds no form or script', () => {
  const html = statusPage(new FakeAppliance(), '1.2.3', now);
  expect(html).toMatch(/<meta http-equiv="refresh" content="5">/);
  expect(html).not.toMatch(/<script|<form|<iframe|src=|url\(|@import|https?:/i);
  expect([...html.matchAll(/href="([^"]*)"/g)].map((match) => match[1])).toEqual(['data:,', '/metrics', '/healthz']);
});

test('names are text, whatever they hold', () => {
  const appliance = new FakeAppliance();
  appliance.serverRows = [
    { ...appliance.serverRows[0], name: '<script>alert("1")</script>', state: 'down', reason: `a & 'b'` },
  ];
  appliance.trouble = '<b>shard</b>';
  const html = statusPage(appliance, '1.2.3', now);
  expect(html).not.toMatch(/<script|<b>/);
  expect(html).toContain('&#60;script&#62;alert(&#34;1&#34;)');
  expect(html).toContain('a &#38; &#39;b&#39;');
  expect(html).toContain('<strong class="state bad">&#60;b&#62;shard');
});

test('without a drop it says so', () => {
  const appliance = new FakeAppliance();
  appliance.drops = () => [];
  expect(textOf(statusPage(appliance, '1.2.3', now))).toContain('No packet was dropped.');
});

test('tells what servers went through and what happened last, newest first, in bounds', () => {
  const appliance = new FakeAppliance();
  for (let n = 1; n <= 50; n++)
    appliance.events.emit('tunnel-request', { client: `192.0.2.${n}:1701`, server: '<i>lns1' });
  appliance.serverRows[0].history = Array.from({ length: 32 }, (_, n) => ({
    at: `2029-01-01T00:00:${String(n).padStart(2, '0')}.000Z`,
    from: 'free',
    to: 'up',
    reason: null,
    detail: null,
  }));
  const html = statusPage(appliance, '1.2.3', now);
  const text = textOf(html);
  expect(text).toMatch(
    /2030-01-02 04:01:00 lns2 down up heard from again 2030-01-02 04:00:00 lns2 up down silent while tunnels ask: 3 tunnels/,
  );
  expect(text).toContain('2029-01-01 00:00:31 lns1 – up configured');
  expect(text).not.toContain('2029-01-01 00:00:05');
  expect(text.match(/tunnel-request client/g)).toHaveLength(20);
  expect(text.indexOf('192.0.2.50:1701')).toBeLessThan(text.indexOf('192.0.2.31:1701'));
  expect(text).not.toContain('192.0.2.30:1701');
  expect(html).not.toContain('<i>');
});

describe('a designator that shares with others', () => {
  const table = (rows: readonly object[]) => ({ description: '', filters: [], rows: () => [rows] });
  const member = {
    kind: 'member',
    number: 1,
    name: 'td1',
    self: true,
    role: 'designator',
    part: 'all',
    state: 'ready',
    reason: null,
    address: '10.99.0.1',
    version: '1.2.3',
    tunnels: 2000,
    sessions: 1999,
    serversUp: 4,
    hearsUs: true,
    incarnation: '1',
    heardSecondsAgo: 0,
    memberSeconds: 60,
  };
  const gateway = {
    group: 'outside',
    gateway: 1,
    self: true,
    state: 'master',
    master: true,
    alive: true,
    address: '10.10.1.1',
    priority: 109,
    able: true,
    reasons: '',
    serves: '1,2',
    hosts: 3,
    ageSeconds: 0,
  };

  function shared(tables: Readonly<Record<string, readonly object[]>>, degraded: string | null = null): FakeAppliance {
    const all = new Map(Object.entries(tables).map(([name, rows]) => [name, table(rows)]));
    return Object.assign(new FakeAppliance(), {
      degraded: () => degraded,
      groups: () => ({ tables: all, commands: new Map(), metrics: () => [] }),
    });
  }

  const tables = {
    cluster: [
      {
        kind: 'bus',
        cluster: 'pop1',
        number: 1,
        driver: 'nats',
        state: 'degraded',
        reason: '<i>away',
        duties: 'inactivation',
      },
      member,
      {
        ...member,
        number: 2,
        self: false,
        name: null,
        role: null,
        part: null,
        state: 'refused',
        reason: 'other VIPs',
        tunnels: null,
        heardSecondsAgo: 90,
      },
      {
        kind: 'stream',
        origin: 2,
        shard: 0,
        writer: 1,
        self: true,
        state: 'current',
        generation: 3,
        position: 9,
        tunnels: 1000,
        sessions: 7,
        waiting: 0,
      },
    ],
    groups: [{ group: 'outside', interface: 'lan0', addresses: '10.10.1.100', master: 1 }],
    gateways: [
      gateway,
      {
        ...gateway,
        gateway: 2,
        self: false,
        state: 'dead',
        alive: false,
        able: false,
        reasons: 'lan1 is down',
        ageSeconds: 5,
      },
    ],
  };

  test('shows the bus, the members, the streams and the gateway groups', () => {
    const text = textOf(statusPage(shared(tables), '1.2.3', now));
    expect(text).toContain('Cluster pop1: bus nats: degraded (&#60;i&#62;away), does for all: inactivation');
    expect(text).toContain('1 td1 (this) ready designator all 10.99.0.1 2,000 1,999 4 now');
    expect(text).toContain('2 – refused – – 10.99.0.1 – 1,999 4 1 min ago other VIPs');
    expect(text).toContain('2 0 1 (this) current 3 1,000 7 0');
    expect(text).toContain('Gateway group outside on lan0: 10.10.1.100, master 1');
    expect(text).toContain('1 (this) master 10.10.1.1 109 1,2 3 now');
    expect(text).toContain('2 dead 10.10.1.1 109 1,2 3 5 s ago lan1 is down');
  });

  test('says when it is degraded', () => {
    const html = statusPage(shared(tables, 'the bus: <b>away'), '1.2.3', now);
    expect(html).toContain('<strong class="state warn">degraded: the bus: &#60;b&#62;away');
    expect(html).not.toMatch(/<i>|<b>/);
  });

  test('shows no more streams than fit a page', () => {
    const streams = Array.from({ length: 500 }, (_, shard) => ({ ...tables.cluster[3], shard }));
    const text = textOf(statusPage(shared({ cluster: streams }), '1.2.3', now));
    expect(text.match(/1 \(this\) current 3/g)).toHaveLength(64);
  });
});
