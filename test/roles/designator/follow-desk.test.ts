/** What is told of clients that follow answers from elsewhere, and what of it is shown. */
import { describe, expect, test } from 'vitest';
import { FOLLOW } from '../../../src/dataplane/follow-class.js';
import type { Binding } from '../../../src/roles/designator/binding.js';
import { FollowDesk, NAMED_LIMIT } from '../../../src/roles/designator/follow-desk.js';

const client = (n: number) => [0, 0, 0xffff, 0xc0000200 | n | 0] as const;

function desk() {
  const events: unknown[] = [];
  const vips = [
    { index: 3, name: 'nat', oneWay: false },
    { index: 4, name: 'direct', oneWay: true, localAddress: -1 },
    { index: 5, name: 'helped', oneWay: true, localAddress: 7 },
  ];
  const of = new FollowDesk(
    { emit: (type: string, fields: object) => void events.push({ type, ...fields }) } as never,
    { vips } as unknown as Binding,
  );
  return { of, events };
}

describe('FollowDesk', () => {
  test('counts clients by what they do, and names those that do not follow', () => {
    const { of } = desk();
    of.told([
      { vip: 3, client: client(1), follow: FOLLOW.follows },
      { vip: 3, client: client(2), follow: FOLLOW.carried },
      { vip: 3, client: client(3), follow: FOLLOW.refuses },
      { vip: 4, client: client(3), follow: FOLLOW.carried },
    ]);
    expect(of.counts(3)).toEqual({
      following: 1,
      carried: 1,
      refusing: 1,
      notFollowing: '192.0.2.2 carried, 192.0.2.3 refuses',
    });
    of.told([{ vip: 3, client: client(2), follow: FOLLOW.follows }]);
    expect(of.counts(3)).toMatchObject({ following: 2, carried: 0, notFollowing: '192.0.2.3 refuses' });
    expect(of.counts(9)).toEqual({ following: 0, carried: 0, refusing: 0, notFollowing: null });
  });

  test('names the last only, and counts all', () => {
    const { of } = desk();
    of.told(Array.from({ length: 20 }, (_, n) => ({ vip: 3, client: client(n + 1), follow: FOLLOW.carried })));
    const { carried, notFollowing } = of.counts(3);
    expect(carried).toBe(20);
    expect(notFollowing?.split(', ')).toHaveLength(NAMED_LIMIT);
    expect(notFollowing).toMatch(/192\.0\.2\.20 carried$/);
  });

  test('tells each change once, with the remedy where there is one; what is foreseen is not told', () => {
    const { of, events } = desk();
    const tell = (vip: number, follow: number): void => of.told([{ vip, client: client(1), follow }]);
    tell(3, FOLLOW.follows);
    expect(events).toEqual([]);
    tell(3, FOLLOW.carried);
    tell(3, FOLLOW.carried);
    tell(3, FOLLOW.follows);
    tell(4, FOLLOW.refuses);
    tell(5, FOLLOW.refuses);
    expect(events).toMatchObject([
      { type: 'client-follows', vip: 'nat', client: '192.0.2.1', follow: 'carried' },
      { vip: 'nat', follow: 'follows' },
      { vip: 'direct', follow: 'refuses', detail: expect.stringContaining('no localAddress') },
      { vip: 'helped', follow: 'refuses', detail: expect.stringContaining('from localAddress') },
    ]);
  });
});
