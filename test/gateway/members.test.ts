/** Two or three tables of members that speak to each other without a segment: what they take for proven, alive and dead. */
import { describe, expect, test } from 'vitest';
import { detectionTime, Members } from '../../src/gateway/members.js';
import type { Advert } from '../../src/wire/gateway-advert.js';

const INTERVAL = 0.1;

class Member {
  readonly members: Members;
  sequence = 0;

  constructor(
    readonly number: number,
    readonly incarnation = number * 1000,
  ) {
    this.members = new Members({ number, incarnation, interval: INTERVAL, losses: 3 });
  }

  advert(now: number, state: Advert['state'] = 'backup'): { sequence: number; advert: Advert } {
    this.sequence++;
    this.members.sent(this.sequence, now);
    const advert: Advert = {
      state,
      able: true,
      priority: 100,
      master: 0,
      interval: INTERVAL,
      weight: 100,
      load: 0,
      bitsPerSecond: 0,
      packetsPerSecond: 0,
      settings: 0,
      position: { term: 0, version: 0, digest: [0, 0], count: 0 },
      mac: 0x020000000000 + this.number,
      address: null,
      heard: this.members.heardList(now, 50),
      forwarders: [],
      recent: new Uint8Array(0),
      reasons: [],
    };
    return { sequence: this.sequence, advert };
  }

  /** Gives an advert of ours to others; true for each that believed it. */
  say(now: number, ...others: Member[]): boolean[] {
    const { sequence, advert } = this.advert(now);
    return others.map((other) => other.hear(this, sequence, advert, now));
  }

  hear(from: Member, sequence: number, advert: Advert | null, now: number): boolean {
    const type = advert === null ? 'probe' : 'advert';
    const header = { type, group: 7, sender: from.number, target: 0, incarnation: from.incarnation, sequence } as const;
    return this.members.receive(header, advert, now) !== null;
  }

  alive(): number[] {
    return [...this.members.alive()].map(({ number }) => number);
  }

  kinds(): string[] {
    return this.members.changes().map(({ kind, peer }) => `${kind} ${peer.number}`);
  }
}

function acquainted(...members: Member[]): Member[] {
  for (let round = 0; round < 2; round++)
    for (const one of members) one.say(0, ...members.filter((other) => other !== one));
  for (const one of members) one.kinds();
  return members;
}

