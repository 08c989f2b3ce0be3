import { describe, expect, test } from 'vitest';
import { LoadTrigger } from '../../../src/protocol/offload/load-trigger.js';
import { OffloadPair, type PairOptions } from '../../../src/protocol/offload/pair.js';
import { encodeState } from '../../../src/protocol/offload/state.js';
import { OffloadStore } from '../../../src/protocol/offload/store.js';
import { SwitchoverRequests } from '../../../src/protocol/offload/switchover.js';
import { OFFLOAD_MESSAGE } from '../../../src/tunnels/l2tp/offload-avps.js';
import {
  ACTION,
  DENIAL,
  entry,
  readOffloadResponse,
  type SwitchoverRequest,
  writeOffloadRequest,
  writeOffloadResponse,
} from '../../../src/tunnels/l2tp/offload-messages.js';
import { carried, VENDOR } from '../../helpers/offload-farm.js';

const session = (lnsTunnel: number, lnsSession: number, text = 'x') =>
  entry(ACTION.add, {
    lnsTunnel,
    lacTunnel: 1,
    lnsSession,
    lacSession: lnsSession,
    state: encodeState(lnsSession === 0 ? 'tunnel' : 'session', { text }),
  });

describe('the store', () => {
  test('keeps its limits and says which', () => {
    const store = new OffloadStore({ tunnels: 1, sessions: 2 });
    expect(store.add(session(1, 0), 1)).toBe(DENIAL.none);
    expect(store.add(session(2, 0), 1)).toBe(DENIAL.full);
    expect([1, 2, 3].map((id) => store.add(session(1, id), 1))).toEqual([0, 0, DENIAL.full]);
    expect(store.add(session(1, 2, 'changed'), 1)).toBe(DENIAL.none);
    expect(store.add(session(9, 1), 1)).toBe(DENIAL.unknownTunnel);
    expect(store.sessionCount).toBe(2);
    expect(new OffloadStore({ bytes: 8 }).add(session(1, 0), 1)).toBe(DENIAL.full);
  });

  test('refuses what cannot be a state', () => {
    const store = new OffloadStore();
    const state = encodeState('tunnel', {});
    state[2] = 9;
    expect(store.add(entry(ACTION.add, { lnsTunnel: 1, state }), 1)).toBe(DENIAL.version);
    expect(store.add(entry(ACTION.add, { lnsTunnel: 1 }), 1)).toBe(DENIAL.malformed);
    expect(store.add(entry(ACTION.add, { lnsTunnel: 0, state: encodeState('tunnel', {}) }), 1)).toBe(DENIAL.malformed);
  });

  test('weighs nothing when everything is gone', () => {
    const store = new OffloadStore();
    for (const id of [0, 1, 2, 3]) store.add(session(1, id), 1);
    expect(store.bytes).toBeGreaterThan(800);
    store.remove(1, 2);
    store.remove(1, 2);
    store.remove(1, 0);
    expect([store.bytes, store.sessionCount, store.tunnels.size]).toEqual([0, 0, 0]);
  });

  test('compares: equal buckets stay, others are dropped and wanted', () => {
    const store = new OffloadStore();
    for (const id of [0, 1, 63, 64, 200]) store.add(session(1, id), 1);
    for (const id of [0, 1]) store.add(session(2, id), 1);
    const told = store.digests().filter(({ tunnel }) => tunnel === 1);
    expect(store.compare(told.map((digest) => (digest.bucket === 1 ? { ...digest, low: 0 } : digest)))).toMatchObject([
      { tunnel: 1, bucket: 1 },
    ]);
    expect([...store.tunnels.keys()]).toEqual([1]);
    expect([...(store.tunnels.get(1)?.sessions.keys() ?? [])]).toEqual([1, 63, 200]);
  });
});

