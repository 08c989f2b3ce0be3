import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeAppliance } from '../helpers/fake-appliance.js';
import { ask, open, type Running, startApi } from './http.js';

let appliance: FakeAppliance;
let running: Running;
beforeEach(async () => {
  appliance = new FakeAppliance();
  running = await startApi(appliance);
});
afterEach(() => running[Symbol.asyncDispose]());

const lines = (body: Buffer) =>
  body
    .toString()
    .split('\n')
    .filter((text) => text !== '')
    .map((text) => JSON.parse(text));

describe('GET /v1/events', () => {
  it('without follow answers what is remembered and matches', async () => {
    appliance.events.emit('reload', { ok: true });
    appliance.events.emit('server-state', { server: 'lns1', to: 'down' });
    appliance.events.emit('server-state', { server: 'lns2', to: 'down' });
    const get = async (query: string) => {
      const answer = await ask(running, 'GET', `/v1/events?follow=false${query}`);
      expect(answer.status).toBe(200);
      expect(answer.headers['content-type']).toBe('application/x-ndjson');
      return lines(answer.body).map(({ seq }) => seq);
    };
    expect(await get('')).toEqual([1, 2, 3]);
    expect(await get('&type=server-state&server=lns2')).toEqual([3]);
    expect(await get('&type=server-state,reload&count=2')).toEqual([2, 3]);
    expect(await get('&sinceSeconds=60')).toEqual([1, 2, 3]);
    expect(await get('&sinceSeconds=0')).toEqual([]);
  });

  it('follows, and ends after count', async () => {
    appliance.events.emit('reload', { n: 0 });
    const response = await open(running, 'GET', '/v1/events?sinceSeconds=60&count=3');
    const got: unknown[] = [];
    appliance.events.emit('reload', { n: 1 });
    appliance.events.emit('reload', { n: 2 });
    appliance.events.emit('reload', { n: 3 });
    for await (const text of createInterface({ input: response })) got.push(JSON.parse(text).n);
    expect(got).toEqual([0, 1, 2]);
    expect(appliance.events.watched).toBe(false);
  });

  it('a reader that stands still costs nothing but its own events, and is told how many', async () => {
    const response = await open(running, 'GET', '/v1/events');
    response.pause();
    const total = 40_000;
    const filler = 'x'.repeat(500);
    for (let n = 0; n < total; n++) {
      appliance.events.emit('reload', { n, filler });
      if (n % 1000 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(appliance.events.totals().lostInStreams).toBeGreaterThan(0);
    appliance.events.emit('reload', { n: 'last' });
    let events = 0;
    let lost = 0;
    for await (const text of createInterface({ input: response })) {
      const event = JSON.parse(text);
      if (event.type === 'lost') lost += event.count;
      else events++;
      if (events + lost === total + 1) break;
    }
    response.destroy();
    expect(lost).toBeGreaterThan(0);
    expect(events + lost).toBe(total + 1);
  });

  it.each([
    ['?type=nonsense', /no event has the type "nonsense"; there are tunnel-request/],
    ['?sinceSeconds=-1', /sinceSeconds must be >= 0/],
    ['?count=0', /count must be >= 1/],
    ['?client=x', /client "x"/],
  ])('%s is a readable 400', async (query, message) => {
    const answer = await ask(running, 'GET', `/v1/events${query}`);
    expect(answer.status).toBe(400);
    expect(answer.json().message).toMatch(message);
  });

  it('the end of the server ends the stream', async () => {
    const response = await open(running, 'GET', '/v1/events');
    const ended = new Promise((resolve) => response.on('end', resolve).resume());
    await running.api.close();
    await ended;
    expect(appliance.events.watched).toBe(false);
  });
});
