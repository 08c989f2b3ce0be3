/** What one member does for all, with leases from a store: who cannot do it does not keep it from the others. */
import { expect, test } from 'vitest';
import { EventLog } from '../../../src/ops/events.js';
import { Duties, type Lease, type LeaseStore } from '../../../src/roles/designator/cluster/duties.js';

/** One lease for all who ask: the first has it until it gives it free. */
class Store implements LeaseStore {
  holder: Lease | null = null;
  readonly waiting: Lease[] = [];
  asked = 0;
  isOver = false;

  singleton(): Lease {
    this.asked++;
    const store = this;
    const lease: Lease = {
      get isHeld() {
        return store.holder === lease;
      },
      async close() {
        if (store.holder === lease) store.holder = store.waiting.shift() ?? null;
        else if (store.waiting.includes(lease)) store.waiting.splice(store.waiting.indexOf(lease), 1);
      },
    };
    if (this.holder === null) this.holder = lease;
    else this.waiting.push(lease);
    return lease;
  }

  async close(): Promise<void> {}
}

class Member {
  now = 100;
  ready = true;
  readonly faults: string[] = [];
  readonly events = new EventLog();
  readonly duties: Duties;

  constructor(number: number) {
    this.duties = new Duties({
      number,
      now: () => this.now,
      members: () => [],
      ready: () => this.ready,
      events: this.events,
      onFault: ({ message }) => void this.faults.push(message),
    });
  }

  async pass(seconds: number): Promise<void> {
    for (const end = this.now + seconds; this.now < end; this.now += 0.2) {
      this.duties.tick();
      for (let i = 0; i < 8; i++) await Promise.resolve();
    }
  }
}

test('a member that cannot forward any more gives its lease free, and has it again when nobody else wants it', async () => {
  const store = new Store();
  const [a, b] = [new Member(1), new Member(2)];
  const [first, second] = [a.duties.take('inactivation'), b.duties.take('inactivation')];
  for (const { duties } of [a, b]) duties.start(async () => store);
  await a.pass(1);
  await b.pass(1);
  expect([first.isHeld, second.isHeld]).toEqual([true, false]);
  a.ready = false;
  expect(first.isHeld).toBe(false);
  // A short trouble moves nothing.
  await a.pass(1);
  expect(store.holder).not.toBeNull();
  expect(second.isHeld).toBe(false);
  await a.pass(2);
  expect(second.isHeld).toBe(true);
  a.ready = true;
  await a.pass(1);
  expect([first.isHeld, second.isHeld]).toEqual([false, true]);
  await b.duties.close();
  expect(second.isHeld).toBe(false);
});

test('a member that is not ready does not try for a lease', async () => {
  const store = new Store();
  const a = new Member(1);
  a.ready = false;
  a.duties.take('inactivation');
  a.duties.start(async () => store);
  await a.pass(5);
  expect(store.asked).toBe(0);
  a.ready = true;
  await a.pass(1);
  expect(store.asked).toBe(1);
  expect(a.duties.held()).toEqual(['inactivation']);
});

test('a store that cannot be opened is asked again, and each reason is told once', async () => {
  const a = new Member(1);
  const duty = a.duties.take('inactivation');
  let reason: string | null = 'no leader';
  const store = new Store();
  a.duties.start(async () => {
    if (reason !== null) throw new Error(reason);
    return store;
  });
  await a.pass(5);
  reason = 'JetStream is not on';
  await a.pass(3);
  expect(a.faults).toEqual(['no leader', 'JetStream is not on']);
  expect(a.duties.failures).toBeGreaterThan(5);
  expect(duty.isHeld).toBe(false);
  reason = null;
  await a.pass(2);
  expect(duty.isHeld).toBe(true);
});

test('a store whose connection has ended gives way to another', async () => {
  const stores = [new Store(), new Store()];
  const a = new Member(1);
  const duty = a.duties.take('inactivation');
  let opened = 0;
  a.duties.start(async () => stores[opened++]);
  await a.pass(1);
  expect(duty.isHeld).toBe(true);
  stores[0].isOver = true;
  await a.pass(3);
  expect([opened, stores[1].asked, duty.isHeld]).toEqual([2, 1, true]);
});