describe('an incarnation is believed when it has echoed ours', () => {
  test('hello, hello back', () => {
    const [a, b] = [new Member(1), new Member(2)];
    expect(a.say(0, b)).toEqual([false]);
    expect(b.members.wanted).toBe(true);
    expect(b.say(0.01, a)).toEqual([true]);
    expect(a.say(0.02, b)).toEqual([true]);
    expect([a.alive(), b.alive()]).toEqual([[2], [1]]);
    expect(a.kinds()).toEqual(['up 2']);
  });

  test('a recording of an earlier life of its listener proves nothing', () => {
    const [old, b] = acquainted(new Member(1, 111), new Member(2));
    const { sequence, advert } = b.advert(0.1);
    expect(old.hear(b, sequence, advert, 0.1)).toBe(true);
    const anew = new Member(1, 112);
    anew.advert(5);
    expect(anew.hear(b, sequence, advert, 5)).toBe(false);
    expect(anew.alive()).toEqual([]);
    expect(anew.members.doubtful(5)).toBe(true);
    expect(anew.members.doubtful(6)).toBe(false);
  });

  test('an echo of what was sent long ago proves nothing', () => {
    const [a, b] = [new Member(1), new Member(2)];
    a.say(0, b);
    const { sequence, advert } = b.advert(0.01);
    a.advert(2);
    a.advert(4);
    expect(a.hear(b, sequence, advert, 5)).toBe(false);
  });

  test('nothing is believed twice; what was overtaken counts once, but no advert that a later one has replaced', () => {
    const [a, b] = acquainted(new Member(1), new Member(2));
    const first = b.advert(0.1);
    const small = ++b.sequence;
    const second = b.advert(0.2);
    expect(a.hear(b, second.sequence, second.advert, 0.2)).toBe(true);
    expect(a.hear(b, second.sequence, second.advert, 0.2)).toBe(false);
    expect(a.hear(b, small, null, 0.2)).toBe(true);
    expect(a.hear(b, small, null, 0.2)).toBe(false);
    expect(a.hear(b, first.sequence, first.advert, 0.2)).toBe(false);
    expect(a.members.get(2)?.advert).toBe(second.advert);
    expect(a.members.counters.replayed).toBe(2);
  });

  test('what is older than the window, or from before the proof, is not believed', () => {
    const [a, b] = [new Member(1), new Member(2)];
    b.sequence = 100;
    a.say(0, b);
    const early = ++b.sequence;
    expect(b.say(0.01, a)).toEqual([true]);
    expect(a.hear(b, early, null, 0.02)).toBe(false);
    b.sequence += 100;
    expect(b.say(0.03, a)).toEqual([true]);
    expect(a.hear(b, b.sequence - 64, null, 0.04)).toBe(false);
    expect(a.hear(b, b.sequence - 63, null, 0.04)).toBe(true);
  });

  test('recordings of many lives do not keep a newcomer from being heard', () => {
    const [a, b] = [new Member(1), new Member(2, 77)];
    a.advert(0);
    for (let life = 1; life <= 50; life++) {
      const old = new Member(2, 5000 + life);
      const { sequence, advert } = old.advert(0);
      a.hear(old, sequence, advert, 0);
      a.hear(old, sequence, advert, 0);
    }
    a.say(0.01, b);
    b.say(0.02, a);
    expect(a.alive()).toEqual([2]);
  });

  test('a life that is over is not believed again', () => {
    const [a, old] = acquainted(new Member(1), new Member(2, 200));
    const late = old.advert(0.1);
    a.members.tick(0.5, 0);
    const anew = new Member(2, 201);
    a.say(0.5, anew);
    expect(anew.say(0.51, a)).toEqual([true]);
    expect(a.members.get(2)?.incarnation).toBe(201);
    expect(a.hear(old, late.sequence, late.advert, 0.52)).toBe(false);
    expect(a.members.get(2)?.incarnation).toBe(201);
  });

  test('of two that are alive with one number the first one counts', () => {
    const [a, first] = acquainted(new Member(1), new Member(2, 200));
    const second = new Member(2, 201);
    a.say(0.05, first, second);
    expect(second.say(0.06, a)).toEqual([false]);
    expect(first.say(0.07, a)).toEqual([true]);
  });
});

