import { describe, expect, it } from 'vitest';
import { compileDenyList, DENY_LIST_ALLOW, DENY_LIST_DENY } from '../../src/flow/deny-list.js';
import { type DenyMapCalls, DenyMap } from '../../src/io/xdp-deny.js';

/** A map as bpf(2) has it, by the bytes of its keys. */
class FakeMap implements DenyMapCalls {
  readonly items = new Map<string, Uint8Array>();
  readonly calls: string[] = [];

  update(_map: number, key: Uint8Array, value: Uint8Array): void {
    this.calls.push('update');
    this.items.set(hex(key), value.slice());
  }

  remove(_map: number, key: Uint8Array): boolean {
    this.calls.push('remove');
    return this.items.delete(hex(key));
  }

  nextKey(_map: number, key: Uint8Array | null): Uint8Array | null {
    const keys = [...this.items.keys()];
    const next = keys[key === null ? 0 : keys.indexOf(hex(key)) + 1];
    return next === undefined ? null : Uint8Array.from(Buffer.from(next, 'hex'));
  }

  lookUp(_map: number, key: Uint8Array): Uint8Array | null {
    return this.items.get(hex(key)) ?? null;
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const DENY_10 = { words: [0, 0, 0xffff, 0x0a000000], length: 104, action: DENY_LIST_DENY } as const;
const ALLOW_6 = { words: [0x20010db8, 0, 0, 0], length: 32, action: DENY_LIST_ALLOW } as const;

describe('the deny list in its map', () => {
  it('a key is the length, then the address as packets carry it', () => {
    const bpf = new FakeMap();
    new DenyMap(bpf, 3).write([DENY_10, ALLOW_6]);
    expect([...bpf.items].map(([key, value]) => [key, hex(value)])).toEqual([
      ['2000000020010db8000000000000000000000000', '01000000'],
      ['6800000000000000000000000000ffff0a000000', '02000000'],
    ]);
  });

  it('what is right stays untouched, also what another process left', () => {
    const bpf = new FakeMap();
    new DenyMap(bpf, 3).write([DENY_10, ALLOW_6]);
    const next = new DenyMap(bpf, 3);
    expect(new Set(next.read())).toEqual(new Set([DENY_10, ALLOW_6]));
    bpf.calls.length = 0;
    expect(next.write([ALLOW_6, DENY_10])).toBe(0);
    expect(bpf.calls).toEqual([]);
    expect(next.write([{ ...DENY_10, action: DENY_LIST_ALLOW }])).toBe(2);
    expect(bpf.calls).toEqual(['update', 'remove']);
    expect(next.read()).toEqual([{ ...DENY_10, action: DENY_LIST_ALLOW }]);
    expect(next.write([])).toBe(1);
    expect(bpf.items.size).toBe(0);
  });

  it('takes what the compiler makes', () => {
    const bpf = new FakeMap();
    const from = [{ words: [0, 0, 0, 0] as const, length: 0 }];
    const { entries } = compileDenyList([{ action: 'deny', from, to: [], vips: [], protocols: [] }], false);
    const map = new DenyMap(bpf, 3);
    expect(map.write(entries)).toBe(2);
    expect(new Set(map.read())).toEqual(new Set(entries));
  });
});
