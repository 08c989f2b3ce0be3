import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import * as layout from '../../src/flow/layout.js';
import * as port from '../../src/io/port.js';
import { l2tp } from '../../src/tunnels/l2tp/descriptor.js';

/** ENTRY.lastSeen → ENTRY_LAST_SEEN. The names that C cannot have twice: ADDRESS.words is where an address begins. */
const snake = (name: string): string => name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toUpperCase();
const LEFT_OUT = new Set(['ADDRESS.words']);

function constants(module: object): Map<string, number> {
  const all = new Map<string, number>();
  for (const [name, value] of Object.entries(module)) {
    if (typeof value === 'number') all.set(name, value);
    if (typeof value !== 'object' || value === null) continue;
    for (const [member, number] of Object.entries(value as Record<string, unknown>)) {
      if (typeof number !== 'number' || LEFT_OUT.has(`${name}.${member}`)) continue;
      const full = `${name}_${snake(member)}`;
      if (all.has(full)) throw new Error(`${full} would stand for two things`);
      all.set(full, number);
    }
  }
  return all;
}

function defines(file: string): Map<string, number> {
  const text = readFileSync(new URL(`../../native/${file}`, import.meta.url), 'utf8');
  const all = new Map<string, number>();
  for (const [, name, value] of text.matchAll(/^#define TD_(\w+) \(?(-?(?:0x)?[0-9a-f]+)U?\)?$/gm))
    all.set(name, Number(value));
  return all;
}

describe('native/layout.h', () => {
  const inC = defines('layout.h');
  const inTypeScript = new Map([...constants(layout), ...constants(port), ['PROTOCOL_L2TP', l2tp.id]]);

  test('every line that defines something is understood by this test', () => {
    const text = readFileSync(new URL('../../native/layout.h', import.meta.url), 'utf8');
    const all = [...text.matchAll(/^\s*#\s*define\s+(\w+)/gm)].map((match) => match[1]);
    expect(all.filter((name) => !inC.has(name.replace(/^TD_/, '')))).toEqual(['TUNNEL_DESIGNATOR_LAYOUT_H']);
  });
  test('says all that layout.ts and port.ts say, and nothing else', () => {
    expect(Object.fromEntries([...inC].sort())).toEqual(Object.fromEntries([...inTypeScript].sort()));
    expect(inC.size).toBeGreaterThan(100);
  });
  test('items have the lengths of their words', () => {
    for (const item of ['ENTRY', 'RECORD', 'SESSION', 'ADDRESS', 'NEXT_HOP', 'CELL']) {
      const length = inC.get(`${item}_LENGTH`) as number;
      expect(length).toBe((inC.get(`${item}_WORDS`) as number) * 4);
      expect(Number.isInteger(Math.log2(length))).toBe(true);
    }
  });
});
