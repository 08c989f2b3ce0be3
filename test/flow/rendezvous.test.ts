/** Everybody's same order for a key: by names and weights alone, shared by weight, and without moving others. */
import { describe, expect, test } from 'vitest';
import { rendezvousOrder } from '../../src/flow/rendezvous.js';

const FARM = [
  { name: '192.0.2.1:1701', weight: 1 },
  { name: '192.0.2.2:1701', weight: 2 },
  { name: '[2001:db8::1]:1701', weight: 1 },
];
const order = (key: string, farm = FARM): string[] =>
  rendezvousOrder(
    key,
    farm,
    ({ name }) => name,
    ({ weight }) => weight,
  ).map(({ name }) => name);
const keys = Array.from({ length: 8000 }, (_, n) => `user${n}@isp.example`);

describe('an order for a key', () => {
  test('names all, and does not depend on the order of the list', () => {
    const reversed = [...FARM].reverse();
    for (const key of keys.slice(0, 500)) {
      expect(order(key, reversed)).toEqual(order(key));
      expect(new Set(order(key)).size).toBe(FARM.length);
    }
  });

  test('keys are shared by weight, keys that differ in their last letter only, too', () => {
    const first = keys.map((key) => order(key)[0]);
    const share = (name: string): number => first.filter((one) => one === name).length / keys.length;
    for (const { name, weight } of FARM) expect(Math.abs(share(name) - weight / 4)).toBeLessThan(0.02);
    const letters = [...'0123456789abcdefghijklmnopqrstuvwxyz'].map((letter) => order(`02:00:00:00:00:0${letter}`)[0]);
    expect(new Set(letters).size).toBe(FARM.length);
  });

  test('one that goes takes nothing but itself out of the order', () => {
    const [gone, ...rest] = FARM;
    for (const key of keys.slice(0, 500))
      expect(order(key, rest)).toEqual(order(key).filter((one) => one !== gone.name));
  });

  test('nobody, and two of one name', () => {
    expect(order('x', [])).toEqual([]);
    expect(order('x', [FARM[0], { ...FARM[0] }])).toEqual([FARM[0].name, FARM[0].name]);
  });
});