describe('silence', () => {
  test('asked four times from a quarter of an interval on, dead after 2.25 intervals', () => {
    const [a] = acquainted(new Member(1), new Member(2));
    const asked: number[] = [];
    let now = 0;
    for (let steps = 0; steps < 20 && a.alive().length > 0; steps++) {
      now = a.members.nextTime;
      for (const _ of a.members.tick(now, 0)) asked.push(Number(now.toFixed(3)));
    }
    expect(asked).toEqual([0.125, 0.15, 0.175, 0.2]);
    expect(now).toBeCloseTo(detectionTime(INTERVAL, 3), 9);
    expect(a.kinds()).toEqual(['down 2']);
    expect(a.members.get(2)?.absence).toBe('silent');
  });

  test('any message is a sign of life', () => {
    const [a, b] = acquainted(new Member(1), new Member(2));
    expect(a.hear(b, ++b.sequence, null, 0.2)).toBe(true);
    a.members.tick(0.3, 0);
    expect(a.alive()).toEqual([2]);
  });

  test('what others heard is a sign of life too, for a while', () => {
    const [a, b, c] = acquainted(new Member(1), new Member(2), new Member(3));
    let now = 0;
    for (let round = 0; round < 9; round++) {
      now += INTERVAL;
      b.say(now, c);
      c.say(now, a, b);
      a.members.tick(now, 0);
      expect(a.alive()).toEqual([2, 3]);
    }
    for (let round = 0; round < 3; round++) {
      now += INTERVAL;
      b.say(now, c);
      c.say(now, a, b);
      a.members.tick(now, 0);
    }
    const peer = a.members.get(2);
    expect(peer?.alive).toBe(false);
    expect(peer?.absence).toBe('unreachable');
    if (peer !== undefined) expect(a.members.rumoured(peer, now)).toBe(true);
  });

  test('one that says that it stops is gone at once', () => {
    const [a, b] = acquainted(new Member(1), new Member(2));
    const { sequence, advert } = b.advert(0.1, 'stopped');
    a.hear(b, sequence, advert, 0.1);
    expect(a.kinds()).toEqual(['down 2']);
    expect(a.members.get(2)?.absence).toBe('stopped');
  });

  test('whoever was late itself first reads what came meanwhile', () => {
    const [a, b] = acquainted(new Member(1), new Member(2));
    expect(a.members.tick(0.24, 0.1).length).toBe(1);
    expect(a.alive()).toEqual([2]);
    const { sequence, advert } = b.advert(0.2);
    a.hear(b, sequence, advert, 0.2);
    a.members.tick(0.3, 0);
    expect(a.alive()).toEqual([2]);
  });

  test('where every turn is late the dead are noticed all the same', () => {
    const [a] = acquainted(new Member(1), new Member(2));
    let now = 0;
    while (a.alive().length > 0 && now < 1) {
      now = a.members.nextTime + 0.03;
      a.members.tick(now, 0.03);
    }
    expect(now).toBeLessThan(0.3);
  });

  test('after a standstill nobody is known, and what was sent before proves nothing', () => {
    const [a, b] = acquainted(new Member(1), new Member(2));
    const { sequence, advert } = b.advert(0.1);
    a.members.forget(0.2);
    expect(a.alive()).toEqual([]);
    expect(a.hear(b, sequence, advert, 0.2)).toBe(false);
    a.say(0.3, b);
    expect(b.say(0.31, a)).toEqual([true]);
  });
});

describe('who hears us', () => {
  test('as its adverts tell', () => {
    const [a, b] = acquainted(new Member(1), new Member(2));
    a.say(0.1, b);
    b.say(0.15, a);
    const peer = a.members.get(2);
    if (peer === undefined) throw new Error('unknown');
    expect(a.members.hearsUs(peer, 0.2)).toBe(true);
    for (let now = 0.2; now < 1; now += INTERVAL) b.say(now, a);
    expect(a.members.hearsUs(peer, 1)).toBe(false);
  });

  test('also when what it heard last was no advert', () => {
    const [a, b] = acquainted(new Member(1), new Member(2));
    const peer = a.members.get(2);
    if (peer === undefined) throw new Error('unknown');
    for (let now = 0.1; now < 2; now += INTERVAL) {
      a.say(now, b);
      b.hear(a, ++a.sequence, null, now);
      a.members.alsoSent(a.sequence);
      b.say(now + 0.01, a);
    }
    expect(a.members.hearsUs(peer, 2)).toBe(true);
  });

  test('a list that is longer than its room goes round', () => {
    const a = new Member(1);
    for (let number = 2; number <= 12; number++) new Member(number).say(0, a);
    const seen = new Set<number>();
    for (let turn = 0; turn < 4; turn++) for (const { number } of a.members.heardList(0, 3)) seen.add(number);
    expect(seen.size).toBe(11);
  });
});

test('a member with our own number is told apart', () => {
  const [a, twin] = acquainted(new Member(1, 10), new Member(1, 11));
  expect(a.members.duplicate?.incarnation).toBe(11);
  expect(twin.members.duplicate?.incarnation).toBe(10);
  expect(a.alive()).toEqual([]);
});
