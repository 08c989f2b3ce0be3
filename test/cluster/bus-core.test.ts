/** Who is believed on a bus: sealed frames of members that are proven to be of now, each once. */
import { describe, expect, test } from 'vitest';
import { BusCore, type Delivery } from '../../src/cluster/bus-core.js';
import { ReplayWindow } from '../../src/flow/replay-window.js';
import { randomOf } from '../helpers/seeded-random.js';

const KEY = new TextEncoder().encode('a key of sixteen bytes or more');
const BODY = Uint8Array.of(1, 2, 3);

let lives = 0;
const core = (number: number, options: { key?: Uint8Array | null; cluster?: string } = {}): BusCore =>
  new BusCore({
    cluster: options.cluster ?? 'west',
    number,
    key: options.key === undefined ? KEY : options.key,
    random: Uint8Array.of(7, 0, 0, 0, ++lives >> 8, lives),
  });

/** Members and what they send, carried by hand. */
class Room {
  now = 50;
  readonly delivered: (Delivery & { to: BusCore })[] = [];
  readonly heard: { from: BusCore; frame: Uint8Array }[] = [];
  members: BusCore[];

  constructor(...members: BusCore[]) {
    this.members = members;
  }

  send(from: BusCore, frame: Uint8Array): void {
    this.heard.push({ from, frame });
    for (const member of this.members) if (member !== from) this.give(member, frame);
  }

  give(to: BusCore, frame: Uint8Array): Delivery | null {
    const delivery = to.open(frame, this.now);
    if (delivery !== null) this.delivered.push({ ...delivery, body: delivery.body.slice(), to });
    return delivery;
  }

  run(seconds: number): void {
    for (const end = this.now + seconds; this.now < end; this.now += 0.01) {
      for (const member of this.members) {
        const frame = member.tick(this.now);
        if (frame !== null) this.send(member, frame);
      }
    }
  }
}

describe('members', () => {
  test('two that hear each other know each other within a tenth of a second, and what each tells of itself', () => {
    const [one, two] = [core(1), core(2)];
    one.tell(new TextEncoder().encode('lns1'));
    const room = new Room(one, two);
    room.run(0.1);
    expect(one.members(room.now)).toMatchObject([{ number: 2, incarnation: two.incarnation, hearsUs: true }]);
    expect(new TextDecoder().decode(two.members(room.now)[0].text)).toBe('lns1');
    expect(one.changes()).toEqual([{ kind: 'joined', number: 2 }]);
  });

  test('one that says that it leaves is gone at once, one that is silent after 3.5 intervals', () => {
    const [one, two, three] = [core(1), core(2), core(3)];
    const room = new Room(one, two, three);
    room.run(1);
    one.changes();
    room.send(two, two.leave(room.now));
    room.members = [one];
    expect(one.changes()).toEqual([{ kind: 'left', number: 2, reason: 'leaves' }]);
    room.run(2.4);
    expect(one.changes()).toEqual([]);
    room.run(1.5);
    expect(one.changes()).toEqual([{ kind: 'left', number: 3, reason: 'silent' }]);
  });

  test('one that talks all the time, between its status messages, is met and met again like any other', () => {
    const [one, two] = [core(1), core(2)];
    const room = new Room(one, two);
    const talk = (seconds: number): void => {
      for (const end = room.now + seconds; room.now < end; ) {
        room.run(0.01);
        for (const member of room.members) room.send(member, member.close('state', 0, BODY));
      }
    };
    talk(5);
    expect(one.members(room.now)).toMatchObject([{ number: 2, hearsUs: true }]);
    expect(two.members(room.now)).toMatchObject([{ number: 1, hearsUs: true }]);
    const again = core(2);
    room.members = [one, again];
    talk(0.3);
    expect(one.members(room.now)).toMatchObject([{ number: 2, incarnation: again.incarnation }]);
    talk(5);
    expect(one.members(room.now)).toMatchObject([{ number: 2, incarnation: again.incarnation, hearsUs: true }]);
    expect(again.members(room.now)).toMatchObject([{ number: 1, hearsUs: true }]);
  });

  test('one that was started again is a member again at once, in another life', () => {
    const [one, two] = [core(1), core(2)];
    const room = new Room(one, two);
    room.run(1);
    one.changes();
    const again = core(2);
    room.members = [one, again];
    room.run(0.2);
    expect(one.changes()).toEqual([
      { kind: 'left', number: 2, reason: 'restarted' },
      { kind: 'joined', number: 2 },
    ]);
    expect(one.members(room.now)[0].incarnation).toBe(again.incarnation);
    expect(room.give(one, two.close('state', 0, BODY))).toBeNull();
  });

  test('a second process with our number is noticed', () => {
    const [one, other] = [core(1), core(1)];
    const room = new Room(one, other);
    room.run(0.1);
    expect(one.isDuplicate(room.now)).toBe(true);
    expect(one.members(room.now)).toEqual([]);
    // It goes on for as long as that one is heard, and is over some seconds after.
    room.run(20);
    expect(one.isDuplicate(room.now)).toBe(true);
    room.members = [one];
    room.run(11);
    expect(one.isDuplicate(room.now)).toBe(false);
  });

  test('a recording of a life before is no second process', () => {
    const [one, other] = [core(1), core(1)];
    const room = new Room(one);
    room.run(0.1);
    const recorded = other.close('state', 0, BODY);
    expect(room.give(one, recorded)).toBeNull();
    expect(one.isDuplicate(room.now)).toBe(true);
    for (let n = 0; n < 15; n++) {
      room.run(1);
      expect(room.give(one, recorded)).toBeNull();
    }
    expect(one.isDuplicate(room.now)).toBe(false);
    expect(one.peers.counters).toMatchObject({ duplicateNumber: 1, replayed: 15 });
  });
});

