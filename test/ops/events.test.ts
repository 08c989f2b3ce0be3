import { describe, expect, it } from 'vitest';
import { type ApplianceEvent, EventLog, STREAMS_MAX } from '../../src/ops/events.js';

function collect(log: EventLog, filter: Parameters<EventLog['open']>[0] = {}): ApplianceEvent[] {
  const got: ApplianceEvent[] = [];
  log.open(filter).onData((event) => got.push(event));
  return got;
}

describe('EventLog', () => {
  it('gives every event a number, a time and its fields, flat', () => {
    const log = new EventLog({ clock: () => Date.UTC(2026, 0, 2, 3, 4, 5, 678) });
    log.emit('server-state', { server: 'lns1', from: 'up', to: 'down', detail: undefined });
    expect(log.recent()).toEqual([
      { seq: 1, time: '2026-01-02T03:04:05.678Z', type: 'server-state', server: 'lns1', from: 'up', to: 'down' },
    ]);
    expect(JSON.stringify(log.recent()[0])).not.toContain('detail');
  });

  it('puts words into fields only when somebody reads, and once', () => {
    const log = new EventLog();
    let told = 0;
    log.emitWords('tunnel-request', 5, new Int32Array([7]), (words) => {
      told++;
      return { clientTunnelId: words[0] };
    });
    expect(told).toBe(0);
    expect(log.recent()[0]).toMatchObject({ clientTunnelId: 7, time: '1970-01-01T00:00:00.005Z' });
    log.recent();
    expect(told).toBe(1);
  });

  it('remembers a bounded number', () => {
    const log = new EventLog({ memoryLimit: 3 });
    for (let n = 0; n < 10; n++) log.emit('reload', { n });
    expect(log.recent().map(({ n }) => n)).toEqual([7, 8, 9]);
    expect(log.recent({}, 2).map(({ n }) => n)).toEqual([8, 9]);
    expect(log.totals().byType.find(({ type }) => type === 'reload')?.count).toBe(10);
  });

  it('filters by type, by field and by time', () => {
    let now = 1000;
    const log = new EventLog({ clock: () => now });
    log.emit('tunnel-request', { client: '192.0.2.1:1701', server: 'a', vip: 'v' });
    now = 2000;
    log.emit('tunnel-closed', { client: '192.0.2.1:1701', server: 'b', vip: 'v' });
    log.emit('reload', {});
    const seqs = (filter: Parameters<EventLog['recent']>[0]) => log.recent(filter).map(({ seq }) => seq);
    expect(seqs({ types: ['tunnel-closed', 'reload'] })).toEqual([2, 3]);
    expect(seqs({ types: [] })).toEqual([1, 2, 3]);
    expect(seqs({ client: '192.0.2.1:1701' })).toEqual([1, 2]);
    expect(seqs({ client: '192.0.2.1:1701', server: 'b' })).toEqual([2]);
    expect(seqs({ sinceMs: 1500 })).toEqual([2, 3]);
  });

  it('begins a stream with what is remembered if it is asked to', () => {
    const log = new EventLog({ clock: () => 1000 });
    log.emit('reload', { n: 1 });
    const old = collect(log, { sinceMs: 0 });
    const fresh = collect(log);
    log.emit('reload', { n: 2 });
    log.flush();
    expect(old.map(({ n }) => n)).toEqual([1, 2]);
    expect(fresh.map(({ n }) => n)).toEqual([2]);
  });

  it('never keeps more for a slow reader than its limit, and tells it what it lost, in its place', () => {
    const log = new EventLog({ queueLimit: 2 });
    const stream = log.open();
    const got: ApplianceEvent[] = [];
    stream.pause();
    stream.onData((event) => got.push(event));
    for (let n = 1; n <= 5; n++) log.emit('reload', { n });
    log.flush();
    expect(got).toEqual([]);
    stream.resume();
    log.emit('reload', { n: 6 });
    log.flush();
    expect(got.map(({ type, n, count }) => n ?? `${type} ${count}`)).toEqual([1, 2, 'lost 3', 6]);
    expect(got.map(({ seq }) => seq)).toEqual([1, 2, 5, 6]);
    expect(stream.lost()).toBe(3);
    expect(log.totals()).toMatchObject({ lostInStreams: 3, streams: 1 });
  });

  it('tells every stream about events that were lost before they came here', () => {
    const log = new EventLog();
    const got = collect(log, { types: ['reload'] });
    log.lost(12, 'shard 1');
    log.flush();
    expect(got).toMatchObject([{ type: 'lost', count: 12, where: 'shard 1' }]);
    expect(log.totals().lostBefore).toBe(12);
  });

  it('stops delivering when the listener pauses in the middle', () => {
    const log = new EventLog();
    const stream = log.open();
    const got: unknown[] = [];
    stream.onData((event) => {
      got.push(event.n);
      stream.pause();
    });
    log.emit('reload', { n: 1 });
    log.emit('reload', { n: 2 });
    log.flush();
    expect(got).toEqual([1]);
    stream.resume();
    expect(got).toEqual([1, 2]);
  });

  it('puts no more into words in one turn than it should, and goes on in the next', async () => {
    const log = new EventLog();
    const got = collect(log);
    for (let n = 0; n < 1000; n++) log.emit('reload', { n });
    log.flush();
    expect(got.length).toBeLessThan(1000);
    while (got.length < 1000) await new Promise((resolve) => setImmediate(resolve));
    expect(got.map(({ n }) => n)).toEqual(Array.from({ length: 1000 }, (_, n) => n));
  });

  it('ends streams after what they have waiting', () => {
    const log = new EventLog();
    const stream = log.open();
    const got: unknown[] = [];
    stream.onEnd(() => got.push('end'));
    stream.onData((event) => got.push(event.n));
    log.emit('reload', { n: 1 });
    log.close();
    expect(got).toEqual([1, 'end']);
    expect(log.watched).toBe(false);
  });

  it('refuses more streams than it has room for', () => {
    const log = new EventLog();
    for (let n = 0; n < STREAMS_MAX; n++) log.open();
    expect(() => log.open()).toThrow(/streams run already/);
  });

  it('cuts long texts', () => {
    const log = new EventLog();
    log.emit('request-refused', { hostName: 'x'.repeat(10_000) });
    expect(String(log.recent()[0].hostName)).toHaveLength(512);
  });
});
