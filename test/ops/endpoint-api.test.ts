import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { FastifyInstance } from 'fastify';
import { type EndpointApiOptions, endpointApp, endpointPages, ROLE_HEADER } from '../../src/ops/endpoint-api.js';
import { EndpointMetrics } from '../../src/ops/endpoint-metrics.js';
import { createLogger } from '../../src/ops/log.js';
import { FakeEndpoint } from '../helpers/fake-endpoint.js';

let endpoint: FakeEndpoint;
let app: FastifyInstance;
let pages: FastifyInstance;

beforeEach(async () => {
  endpoint = new FakeEndpoint();
  const options: EndpointApiOptions = {
    endpoint,
    socket: '',
    http: null,
    logger: createLogger('error'),
    version: '1.2.3',
    nodeVersion: '20.0.0',
  };
  const metrics = new EndpointMetrics(endpoint, { version: '1.2.3', node: '20.0.0' });
  app = await endpointApp(options, metrics);
  pages = await endpointPages(options, metrics);
});
afterEach(async () => {
  await app.close();
  await pages.close();
});

const get = (url: string) => app.inject({ method: 'GET', url });
const post = (url: string, payload?: object) => app.inject({ method: 'POST', url, payload });

describe('tables', () => {
  test('each is one JSON array, under its name, and says whose it is', async () => {
    const answer = await get('/v1/tunnels');
    expect(answer.headers[ROLE_HEADER]).toBe('lns');
    expect(answer.json()).toHaveLength(2);
    expect((await get('/v1/drops')).json()[0]).toMatchObject({ reason: 'spoofed', packets: 3 });
  });

  test.each([
    ['?tunnel=8', [8]],
    ['?client=192.0.2.9:1701', [7]],
    ['?client=%5B2001:db8:0::9%5D:1701', [8]],
    ['?limit=1', [7]],
    ['?tunnel=9', []],
  ])('narrowed by %s', async (query, ids) => {
    expect((await get(`/v1/tunnels${query}`)).json().map((row: { tunnelId: number }) => row.tunnelId)).toEqual(ids);
  });

  test.each([
    ['/v1/tunnels?vip=access', 400, 'vip'],
    ['/v1/drops?tunnel=7', 400, 'tunnel'],
    ['/v1/tunnels?tunnel=65536', 400, '65535'],
    ['/v1/tunnels?client=nonsense', 400, 'nonsense'],
    ['/v1/pools', 404, '/v1/pools'],
  ])('%s is refused with %i', async (url, status, word) => {
    const answer = await get(url);
    expect(answer.statusCode).toBe(status);
    expect(answer.json().message).toContain(word);
  });
});

describe('commands', () => {
  test('a command gets its body and gives its answer', async () => {
    expect((await post('/v1/command/switchover', { peer: 'lns2' })).json()).toEqual({ moved: 2 });
    expect(endpoint.asked).toEqual([{ peer: 'lns2' }]);
  });

  test('a body of another form is refused before the command sees it', async () => {
    expect((await post('/v1/command/switchover', {})).statusCode).toBe(400);
    expect((await post('/v1/command/switchover', { peer: 'lns2', all: true })).statusCode).toBe(400);
    expect(endpoint.asked).toEqual([]);
  });

  test('its error keeps its code', async () => {
    const answer = await post('/v1/command/switchover', { peer: 'nobody' });
    expect(answer.statusCode).toBe(404);
    expect(answer.json()).toMatchObject({ code: 'TD_NOT_FOUND', message: 'no peer "nobody"' });
  });

  test('reload tells what changed, or what is wrong', async () => {
    expect((await post('/v1/reload')).json()).toMatchObject({ ok: true, changes: ['log.level'] });
    const problem = { severity: 'error', file: 'f', line: 1, column: 1, path: 'tun', message: 'fixed' } as const;
    endpoint.reloadResult = { ok: false, problems: [problem], changes: [] };
    const answer = await post('/v1/reload');
    expect(answer.statusCode).toBe(409);
    expect(answer.json().context.problems).toEqual([problem]);
  });

  test('the role says what it has', async () => {
    const { role, tables, commands } = (await get('/v1/role')).json();
    expect(role).toBe('lns');
    expect(tables.map(({ name }: { name: string }) => name)).toEqual(['tunnels', 'drops']);
    expect(commands[0]).toMatchObject({ name: 'switchover', body: { required: ['peer'] } });
  });
});

describe('health, events and metrics', () => {
  test('ready and healthy are told apart', async () => {
    expect((await get('/healthz')).statusCode).toBe(200);
    endpoint.isReady = false;
    endpoint.trouble = 'worker 1 hangs';
    expect((await get('/readyz')).json()).toMatchObject({ status: 'failed' });
    expect((await get('/healthz')).json()).toEqual({ status: 'failed', reason: 'worker 1 hangs', version: '1.2.3' });
  });

  test('figures of one name differ by their reason', async () => {
    const text = (await pages.inject({ method: 'GET', url: '/metrics' })).body;
    expect(text).toContain('designator_sessions 2\n');
    expect(text).toContain('designator_dropped_packets_total{reason="spoofed"} 3\n');
    expect(text).toContain('designator_dropped_packets_total{reason="no-session"} 4\n');
    expect(text).toContain('# TYPE designator_process_cpu_seconds_total counter');
  });

  test('the pages change nothing and show no tables', async () => {
    expect((await pages.inject({ method: 'GET', url: '/v1/tunnels' })).statusCode).toBe(404);
    expect((await pages.inject({ method: 'POST', url: '/v1/reload' })).statusCode).toBe(404);
  });

  test('what is remembered of events', async () => {
    endpoint.events.emit('session-established', { user: 'alice' });
    const answer = await get('/v1/events?follow=false&sinceSeconds=10');
    expect(JSON.parse(answer.body)).toMatchObject({ type: 'session-established', user: 'alice' });
  });
});
