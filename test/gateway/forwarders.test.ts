import { beforeEach, describe, expect, test } from 'vitest';
import {
  type ForwarderChange,
  Forwarders,
  type ForwarderSettings,
  type Surroundings,
} from '../../src/gateway/forwarders.js';

const SETTINGS: ForwarderSettings = {
  takeover: 'master',
  permanentAfter: 30,
  redirect: 600,
  timeout: 14_400,
  return: 'gradual',
  moment: 0.9,
};

/** A group of gateways that are there or not, and what was asked of their hosts. */
class Scene implements Surroundings {
  readonly self = 1;
  present = new Set([1, 2, 3]);
  /** Those that do not hear the master. */
  readonly deaf = new Set<number>();
  readonly loads = new Map<number, number>();
  readonly hosts = new Map([1, 2, 3].map((number) => [number, 10]));
  readonly moving = new Map<number, number>();
  readonly asked: string[] = [];
  readonly forwarders: Forwarders;

  constructor(settings: Partial<ForwarderSettings> = {}) {
    this.forwarders = new Forwarders({ ...SETTINGS, ...settings });
    this.forwarders.decide(0, this);
  }

  get reachable(): Set<number> {
    return new Set([...this.present].filter((number) => !this.deaf.has(number)));
  }
  loadOf(number: number): number {
    return this.loads.get(number) ?? 0;
  }
  hostsOf(forwarder: number): number {
    return this.hosts.get(forwarder) ?? 0;
  }
  leaving(forwarder: number): number {
    return this.moving.get(forwarder) ?? 0;
  }
  redistribute(forwarder: number): number {
    this.asked.push(`redistribute ${forwarder}`);
    return this.hostsOf(forwarder);
  }
  vacate(forwarder: number, to: number): number {
    this.asked.push(`vacate ${forwarder} to ${to}`);
    this.moving.set(forwarder, this.hostsOf(forwarder));
    return this.hostsOf(forwarder);
  }
  returned(forwarder: number): number {
    this.asked.push(`returned ${forwarder}`);
    return 0;
  }

  at(now: number, ...present: number[]): string[] {
    this.present = new Set(present);
    return this.forwarders.decide(now, this).map(textOf);
  }

  servers(): (readonly [number, number])[] {
    return [...this.forwarders.rows()].map(({ number, server }) => [number, server] as const);
  }
}

function textOf(change: ForwarderChange): string {
  return change.kind === 'served' ? `${change.number} by ${change.server}` : `${change.kind} ${change.number}`;
}

let scene: Scene;
beforeEach(() => {
  scene = new Scene();
});