describe('the pair', () => {
  const make = (more: Partial<PairOptions> = {}) => {
    const sent: { type: number; avps: ReturnType<typeof carried> }[] = [];
    const pair = new OffloadPair(
      {
        tunnels: () => [],
        sessions: () => [],
        describe: () => null,
        configuration: () => encodeState('configuration', {}),
      },
      { vendor: VENDOR, instance: new Uint8Array(8), generation: 5, limits: { tunnels: 1 }, ...more },
    );
    const channel = {
      send: (type: number, avps: Parameters<typeof carried>[1]) => {
        sent.push({ type, avps: carried(type, avps) });
        return true;
      },
    };
    const answers = () =>
      sent.filter(({ type }) => type === OFFLOAD_MESSAGE.LSORS).map(({ avps }) => readOffloadResponse(VENDOR, avps));
    return { pair, channel, answers };
  };
  const request = (...entries: ReturnType<typeof entry>[]) =>
    carried(1, writeOffloadRequest(VENDOR, { sequence: 9, generation: 1, entries }));
  const hello = { version: 1, instance: Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0), generation: 1 };

  test('another version is neither told nor believed anything', () => {
    const { pair, channel, answers } = make();
    pair.connect(channel, { ...hello, version: 2 }, 0);
    pair.receive(OFFLOAD_MESSAGE.LSORQ, request(session(1, 0)), 0);
    pair.run(0);
    expect(pair.events()).toEqual([{ type: 'version', version: 2 }]);
    expect(answers()).toMatchObject([{ granted: false, reason: DENIAL.version }]);
    expect(pair.store.tunnels.size).toBe(0);
    expect(pair.nextTime).toBe(Number.POSITIVE_INFINITY);
  });

  test('malformed messages and unknown ones are counted and answered by nobody', () => {
    const { pair, channel, answers } = make();
    pair.connect(channel, hello, 0);
    pair.receive(OFFLOAD_MESSAGE.LSORQ, carried(1, [{ vendor: VENDOR, type: 6, value: new Uint8Array(1) }]), 0);
    pair.receive(OFFLOAD_MESSAGE.LSORS, [], 0);
    pair.receive(77, [], 0);
    pair.run(0);
    expect(pair.counters.malformed).toBe(3);
    expect(answers()).toEqual([]);
  });

  test('a full store denies by name; the others of the message are kept', () => {
    const { pair, channel, answers } = make();
    pair.connect(channel, hello, 0);
    pair.receive(OFFLOAD_MESSAGE.LSORQ, request(session(1, 0), session(2, 0), session(1, 5)), 0);
    pair.run(0);
    expect(answers()).toMatchObject([
      { sequence: 9, granted: false, reason: DENIAL.full, message: 'full', lnsTunnel: 2 },
    ]);
    expect(pair.store.tunnels.get(1)?.sessions.size).toBe(1);
    expect(pair.counters.full).toBe(1);
  });

  test('a peer that does not fit is denied everything, for good, and believed nothing', () => {
    const { pair, channel, answers } = make({ judge: () => DENIAL.idsOverlap });
    pair.connect(channel, hello, 0);
    const configuration = entry(ACTION.configuration, { state: encodeState('configuration', { ids: [1, 9] }) });
    pair.receive(OFFLOAD_MESSAGE.LSORQ, request(configuration), 0);
    pair.receive(OFFLOAD_MESSAGE.LSORQ, request(session(1, 0)), 0);
    pair.run(0);
    expect(answers()).toMatchObject([{ reason: DENIAL.idsOverlap }, { reason: DENIAL.idsOverlap }]);
    expect(pair.store.tunnels.size).toBe(0);
    // The other way round: who is denied so tells nothing more.
    const denied = { sequence: 1, granted: false, reason: DENIAL.idsOverlap, message: '', generation: 0, lnsTunnel: 0 };
    pair.receive(OFFLOAD_MESSAGE.LSORS, carried(2, writeOffloadResponse(VENDOR, { ...denied, digests: [] })), 0);
    expect(pair.source.refused).toBe(DENIAL.idsOverlap);
    expect(pair.nextTime).toBe(Number.POSITIVE_INFINITY);
  });

  test('a claim that is not higher is denied with the number that is', () => {
    const { pair, channel, answers } = make();
    pair.connect(channel, hello, 0);
    const instance = new Uint8Array(8);
    const claim = (generation: number) => entry(ACTION.claim, { lnsTunnel: 4, generation, instance });
    pair.receive(OFFLOAD_MESSAGE.LSORQ, request(claim(5)), 0);
    pair.receive(OFFLOAD_MESSAGE.LSORQ, request(claim(6)), 0);
    pair.run(0);
    expect(answers()).toMatchObject([{ granted: false, reason: DENIAL.fenced, generation: 5 }, { granted: true }]);
    expect(pair.events().filter(({ type }) => type === 'claimed')).toEqual([
      { type: 'claimed', tunnel: 4, sessions: [], generation: 6 },
    ]);
  });

  test('a hand-over of what is not known is denied', () => {
    const { pair, channel, answers } = make();
    pair.connect(channel, hello, 0);
    pair.receive(OFFLOAD_MESSAGE.LSORQ, request(entry(ACTION.handOver, { lnsTunnel: 4 })), 0);
    pair.run(0);
    expect(answers()).toMatchObject([{ granted: false, reason: DENIAL.unknownTunnel }]);
    expect(pair.take(4)).toBeNull();
  });
});

