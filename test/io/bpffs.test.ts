import { mkdtempSync, openSync, rmSync } from 'node:fs';
import { closeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  isOurMount,
  linuxPinSystem,
  openPinFolder,
  outermost,
  type PinAddon,
  type PinSystem,
} from '../../src/io/bpffs.js';

/** A machine: mount namespaces by process, and in which of them there is a bpffs or may be one. */
class Machine implements PinSystem {
  readonly calls: string[] = [];
  constructor(
    readonly namespaces: Record<number, string>,
    readonly parents: number[],
    readonly bpffs: number[],
    readonly mayMount: number[],
    readonly folder: string,
  ) {}

  mountNamespace(process: number): string | null {
    return this.namespaces[process] ?? null;
  }
  ancestors(): number[] {
    return this.parents;
  }
  mounts(): string {
    return `36 35 0:40 / ${this.folder} rw,nosuid - bpf designator rw`;
  }

  readonly addon = {
    closeFd: (fd: number) => closeSync(fd),
    bpf: {
      openBpffs: (_path: string, process: number, mayMount: boolean) => {
        this.calls.push(`open ${process} ${mayMount}`);
        const there = this.bpffs.includes(process);
        if (!there && !mayMount) return null;
        if (!there && !this.mayMount.includes(process)) throw new Error('mount a bpffs: not permitted');
        return { fd: openSync(this.folder, 'r'), mounted: !there };
      },
      unmountBpffs: (path: string, process: number) => this.calls.push(`unmount ${path} ${process}`),
    },
  } as unknown as PinAddon;
}

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'td-pins-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const ALONE = { 0: 'mnt:[1]', 1: 'mnt:[1]' };
const PRIVATE = { 0: 'mnt:[2]', 1: 'mnt:[1]' };

describe('where pins live', () => {
  const open = (namespaces: Record<number, string>, bpffs: number[], mayMount: number[], parents: number[] = []) => {
    const machine = new Machine(namespaces, parents, bpffs, mayMount, folder);
    const found = openPinFolder(machine.addon, folder, true, machine);
    const { kind, story, path } = found;
    found.close();
    found.close();
    return { kind, story, path, calls: machine.calls };
  };

  test('a bpffs that is there is taken', () => {
    const found = open(ALONE, [0], []);
    expect(found).toMatchObject({ kind: 'mounted', story: `pinned in ${folder}`, calls: ['open 0 false'] });
    expect(found.path).toMatch(/^\/proc\/self\/fd\/\d+$/);
  });
  test('else one is mounted, once', () => {
    expect(open(ALONE, [], [0])).toMatchObject({ kind: 'own-mount', calls: ['open 0 false', 'open 0 true'] });
  });
  test('a namespace of our own: it is looked for and mounted where it outlives us', () => {
    expect(open(PRIVATE, [1], [])).toMatchObject({ kind: 'mounted', calls: ['open 1 false'] });
    const made = open(PRIVATE, [], [0, 1]);
    expect(made).toMatchObject({ kind: 'own-mount', calls: ['open 1 false', 'open 0 false', 'open 1 true'] });
    expect(made.story).toMatch(/namespace of process 1, which outlives/);
  });
  test('one that is only in our own namespace is taken, with a word about it', () => {
    const found = open(PRIVATE, [0], []);
    expect(found.kind).toBe('mounted');
    expect(found.story).toMatch(/lives as long as a process of that one/);
  });
  test('nothing is pinned where it would not last', () => {
    const found = open(PRIVATE, [], [0]);
    expect(found).toMatchObject({ kind: 'none', path: '' });
    expect(found.story).toMatch(/not pinned \(mount a bpffs: not permitted\): attached by netlink/);
  });
  test('looking mounts nothing', () => {
    const machine = new Machine(ALONE, [], [], [0], folder);
    expect(openPinFolder(machine.addon, folder, false, machine).kind).toBe('none');
    expect(machine.calls).toEqual(['open 0 false']);
  });
  test('remove takes off the mount that is ours', () => {
    const machine = new Machine(ALONE, [], [0], [], folder);
    const found = openPinFolder(machine.addon, folder, true, machine);
    found.remove();
    found.remove();
    expect(machine.calls).toEqual(['open 0 false', `unmount ${folder} 0`]);
  });
});

describe('the outermost process', () => {
  const system = (namespaces: Record<number, string>, parents: number[]) =>
    new Machine(namespaces, parents, [], [], '/');
  test.each([
    ['process 1 has our mounts', ALONE, [], 0],
    ['process 1 has others', PRIVATE, [20, 10, 1], 1],
    [
      'process 1 may not be asked: the eldest that may',
      { 0: 'mnt:[3]', 20: 'mnt:[2]', 10: 'mnt:[1]' },
      [20, 10, 1],
      10,
    ],
    ['the eldest has ours', { 0: 'mnt:[1]', 20: 'mnt:[2]', 10: 'mnt:[1]' }, [20, 10, 1], 0],
    ['nobody may be asked', { 0: 'mnt:[1]' }, [20, 1], 0],
  ])('%s', (_, namespaces, parents, expected) => {
    expect(outermost(system(namespaces as Record<number, string>, parents))).toBe(expected);
  });

  test('this process has a namespace and parents', () => {
    expect(linuxPinSystem.mountNamespace(0)).toMatch(/^mnt:\[\d+\]$/);
    expect(linuxPinSystem.ancestors()[0]).toBe(process.ppid);
    expect(linuxPinSystem.mounts(0)).toContain(' / ');
    expect(linuxPinSystem.mounts(0x7fffffff)).toBe('');
  });
});

test('whose mount it is', () => {
  const line = (point: string, type: string, source: string) =>
    `36 35 0:40 / ${point} rw,nosuid shared:5 - ${type} ${source} rw,mode=700`;
  expect(isOurMount(line('/run/bpf', 'bpf', 'designator'), '/run/bpf')).toBe(true);
  expect(isOurMount(line('/run/a\\040b', 'bpf', 'designator'), '/run/a b')).toBe(true);
  expect(isOurMount(line('/run/bpf', 'bpf', 'bpf'), '/run/bpf')).toBe(false);
  expect(isOurMount(line('/run/bpf', 'tmpfs', 'designator'), '/run/bpf')).toBe(false);
  expect(isOurMount(line('/run', 'bpf', 'designator'), '/run/bpf')).toBe(false);
  const two = [line('/run/bpf', 'bpf', 'designator'), line('/run/bpf', 'bpf', 'bpf')].join('\n');
  expect(isOurMount(two, '/run/bpf')).toBe(false);
  expect(isOurMount('', '/run/bpf')).toBe(false);
});