describe('while all are there', () => {
  test('each serves its own, and a newcomer gets its own', () => {
    expect(scene.servers()).toEqual([
      [1, 1],
      [2, 2],
      [3, 3],
    ]);
    expect(scene.at(1, 1, 2, 3, 9)).toEqual(['9 by 9']);
    expect(scene.at(2, 1, 2, 3, 9)).toEqual([]);
    expect(scene.forwarders.nextTime(2)).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('an owner is gone', () => {
  test('the master takes over at once (document 004, claims 8 and 24)', () => {
    expect(scene.at(5, 1, 3)).toEqual(['2 by 1']);
    const row = scene.forwarders.get(2);
    expect(row && scene.forwarders.stateOf(row)).toBe('taken-over');
  });

  test('or the idlest', () => {
    const idlest = new Scene({ takeover: 'least-loaded' });
    idlest.loads.set(1, 0.5).set(3, 0.2);
    expect(idlest.at(5, 1, 3)).toEqual(['2 by 3']);
  });

  test('of two that are as idle, the one that serves less', () => {
    const idlest = new Scene({ takeover: 'least-loaded' });
    idlest.at(1, 1, 2, 3, 4);
    expect(idlest.at(5, 1, 3, 4)).toEqual(['2 by 1']);
    expect(idlest.at(6, 1, 4)).toEqual(['3 by 4']);
  });

  test('a stand-in that dies is stood in for, and so is what it stood in for', () => {
    const idlest = new Scene({ takeover: 'least-loaded' });
    idlest.loads.set(1, 0.5);
    idlest.at(5, 1, 3);
    expect(idlest.at(6, 1).sort()).toEqual(['2 by 1', '3 by 1']);
  });

  test('nobody who does not hear the master, nor any longer when it hears it no more', () => {
    const idlest = new Scene({ takeover: 'least-loaded' });
    idlest.loads.set(1, 0.5);
    idlest.deaf.add(3);
    expect(idlest.at(5, 1, 3)).toEqual(['2 by 1']);
    idlest.deaf.clear();
    expect(idlest.at(6, 3)).toEqual(['1 by 3', '2 by 3']);
    idlest.deaf.add(3);
    expect(idlest.at(7, 1, 3)).toEqual(['1 by 1', '2 by 1']);
    expect(idlest.forwarders.serverOf(3)).toBe(3);
  });

  test('when nobody can forward, we do what we can', () => {
    expect(scene.at(5).sort()).toEqual(['2 by 1', '3 by 1']);
    expect(scene.forwarders.serverOf(1)).toBe(1);
  });

  test('for good: hosts are redistributed after permanentAfter, once (claim 25)', () => {
    scene.at(5, 1, 3);
    expect(scene.forwarders.nextTime(5)).toBe(35);
    expect(scene.at(34.9, 1, 3)).toEqual([]);
    expect(scene.at(35, 1, 3)).toEqual(['permanent 2']);
    expect(scene.at(36, 1, 3)).toEqual([]);
    expect(scene.asked.filter((what) => what.startsWith('redistribute'))).toEqual(['redistribute 2']);
    const row = scene.forwarders.get(2);
    expect(row && scene.forwarders.stateOf(row)).toBe('draining');
    expect(row?.server).toBe(1);
  });

  test('with nobody to take its hosts it is tried again when somebody is there', () => {
    const alone = new Scene();
    alone.at(5);
    alone.forwarders.decide(40, alone);
    expect(alone.asked).not.toContain('redistribute 2');
    expect(alone.forwarders.nextTime(40)).toBeGreaterThan(40);
    expect(alone.at(50, 1, 3)).toContain('permanent 2');
  });

  test('by command at once, but never one that is there', () => {
    expect(scene.forwarders.declareDead(2, 1, scene)).toBeNull();
    scene.at(5, 1, 3);
    expect(scene.forwarders.declareDead(2, 6, scene)).toMatchObject({ kind: 'permanent', number: 2, hosts: 10 });
    expect(scene.forwarders.declareDead(2, 7, scene)).toBeNull();
    expect(scene.forwarders.declareDead(77, 7, scene)).toBeNull();
  });

  test('redirect: given out no more, served on; timeout: served no more', () => {
    const never = new Scene({ permanentAfter: Number.POSITIVE_INFINITY });
    never.at(0, 1, 3);
    expect(never.at(599, 1, 3)).toEqual([]);
    expect(never.forwarders.nextTime(599)).toBe(600);
    expect(never.at(600, 1, 3)).toEqual(['draining 2']);
    expect(never.forwarders.serverOf(2)).toBe(1);
    expect(never.forwarders.nextTime(600)).toBe(14_400);
    expect(never.at(14_400, 1, 3)).toEqual(['forgotten 2']);
    expect(never.forwarders.serverOf(2)).toBe(0);
    expect(never.forwarders.nextTime(14_400)).toBe(Number.POSITIVE_INFINITY);
    expect(never.at(14_401, 1, 3)).toEqual([]);
    const other = new Forwarders(SETTINGS);
    other.adopt(never.forwarders.entries(14_401, 50), 0);
    expect(other.serverOf(2)).toBe(0);
    expect(never.at(15_000, 1, 2, 3)).toEqual(['2 by 2']);
  });
});

describe('an owner is back', () => {
  test('after a moment: as it was', () => {
    scene.at(5, 1, 3);
    expect(scene.at(5.5, 1, 2, 3)).toEqual(['2 by 2']);
    expect(scene.asked.filter((what) => what.startsWith('vacate'))).toEqual([]);
  });

  test('gradually: first its hosts move to the stand-in, then it goes back without them', () => {
    scene.at(5, 1, 3);
    expect(scene.at(20, 1, 2, 3)).toEqual(['vacating 2']);
    expect(scene.forwarders.get(2)?.givenOut).toBe(false);
    expect(scene.at(20.1, 1, 2, 3)).toEqual([]);
    scene.moving.set(2, 0);
    expect(scene.at(20.2, 1, 2, 3)).toEqual(['2 by 2']);
    expect(scene.asked.slice(-2)).toEqual(['vacate 2 to 1', 'returned 2']);
    expect(scene.forwarders.get(2)).toMatchObject({ givenOut: true, permanent: false, awaySince: null });
  });

  test('not later than in half a minute, though not every host could be told', () => {
    scene.at(5, 1, 3);
    scene.at(20, 1, 2, 3);
    expect(scene.at(49, 1, 2, 3)).toEqual([]);
    expect(scene.at(50, 1, 2, 3)).toEqual(['2 by 2']);
  });

  test('one that dies again meanwhile is stood in for, and given out again', () => {
    scene.at(5, 1, 3);
    scene.at(20, 1, 2, 3);
    expect(scene.at(20.1, 1, 3)).toEqual([]);
    expect(scene.forwarders.get(2)).toMatchObject({ server: 1, givenOut: true, vacatingSince: null });
  });

  test('at once, when that is wanted', () => {
    const atOnce = new Scene({ return: 'at-once' });
    atOnce.at(5, 1, 3);
    expect(atOnce.at(20, 1, 2, 3)).toEqual(['2 by 2']);
  });

  test('after its hosts went to others: at once', () => {
    scene.at(5, 1, 3);
    scene.at(35, 1, 3);
    scene.hosts.set(2, 0);
    expect(scene.at(60, 1, 2, 3)).toEqual(['2 by 2']);
  });

  test('at once, however often it came and went, when its stand-in is gone meanwhile', () => {
    const idlest = new Scene({ takeover: 'least-loaded' });
    idlest.loads.set(1, 0.5);
    for (const now of [5, 6]) {
      expect(idlest.at(now, 1, 3)).toEqual(['2 by 3']);
      idlest.at(now + 0.1, 1, 2, 3);
    }
    expect(idlest.forwarders.serverOf(2)).toBe(3);
    expect(idlest.at(6.5, 1, 2).sort()).toEqual(['2 by 2', '3 by 2']);
  });

  test('one that comes and goes waits longer each time', () => {
    const waits: number[] = [];
    let now = 0;
    for (let round = 0; round < 8; round++) {
      now += 1;
      scene.at(now, 1, 3);
      now += 0.1;
      const back = now;
      for (;;) {
        scene.at(now, 1, 2, 3);
        if (scene.forwarders.serverOf(2) === 2) break;
        const next = scene.forwarders.nextTime(now);
        expect(next).toBeGreaterThan(now);
        now = next;
        scene.moving.set(2, 0);
      }
      waits.push(Math.round(now - back));
    }
    expect(waits).toEqual([0, 5, 10, 20, 40, 80, 160, 300]);
  });
});

describe('what the others are told', () => {
  test('is what the master has decided, with the time that a successor goes on from', () => {
    scene.at(5, 1, 3);
    const other = new Forwarders(SETTINGS);
    expect(other.adopt(scene.forwarders.entries(15, 50), 100)).toBe(true);
    expect(other.adopt(scene.forwarders.entries(15, 50), 100)).toBe(false);
    expect(other.serverOf(2)).toBe(1);
    expect(other.get(2)?.awaySince).toBe(90);
    expect(other.nextTime(100)).toBe(120);
  });

  test('goes round when it is longer than its room', () => {
    const seen = new Set<number>();
    for (let turn = 0; turn < 3; turn++) for (const { number } of scene.forwarders.entries(0, 1)) seen.add(number);
    expect([...seen]).toEqual([1, 2, 3]);
  });
});
