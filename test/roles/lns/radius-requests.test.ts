import { describe, expect, test } from 'vitest';
import type { DynamicRequest, SessionMatch } from '../../../src/protocol/radius/dynamic.js';
import type { Lns } from '../../../src/roles/lns/lns.js';
import { fits, obey } from '../../../src/roles/lns/radius-requests.js';
import type { Subscriber } from '../../../src/roles/lns/subscriber.js';
import { parseAddress } from '../../../src/wire/address.js';

const words = (text: string) => parseAddress(text) as never;
const ANYTHING: SessionMatch = {
  userName: null,
  sessionId: null,
  multiSessionId: null,
  framedAddress: null,
  framedPrefix: null,
  nasPort: null,
  callingStationId: null,
  calledStationId: null,
};
const subscriber = (user: string, accountingId: string, more: object = {}): Subscriber =>
  ({
    user,
    call: { accountingId, port: 7, calling: '5551234', called: null },
    ipv4: { words: words('10.64.0.7') },
    prefix: { words: words('2001:db8:7::'), length: 64 },
    session: { localId: 5, tunnel: { localId: 4 } },
    since: 100,
    timeoutAt: Number.POSITIVE_INFINITY,
    idleSeconds: 0,
    ...more,
  }) as unknown as Subscriber;

describe('which sessions are meant', () => {
  const alice = subscriber('alice', 'S-1');
  test.each<[Partial<SessionMatch>, boolean]>([
    [{ userName: 'alice' }, true],
    [{ userName: 'Alice' }, false],
    [{ sessionId: 'S-1', framedAddress: '10.64.0.7', framedPrefix: '2001:db8:7::/64' }, true],
    [{ sessionId: 'S-1', framedAddress: '10.64.0.8' }, false],
    [{ nasPort: 7, callingStationId: '5551234' }, true],
    [{ calledStationId: '999' }, false],
    [{ multiSessionId: 'S-1' }, false],
  ])('%j: %s', (match, expected) => expect(fits(alice, { ...ANYTHING, ...match })).toBe(expected));

  test('a session without an address has none that fits', () => {
    const early = subscriber('bob', 'S-2', { ipv4: null, prefix: null });
    expect(fits(early, { ...ANYTHING, framedAddress: '10.64.0.7' })).toBe(false);
  });
});

describe('what becomes of them', () => {
  const scene = () => {
    const all = [subscriber('alice', 'S-1'), subscriber('alice', 'S-2'), subscriber('bob', 'S-3')];
    const said: string[] = [];
    const lns = {
      now: () => 1000,
      loop: { wake: () => said.push('wake') },
      offload: { changed: (tunnel: number, session: number) => said.push(`changed ${tunnel} ${session}`) },
      subscribers: {
        all: () => all,
        end: ({ call }: Subscriber, reason: string) => said.push(`end ${call.accountingId} ${reason}`),
        pump: ({ call }: Subscriber) => said.push(`pump ${call.accountingId}`),
      },
    };
    return { lns: lns as unknown as Lns, all, said };
  };
  const request = (kind: DynamicRequest['kind'], match: Partial<SessionMatch>, more: Partial<DynamicRequest> = {}) => ({
    token: 1,
    kind,
    match: { ...ANYTHING, ...match },
    sessionTimeout: null,
    idleTimeout: null,
    attributes: [],
    ...more,
  });

  test('every session of a user is ended', () => {
    const { lns, said } = scene();
    expect(obey(lns, request('disconnect', { userName: 'alice' }))).toBe('done');
    expect(said).toEqual(['end S-1 operator', 'end S-2 operator', 'wake']);
  });

  test('time-outs count from the beginning of the session, and one that is over ends it now', () => {
    const { lns, all, said } = scene();
    const change = { sessionTimeout: 3600, idleTimeout: 60 };
    expect(obey(lns, request('change', { sessionId: 'S-1' }, change))).toBe('done');
    expect(all[0]).toMatchObject({ timeoutAt: 3700, idleSeconds: 60 });
    expect(said).toEqual(['changed 4 5', 'pump S-1', 'wake']);
    expect(obey(lns, request('change', { sessionId: 'S-2' }, { sessionTimeout: 10 }))).toBe('done');
    expect(all[1]).toMatchObject({ timeoutAt: 1000, idleSeconds: 0 });
  });

  test('nothing is done when nothing fits, or nothing is asked that could be done', () => {
    const { lns, said } = scene();
    expect(obey(lns, request('disconnect', { userName: 'carol' }))).toBe('sessionNotFound');
    expect(obey(lns, request('change', { userName: 'alice' }))).toBe('unsupportedAttribute');
    expect(said).toEqual([]);
  });
});
