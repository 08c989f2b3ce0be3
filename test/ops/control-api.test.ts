import { existsSync, linkSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { DesignatorError } from '../../src/errors.js';
import { PcapLimiter } from '../../src/ops/capture.js';
import { FakeAppliance, ManyTunnels, tunnelRow } from '../helpers/fake-appliance.js';
import { ask, open, type Running, startApi } from './http.js';

describe('routes of the socket', () => {
  let appliance: FakeAppliance;
  let running: Running;

  beforeAll(async () => {
    appliance = new FakeAppliance();
    running = await startApi(appliance);
  });
  afterEach(() => {
    appliance.failure = null;
    appliance.trouble = null;
    appliance.isReady = true;
  });
  afterAll(() => running[Symbol.asyncDispose]());

  const get = (path: string) => ask(running, 'GET', path);
  const post = (path: string, body?: unknown) => ask(running, 'POST', path, body);

  test.each([
    ['/v1/vips', () => appliance.vips()],
    ['/v1/vip-map', () => appliance.vipMap()],
    ['/v1/nat', () => appliance.natRows()],
    ['/v1/servers', () => appliance.servers()],
    ['/v1/tunnels', () => appliance.tunnels()],
    ['/v1/workers', () => appliance.workers()],
    ['/v1/drops', () => appliance.drops()],
    ['/v1/firewall', () => appliance.firewall()],
    ['/v1/counters', () => appliance.counters()],
    ['/v1/take-overs', () => appliance.takeOvers()],
  ])('GET %s answers the rows of the appliance, unchanged', async (path, rows) => {
    const answer = await get(path);
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toBe('application/json; charset=utf-8');
    expect(answer.headers['cache-control']).toBe('no-store');
    expect(answer.json()).toEqual(rows());
  });

  test('a crash for tests is asked for by the number of a shard', async () => {
    expect((await post('/v1/test/crash?shard=1')).json()).toEqual({});
    expect((await post('/v1/test/crash?shard=x')).status).toBe(400);
    appliance.failure = new DesignatorError('TD_NOT_FOUND', 'no running shard 9');
    expect((await post('/v1/test/crash?shard=9')).status).toBe(404);
    expect((await get('/openapi.json')).json().paths['/v1/test/crash']).toBeUndefined();
  });

  test.each([
    ['?vip=access&server=lns1', [12, 13]],
    ['?client=192.128.10.5:1701', [11, 12]],
    ['?client=192.128.10.5:1701&tunnel=12', [12]],
    ['?client=%5B2001:DB8:0:0::5%5D:1701', [13]],
    ['?limit=1', [11]],
    ['?vip=none', []],
  ])('tunnels are narrowed by %s', async (query, ids) => {
    const answer = await get(`/v1/tunnels${query}`);
    expect(answer.json().map((row: { clientTunnelId: number }) => row.clientTunnelId)).toEqual(ids);
  });

  test.each([
    ['/v1/tunnels?limit=0', /query limit must be >= 1/],
    ['/v1/tunnels?tunnel=abc', /query tunnel must be integer/],
    ['/v1/tunnels?tunel=1', /query must NOT have additional properties: "tunel"/],
    ['/v1/tunnels?client=10.0.0.1', /client "10.0.0.1": write it as/],
    ['/v1/explain?vip=access', /query must have required property 'client'/],
    ['/v1/explain?vip=access&client=10.0.0.1:0', /the port must be 1/],
  ])('%s is a readable 400', async (path, message) => {
    const answer = await get(path);
    expect(answer.status).toBe(400);
    expect(answer.json()).toMatchObject({
      code: 'TD_USAGE',
      message: expect.stringMatching(message),
      context: expect.anything(),
    });
  });

  test('explain tells a tunnel in the table from a new one, and an unknown VIP is 404', async () => {
    expect((await get('/v1/explain?client=192.128.10.5:1701&vip=access&tunnel=11')).json()).toMatchObject({
      server: 'lns2',
      reason: 'tunnel is in the table',
      existing: true,
    });
    expect((await get('/v1/explain?client=192.0.2.1:1701&vip=access')).json()).toMatchObject({ existing: false });
    const unknown = await get('/v1/explain?client=192.0.2.1:1701&vip=x');
    expect(unknown.status).toBe(404);
    expect(unknown.json()).toEqual({ code: 'TD_NOT_FOUND', message: 'no VIP named "x"', context: { vip: 'x' } });
  });

  test('a command reaches the appliance, answers the rows as they are then and is logged', async () => {
    const drained = await post('/v1/servers/command', { action: 'drain', names: ['lns1'], deadlineSeconds: 30 });
    expect(drained.status).toBe(200);
    expect(drained.json()).toMatchObject([{ name: 'lns1', state: 'draining' }]);
    expect(appliance.commands.at(-1)).toEqual({ action: 'drain', names: ['lns1'], deadlineSeconds: 30 });
    expect(running.log()).toContainEqual(
      expect.objectContaining({ msg: 'servers changed by command', action: 'drain' }),
    );
    const weighed = await post('/v1/servers/command', { action: 'weight', names: ['lns1', 'lns2'], weight: 7 });
    expect(weighed.json().map((row: { weight: number }) => row.weight)).toEqual([7, 7]);
    await post('/v1/servers/command', { action: 'enable', names: ['lns1'] });
    expect((await get('/v1/servers')).json()[0].state).toBe('up');
  });

  test.each([
    [
      { action: 'stop', names: ['lns1'] },
      400,
      /body action must be equal to one of the allowed values \(drain, enable/,
    ],
    [{ action: 'drain', names: [] }, 400, /body names must NOT have fewer than 1 items/],
    [{ action: 'weight', names: ['lns1'] }, 400, /which needs it/],
    [{ action: 'enable', names: ['lns1'], weight: 3 }, 400, /belongs to the action "weight"/],
    [
      { action: 'disable', names: ['lns1'], deadlineSeconds: 3 },
      400,
      /belongs to the actions "drain" and "inactivate"/,
    ],
    [{ action: 'weight', names: ['lns1'], weight: -1 }, 400, /body weight must be >= 0/],
    ['{"action":', 400, /JSON/],
    [{ action: 'drain', names: ['lns1', 'nobody'] }, 404, /no server named "nobody"/],
  ])('command %j is refused with %i and changes nothing', async (body, status, message) => {
    const before = appliance.commands.length;
    const answer = await post('/v1/servers/command', body);
    expect(answer.status).toBe(status);
    expect(answer.json().message).toMatch(message);
    expect(appliance.commands.length).toBe(before);
  });

  test('a body beyond the limit is refused', async () => {
    const answer = await post('/v1/servers/command', { action: 'drain', names: ['x'.repeat(300_000)] });
    expect(answer.status).toBe(400);
    expect(answer.json().message).toMatch(/too large/);
  });

  test('reload answers its result, and 409 with the problems when the file is wrong', async () => {
    expect((await post('/v1/reload')).json()).toEqual({ ok: true, problems: [], changes: ['server lns3 added'] });
    const problem = {
      severity: 'error',
      file: 'd.yaml',
      line: 3,
      column: 5,
      path: 'vips',
      message: 'Required',
    } as const;
    appliance.reloadResult = { ok: false, problems: [problem], changes: [] };
    const answer = await post('/v1/reload');
    expect(answer.status).toBe(409);
    expect(answer.json()).toMatchObject({ code: 'TD_CONFIG', context: { problems: [problem] } });
  });

  test('errors of the appliance become JSON: known ones with their code, others without their inner words', async () => {
    appliance.failure = new DesignatorError('TD_CONFLICT', 'a sentence', { fact: 1 });
    expect(await get('/v1/vips')).toMatchObject({ status: 409 });
    appliance.failure = new DesignatorError('TD_UNAVAILABLE', 'a sentence');
    expect(await get('/v1/vips')).toMatchObject({ status: 503 });
    appliance.failure = new TypeError('secret detail');
    const answer = await get('/v1/vips');
    expect(answer.status).toBe(500);
    expect(answer.json()).toEqual({ code: 'TD_INTERNAL', message: 'internal error; the log says more', context: {} });
    const line = running.log().find(({ msg }) => msg === 'a control request failed');
    expect(line).toMatchObject({ level: 'error', path: '/v1/vips', err: { message: 'secret detail' } });
  });

  test('unknown routes and methods are 404 in the same form', async () => {
    for (const [method, path] of [
      ['GET', '/v1/nothing'],
      ['DELETE', '/v1/servers'],
      ['GET', '/v1/reload'],
    ]) {
      const answer = await ask(running, method, path);
      expect(answer.status).toBe(404);
      expect(answer.json()).toEqual({ code: 'TD_NOT_FOUND', message: `no such route: ${method} ${path}`, context: {} });
    }
  });

  test('health and readiness: 200, or 503 with the reason', async () => {
    expect(await get('/healthz')).toMatchObject({ status: 200 });
    expect(await get('/readyz')).toMatchObject({ status: 200 });
    appliance.trouble = 'shard 1 shows no heartbeat';
    appliance.isReady = false;
    const health = await get('/healthz');
    expect(health.status).toBe(503);
    expect(health.json()).toEqual({ status: 'failed', reason: 'shard 1 shows no heartbeat', version: '1.2.3' });
    expect(await get('/readyz')).toMatchObject({ status: 503 });
  });

  test('metrics come in the text format', async () => {
    const answer = await get('/metrics');
    expect(answer.headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(answer.body.toString()).toContain('\ndesignator_packets_in_total{shard="1"} 500\n');
  });

  test('the OpenAPI document names every route, and every reference in it leads somewhere', async () => {
    const document = (await get('/openapi.json')).json();
    expect(document.openapi).toBe('3.1.0');
    expect(document.info).toMatchObject({ title: expect.any(String), version: '1.2.3' });
    const operations = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.keys(item as object).map((method) => `${method} ${path}`),
    );
    expect(operations.sort()).toEqual([
      'get /healthz',
      'get /metrics',
      'get /readyz',
      'get /v1/capture',
      'get /v1/counters',
      'get /v1/drops',
      'get /v1/events',
      'get /v1/explain',
      'get /v1/firewall',
      'get /v1/nat',
      'get /v1/servers',
      'get /v1/take-overs',
      'get /v1/top',
      'get /v1/tunnels',
      'get /v1/vip-map',
      'get /v1/vips',
      'get /v1/workers',
      'post /v1/reload',
      'post /v1/servers/command',
    ]);
    for (const item of Object.values<any>(document.paths)) {
      for (const operation of Object.values<any>(item)) {
        expect(operation.summary).toMatch(/\w/);
        expect(Object.keys(operation.responses).length).toBeGreaterThan(0);
        for (const response of Object.values<any>(operation.responses))
          expect(response.description).toEqual(expect.any(String));
      }
    }
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map((match) => match[1]);
    expect(references.length).toBeGreaterThan(10);
    for (const reference of references) {
      const found = reference
        .slice(2)
        .split('/')
        .reduce((node: any, key) => node?.[key], document);
      expect(found, reference).toBeTypeOf('object');
    }
    const tunnel = document.components.schemas.Tunnel;
    expect(Object.keys(tunnel.properties)).toEqual(Object.keys(tunnelRow()));
  });
});

describe('capture', () => {
  const frame = (byte: number, length = 60) => new Uint8Array(length).fill(byte);

  test('ends after count frames and tells the counts in the trailers', async () => {
    const appliance = new FakeAppliance();
    await using running = await startApi(appliance);
    const response = await open(running, 'GET', '/v1/capture?tunnel=11&client=192.128.10.5:1701&count=2');
    expect(response.headers['content-type']).toBe('application/vnd.tcpdump.pcap');
    expect(appliance.captureFilters).toEqual([{ tunnel: 11, client: '192.128.10.5:1701' }]);
    for (let i = 0; i < 5; i++) appliance.hub.publish(frame(i), 1000 + i);
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    expect(bytes.length).toBe(24 + 2 * (16 + 60));
    expect(bytes.readUInt32LE(0)).toBe(0xa1b2c3d4);
    expect(bytes.readUInt32LE(24 + 76)).toBe(1001);
    expect(response.trailers).toEqual({ 'x-captured-frames': '2', 'x-dropped-frames': '0' });
    expect(appliance.hub.active).toBe(false);
  });

  test('several readers get the same frames; one that stops reading loses its own only', async () => {
    const appliance = new FakeAppliance();
    await using running = await startApi(appliance);
    const [slow, quick] = await Promise.all([
      open(running, 'GET', '/v1/capture'),
      open(running, 'GET', '/v1/capture?count=10000'),
    ]);
    slow.pause();
    let quickBytes = 0;
    const quickDone = new Promise<void>((resolve) =>
      quick.on('data', (chunk) => (quickBytes += chunk.length)).on('end', resolve),
    );
    for (let sent = 0; sent < 10_000; sent += 100) {
      for (let i = 0; i < 100; i++) appliance.hub.publish(frame(1, 1500), sent + i);
      await new Promise((resolve) => setImmediate(resolve));
      while (quickBytes < 24 + sent * 1516) await new Promise((resolve) => setImmediate(resolve));
    }
    await quickDone;
    expect(quickBytes).toBe(24 + 10_000 * 1516);
    expect(quick.trailers).toEqual({ 'x-captured-frames': '10000', 'x-dropped-frames': '0' });
    // 15 MB were published; the slow one may have 4 MiB waiting and what two socket buffers hold.
    appliance.hub.close();
    const counter = new PcapLimiter(Number.POSITIVE_INFINITY);
    for await (const chunk of slow) counter.take(chunk);
    const dropped = Number(slow.trailers['x-dropped-frames']);
    expect(dropped).toBeGreaterThan(3000);
    expect(counter.records + dropped).toBe(10_000);
    expect(slow.trailers['x-captured-frames']).toBe(String(counter.records));
  });

  test('the 17th capture is refused, and a reader that goes frees its place', async () => {
    const appliance = new FakeAppliance();
    await using running = await startApi(appliance);
    const readers = await Promise.all(Array.from({ length: 16 }, () => open(running, 'GET', '/v1/capture')));
    const refused = await ask(running, 'GET', '/v1/capture');
    expect(refused.status).toBe(409);
    expect(refused.json().message).toBe('16 captures run already; end one of them first');
    readers[3].destroy();
    while (appliance.hub.captures().length === 16) await new Promise((resolve) => setImmediate(resolve));
    expect(appliance.hub.captures().map(({ slot }) => slot)).not.toContain(3);
    for (const reader of readers) reader.destroy();
  });

  test('closing the API ends an open capture with its trailers', async () => {
    const appliance = new FakeAppliance();
    await using running = await startApi(appliance);
    const response = await open(running, 'GET', '/v1/capture');
    appliance.hub.publish(frame(9), 5);
    const body = (async () => {
      let length = 0;
      for await (const chunk of response) length += chunk.length;
      return length;
    })();
    await running.api.close();
    expect(await body).toBe(24 + 76);
    expect(response.trailers['x-captured-frames']).toBe('1');
  });
});

describe('many tunnels', () => {
  test('100,000 rows arrive whole', async () => {
    await using running = await startApi(new ManyTunnels(100_000));
    const rows = (await ask(running, 'GET', '/v1/tunnels')).json();
    expect(rows.length).toBe(100_000);
    expect(rows[99_999].clientTunnelId).toBe(99_999);
  });

  test('rows are made only as fast as the reader takes them', async () => {
    const appliance = new ManyTunnels(100_000);
    await using running = await startApi(appliance);
    const response = await open(running, 'GET', '/v1/tunnels');
    response.pause();
    // Each slice costs one turn of the event loop, so without back-pressure all 200 would be made by now.
    for (let turn = 0; turn < 2000; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(appliance.made).toBeLessThan(20_000);
    let text = '';
    for await (const chunk of response) text += chunk;
    expect(JSON.parse(text).length).toBe(100_000);
  });

  test('a slice that fails in the middle breaks the answer off: half a table never looks whole', async () => {
    const appliance = new ManyTunnels(0);
    appliance.tunnelSlices = function* () {
      yield [tunnelRow()];
      throw new Error('the table went away');
    };
    await using running = await startApi(appliance);
    await expect(ask(running, 'GET', '/v1/tunnels')).rejects.toThrow(/aborted/);
  });
});

describe('the socket file', () => {
  test('has mode 0660, in a directory that was made, and goes at the end', async () => {
    await using running = await startApi(new FakeAppliance());
    const stat = statSync(running.socket);
    expect(stat.isSocket()).toBe(true);
    expect(stat.mode & 0o777).toBe(0o660);
    await running.api.close();
    expect(existsSync(running.socket)).toBe(false);
    await running.api.close();
  });

  test('a live one is respected: TD_CONFLICT, and the first goes on', async () => {
    await using running = await startApi(new FakeAppliance());
    await expect(startApi(new FakeAppliance(), { socket: running.socket })).rejects.toMatchObject({
      code: 'TD_CONFLICT',
      message: `another designator answers on ${running.socket}`,
    });
    expect((await ask(running, 'GET', '/healthz')).status).toBe(200);
  });

  test('one that a dead process left is replaced', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'td-stale-'));
    try {
      const socket = join(directory, 'control.sock');
      // A hard link keeps the file when its listener removes its own name.
      const first = createServer();
      await new Promise<void>((resolve) => first.listen(join(directory, 'first'), resolve));
      linkSync(join(directory, 'first'), socket);
      await new Promise((resolve) => first.close(resolve));
      expect(statSync(socket).isSocket()).toBe(true);
      await using running = await startApi(new FakeAppliance(), { socket });
      expect((await ask(running, 'GET', '/healthz')).status).toBe(200);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  test('another kind of file is left alone, and odd places are named', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'td-odd-'));
    try {
      const file = join(directory, 'file');
      writeFileSync(file, 'mine');
      await expect(startApi(new FakeAppliance(), { socket: file })).rejects.toMatchObject({
        code: 'TD_CONFLICT',
        message: /is not a socket/,
      });
      expect(statSync(file).size).toBe(4);
      await expect(startApi(new FakeAppliance(), { socket: join(file, 'x.sock') })).rejects.toMatchObject({
        code: 'TD_CONFIG',
      });
      await expect(startApi(new FakeAppliance(), { socket: `/tmp/${'x'.repeat(110)}` })).rejects.toMatchObject({
        code: 'TD_CONFIG',
        message: /107 bytes at most/,
      });
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});

describe('control.http', () => {
  let appliance: FakeAppliance;
  let running: Running;
  let target: { port: number };

  beforeAll(async () => {
    appliance = new FakeAppliance();
    running = await startApi(appliance, { http: true });
    target = { port: running.api.httpAddress?.port ?? 0 };
  });
  afterAll(() => running[Symbol.asyncDispose]());

  test('serves metrics, health and the page', async () => {
    for (const path of ['/metrics', '/healthz', '/readyz', '/'])
      expect((await ask(target, 'GET', path)).status, path).toBe(200);
    const page = await ask(target, 'GET', '/');
    expect(page.headers['content-type']).toBe('text/html; charset=utf-8');
    expect(page.headers['content-security-policy']).toMatch(/default-src 'none'/);
  });

  test('changes nothing: every change is 404, by any method', async () => {
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
      for (const path of ['/v1/servers/command', '/v1/reload', '/metrics', '/healthz', '/']) {
        const answer = await ask(target, method, path, { action: 'drain', names: ['lns1'] });
        expect(answer.status, `${method} ${path}`).toBe(404);
      }
    }
    for (const path of ['/v1/tunnels', '/v1/capture', '/v1/reload'])
      expect((await ask(target, 'GET', path)).status).toBe(404);
    expect(appliance.commands).toEqual([]);
  });

  test('a port that is taken is a conflict, and then nothing stays behind', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'td-taken-'));
    const { startControlApi } = await import('../../src/ops/control-api.js');
    const { createLogger } = await import('../../src/ops/log.js');
    const socket = join(directory, 'control.sock');
    const start = startControlApi({
      appliance,
      socket,
      http: { host: '127.0.0.1', port: target.port },
      logger: createLogger('error'),
      version: '1',
      nodeVersion: '1',
    });
    await expect(start).rejects.toMatchObject({
      code: 'TD_CONFLICT',
      message: `control.http 127.0.0.1:${target.port}: another process listens there`,
    });
    expect(existsSync(socket)).toBe(false);
    rmSync(directory, { recursive: true });
  });
});
