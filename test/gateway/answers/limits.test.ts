import { describe, expect, test } from 'vitest';
import { ConflictDefence } from '../../../src/gateway/answers/defence.js';
import { SourceLimits } from '../../../src/gateway/answers/limits.js';
import { PendingAsks } from '../../../src/gateway/answers/pending.js';
import { RouterAdvertiser } from '../../../src/gateway/answers/router-advertiser.js';
import { Answers } from '../../../src/gateway/answers/answers.js';

describe('first', () => {
  test('they are there', () => {
    expect(new SourceLimits({ rate: 1, burst: 1 }).admit(1, true, 0)).toBe(true);
    expect(new PendingAsks().take(0)).toEqual([]);
    expect(new ConflictDefence().nextTime).toBe(Number.POSITIVE_INFINITY);
    expect(
      new RouterAdvertiser({ source: null, advertise: null, random: (n) => new Uint8Array(n) }).farewell(),
    ).toEqual([]);
    expect(new Answers({ scheme: 'local', group: 7, addresses: [] }).teach(1)).toHaveLength(60);
  });
});