describe('requests of the primary', () => {
  const asked: SwitchoverRequest = {
    address: Uint8Array.of(1, 2, 3, 4),
    port: 0,
    type: 'all',
    sessions: [],
    generation: 1,
  };

  test('count answers that echo them, and nothing else', () => {
    const requests = new SwitchoverRequests();
    expect(requests.asked(1, asked, 0)).toBe(true);
    expect(requests.asked(1, asked, 0)).toBe(false);
    requests.answered(1, { ...asked, type: 'new', granted: true, reason: 0, message: '' }, 1);
    requests.answered(1, { ...asked, address: Uint8Array.of(1, 2, 3, 5), granted: false, reason: 1, message: '' }, 1);
    requests.run(1);
    expect(requests.outcomes()).toEqual([]);
    requests.answered(1, { ...asked, granted: false, reason: DENIAL.busy, message: '' }, 1);
    expect(requests.outcomes()).toEqual([{ tunnel: 1, type: 'all', outcome: 'denied', reason: 'busy' }]);
  });

  test('end by time: without an answer, and without a claim', () => {
    const requests = new SwitchoverRequests({ answer: 5, claim: 10 });
    requests.asked(1, asked, 0);
    requests.asked(2, asked, 0);
    requests.answered(2, { ...asked, granted: true, reason: 0, message: '' }, 1);
    expect(requests.nextTime).toBe(5);
    requests.run(5);
    requests.run(11);
    expect(requests.outcomes().map(({ tunnel, outcome }) => [tunnel, outcome])).toEqual([
      [1, 'no-answer'],
      [2, 'not-moved'],
    ]);
    expect(requests.pending).toBe(0);
  });
});

describe('the load trigger', () => {
  const none = { sessions: 0, tunnels: null, memory: 0, cpu: null };

  test('begins over the mark when it lasts, ends below the lower one', () => {
    const trigger = new LoadTrigger({ marks: { sessions: { above: 100, below: 80 } }, hold: 3, again: 30 });
    const look = (sessions: number, now: number) => trigger.look({ ...none, sessions }, now);
    expect(look(101, 0)).toBeNull();
    expect(look(99, 1)).toBeNull();
    expect(look(101, 2)).toBeNull();
    expect(look(105, 5)).toEqual({ reason: 'sessions', value: 105, above: 100, below: 80 });
    expect(look(90, 6)).toBeNull();
    expect(trigger.loaded).toEqual(['sessions']);
    expect(look(90, 40)).toMatchObject({ value: 90 });
    expect(look(80, 41)).toBeNull();
    expect(trigger.loaded).toEqual([]);
    expect(look(90, 80)).toBeNull();
  });

  test('each reason has its own marks; unknown values are no load', () => {
    const trigger = new LoadTrigger({ marks: { memory: { above: 0.9 }, cpu: { above: 0.8 } }, hold: 0 });
    expect(trigger.look({ ...none, memory: 0.95 }, 0)).toMatchObject({ reason: 'memory', below: 0.81 });
    expect(trigger.look({ ...none, cpu: 0.9 }, 100)).toMatchObject({ reason: 'cpu' });
  });
});