describe('what is believed', () => {
  function pair(): { one: BusCore; two: BusCore; room: Room } {
    const [one, two] = [core(1), core(2)];
    const room = new Room(one, two);
    room.run(1);
    return { one, two, room };
  }

  test('a message of a member, once', () => {
    const { one, two, room } = pair();
    const frame = two.close('state', 0, BODY);
    expect(room.give(one, frame)).toMatchObject({
      subject: 'state',
      from: 2,
      incarnation: two.incarnation,
      body: BODY,
    });
    expect(room.give(one, frame)).toBeNull();
    expect(one.peers.counters.replayed).toBe(1);
  });

  test('messages that overtook one another are all believed', () => {
    const { one, two, room } = pair();
    const frames = Array.from({ length: 100 }, () => two.close('state', 0, BODY));
    const random = randomOf(5);
    for (const frame of frames.sort(() => random() - 0.5)) expect(room.give(one, frame)).not.toBeNull();
    for (const frame of frames) expect(room.give(one, frame)).toBeNull();
  });

  test('any changed bit is a forgery', () => {
    const { one, two, room } = pair();
    const frame = two.close('state', 0, BODY);
    for (let bit = 0; bit < frame.length * 8; bit++) {
      const forged = frame.slice();
      forged[bit >> 3] ^= 1 << (bit & 7);
      expect(room.give(one, forged)).toBeNull();
    }
    expect(room.give(one, frame)).not.toBeNull();
    expect(one.counters.forged).toBeGreaterThan(200);
  });

  test('frames that are cut or longer than they say', () => {
    const { one, two, room } = pair();
    const frame = two.close('state', 0, BODY);
    for (let length = 0; length < frame.length; length++) expect(room.give(one, frame.subarray(0, length))).toBeNull();
    expect(room.give(one, Uint8Array.of(...frame, 0))).toBeNull();
    expect(one.counters.malformed).toBe(frame.length + 1);
  });

  test('another key, another cluster, another version, another target: none is heard, each has its counter', () => {
    const { one, two, room } = pair();
    expect(room.give(one, core(2, { key: new Uint8Array(16) }).close('state', 0, BODY))).toBeNull();
    expect(room.give(one, core(2, { cluster: 'east' }).close('state', 0, BODY))).toBeNull();
    expect(room.give(one, two.close('state', 3, BODY))).toBeNull();
    const other = two.close('state', 0, BODY);
    other[2] = 2;
    expect(room.give(one, other)).toBeNull();
    expect(one.counters).toMatchObject({ forged: 1, otherCluster: 1, otherTarget: 1, version: 1 });
  });

  test('a recording of a whole earlier life proves nothing, whenever it is played', () => {
    const [one, two] = [core(1), core(2)];
    const room = new Room(one, two);
    room.run(2);
    room.send(two, two.close('state', 0, BODY));
    const recorded = room.heard.filter(({ from }) => from === two).map(({ frame }) => frame);
    const fresh = core(1);
    room.members = [fresh];
    room.run(1);
    for (const frame of recorded) {
      expect(room.give(fresh, frame)).toBeNull();
      room.run(0.02);
    }
    expect(fresh.members(room.now)).toEqual([]);
    // To the member itself, within its own life, when the one that was recorded is gone: it was heard already.
    room.members = [one];
    room.run(10);
    for (const frame of recorded) expect(room.give(one, frame)).toBeNull();
    expect(one.members(room.now)).toEqual([]);
  });

  test('in a flood of forgeries the members are heard, and most of the flood is not even looked at', () => {
    const { one, two, room } = pair();
    for (let i = 0; i < 3000; i++) {
      const forged = core(9).close('state', 0, BODY);
      forged[forged.length - 1] ^= 1;
      room.give(one, forged);
    }
    expect(one.counters).toMatchObject({ forged: 500, flood: 2500 });
    expect(room.give(one, two.close('state', 0, BODY))).not.toBeNull();
  });

  test('without a key, on a carrier that is guarded otherwise, all else is the same', () => {
    const [one, two] = [core(1, { key: null }), core(2, { key: null })];
    const room = new Room(one, two);
    room.run(0.1);
    const frame = two.close('notice', 1, BODY);
    expect(room.give(one, frame)).toMatchObject({ subject: 'notice' });
    expect(room.give(one, frame)).toBeNull();
  });
});

describe('replay window', () => {
  test('agrees with a set, whatever the order', () => {
    const random = randomOf(11);
    const window = new ReplayWindow(0, 4096);
    const seen = new Set<number>();
    let base = 1;
    for (let i = 0; i < 20_000; i++) {
      base += Math.floor(random() * 3);
      if (random() < 0.001) base += 5000;
      const sequence = Math.max(1, base - Math.floor(random() * 3000));
      const expected = !seen.has(sequence);
      if (sequence > window.highest - 4096) expect(window.take(sequence)).toBe(expected);
      seen.add(sequence);
    }
  });
});
