import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { native } from '../../src/io/native.js';

const ROOT = resolve(import.meta.dirname, '../..');
const SHIPPED = join(ROOT, 'native/bpf/prebuilt');
const scratch = mkdtempSync(join(tmpdir(), 'designator-bpf-'));
afterAll(() => rmSync(scratch, { recursive: true }));

/** Sources under native/bpf by the object that they become. */
const objects = new Map(
  readdirSync(join(ROOT, 'native/bpf'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.bpf.c'))
    .map((name) => [`${name.replaceAll('/', '-').replace(/\.bpf\.c$/, '')}.o`, name]),
);

describe('objects that come with the sources', () => {
  test('there is one for each program, made of the sources as they are: else node scripts/build-bpf.mjs --update-prebuilt', () => {
    const script = readFileSync(join(ROOT, 'scripts/build-bpf.mjs'), 'utf8');
    const flags = [...(/const FLAGS = \[([^\]]*)\]/.exec(script)?.[1] ?? '').matchAll(/'([^']*)'/g)].map(([, f]) => f);
    expect(flags).toContain('-O2');
    const stamps = new Map(
      readFileSync(join(SHIPPED, 'SOURCES'), 'utf8')
        .trim()
        .split('\n')
        .map((line) => line.split(' ') as [string, string]),
    );
    expect([...stamps.keys()].sort()).toEqual([...objects.keys()].sort());
    expect(readdirSync(SHIPPED).sort()).toEqual(['SOURCES', ...objects.keys()].sort());
    for (const [object, source] of objects) {
      const folder = join(ROOT, 'native/bpf', source, '..');
      const headers = readdirSync(folder).filter((name) => name.endsWith('.h'));
      const files = [
        join(ROOT, 'native/bpf', source),
        ...headers.sort().map((name) => join(folder, name)),
        join(ROOT, 'native/hash.h'),
        join(ROOT, 'native/layout.h'),
      ];
      const hash = createHash('sha256').update(flags.join(' '));
      for (const file of files) hash.update(`\0${file.split('/').at(-1)}\0`).update(readFileSync(file));
      expect([object, stamps.get(object)]).toEqual([object, hash.digest('hex')]);
    }
  });

  test('name the maps that the loader is to give', () => {
    const object = readFileSync(join(SHIPPED, 'designator.o'));
    const { bpf } = native();
    expect(bpf.mapNames(object, 'xdp').sort()).toEqual(
      ['td_counters', 'td_cpus', 'td_deny', 'td_devices', 'td_places', 'td_sockets', 'td_table'].sort(),
    );
    expect(bpf.mapNames(object, 'xdp/cpumap').sort()).toEqual(['td_counters', 'td_devices', 'td_table']);
  });

  test('without clang they are what is built', () => {
    // A tree of its own, so that the build of this one stays as it is, and a PATH with Node alone in it.
    const tree = join(scratch, 'tree');
    const bin = join(scratch, 'bin');
    execFileSync('mkdir', ['-p', tree, bin]);
    execFileSync('cp', ['-r', join(ROOT, 'native'), join(ROOT, 'scripts'), tree]);
    symlinkSync(process.execPath, join(bin, 'node'));
    const build = (): void => {
      execFileSync(process.execPath, [join(tree, 'scripts/build-bpf.mjs')], { env: { PATH: bin }, stdio: 'pipe' });
    };
    build();
    for (const object of objects.keys()) {
      expect(readFileSync(join(tree, 'build/bpf', object))).toEqual(readFileSync(join(SHIPPED, object)));
    }
    writeFileSync(join(tree, 'native/bpf/counters.h'), '/* changed */\n');
    expect(build).toThrow(/the shipped objects are not those of these sources/);
  });
});
