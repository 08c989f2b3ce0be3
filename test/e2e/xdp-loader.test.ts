/** The XDP program on real devices: attached, pinned, found again after every kind of end, never in anybody's way. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Child, compileBpf, run } from '../helpers/xdp-lab.js';
import type { OpenOrder } from '../helpers/xdp-loader-child.js';

const SPACE = `xl${process.pid}`;
const has = (program: string): boolean => spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0;
const reason =
  process.getuid?.() !== 0
    ? 'needs root: it makes a network namespace'
    : has('clang')
      ? null
      : 'needs clang, for a program of its own';
const FIXTURE = resolve(import.meta.dirname, '../fixtures/bpf/small.bpf.c');

const NETNS_EXEC = `ip netns exec ${SPACE}`;
const NSENTER = `nsenter --net=/run/netns/${SPACE}`;
let children: Child[] = [];
let folder: string;
let small: string;
let other: string;
let pin: string;

async function start(enter = NETNS_EXEC): Promise<Child> {
  const child = await Child.start(enter);
  children.push(child);
  return child;
}
const order = (change: Partial<OpenOrder> = {}): OpenOrder => ({
  pin,
  outside: 'd0',
  inside: 'd1',
  object: small,
  ...change,
});
async function running(change: Partial<OpenOrder> = {}, enter = NETNS_EXEC): Promise<Child> {
  const child = await start(enter);
  await child.do('open', order(change));
  await child.do('attach');
  return child;
}
const mounts = (): string[] =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(folder));

describe.skipIf(reason !== null && process.env.TD_REQUIRE_LAB !== '1')(
  `XDP program${reason === null ? '' : ` (${reason})`}`,
  () => {
    beforeAll(() => {
      if (reason !== null) throw new Error(reason);
      folder = mkdtempSync(join(tmpdir(), 'td-xdp-'));
      small = join(folder, 'small.o');
      other = join(folder, 'other.o');
      compileBpf(FIXTURE, small);
      compileBpf(FIXTURE, other, '-DSTEP=1000');
    });
    beforeEach(() => {
      pin = mkdtempSync(join(folder, 'state-'));
      rmSync(pin, { recursive: true });
      run(`ip netns add ${SPACE}`);
      for (const [a, b] of ['c0 d0', 's0 d1'].map((pair) => pair.split(' '))) wire(a, b);
    });
    afterEach(async () => {
      for (const child of children) await child.end();
      children = [];
      spawnSync('umount', [pin], { stdio: 'ignore' });
      run(`ip netns del ${SPACE}`);
    });
    afterAll(() => {
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    });

    function wire(a: string, b: string): void {
      run(`ip -n ${SPACE} link add ${a} type veth peer name ${b}`);
      for (const name of [a, b]) {
        run(`${NETNS_EXEC} sysctl -qw net.ipv6.conf.${name}.disable_ipv6=1`);
        run(`ip -n ${SPACE} link set ${name} arp off up`);
      }
    }

    describe('as it should be', () => {
      test.each([
        ['ip netns exec', NETNS_EXEC],
        ['nsenter --net', NSENTER],
      ])('SIGKILL under %s: the program goes on, and the next process finds all of it', async (_, enter) => {
        const first = await start(enter);
        const opened = await first.do('open', order());
        expect(opened).toMatchObject({ found: false, pinned: true });
        expect(opened.stories[0]).toMatch(/^pinned in .*, a bpffs mounted for it/);
        expect((await first.do('attachment', 'd0')).attached).toBe('none'); // opening changes nothing that forwards
        await first.do('attach');
        const before = await first.do('attachment', 'd0');
        expect(before.attached).toBe('native');
        await first.do('mark', 4711);
        await first.end('SIGKILL');

        const second = await start(enter);
        expect(await second.do('flood', { name: 'c0', count: 300 })).toBe(300);
        expect(await second.do('pinnedTable', pin)).toMatchObject({ length: 65536, magic: 0 });
        const again = await second.do('open', order());
        expect(again).toMatchObject({ found: true, pinned: true });
        expect(again.stories[0]).not.toMatch(/mounted for it/); // never twice
        expect(await second.do('seen')).toEqual({ table: 300, counted: [300, 0] });
        expect(await second.do('marked')).toBe(4711);
        await second.do('attach');
        expect(await second.do('attachment', 'd0')).toEqual(before); // the same program: nothing was touched
        await second.do('detach');
        expect((await second.do('attachment', 'd0')).attached).toBe('none');
        expect((await second.do('attachment', 'd1')).attached).toBe('none');
        expect(mounts()).toEqual([]);
        expect(existsSync(pin)).toBe(false);
      });

      test('a bpffs of the operator is used and stays; the folder in it goes', async () => {
        mkdirSync(pin);
        run(`mount -t bpf bpf ${pin}`);
        const child = await running({ pin: `${pin}/deep/er` });
        const held = readdirSync(`${pin}/deep/er`).sort();
        expect(held).toEqual(
          'counters cpus deny devices link-inside link-outside places prog sockets table'.split(' '),
        );
        await child.do('detach');
        expect(existsSync(`${pin}/deep/er`)).toBe(false);
        expect(mounts()).toHaveLength(1);
      });

      test('without pins: by netlink, found again through the interface', async () => {
        const first = await running({ pin: null });
        await first.do('mark', 12);
        const before = await first.do('attachment', 'd1');
        await first.end('SIGKILL');
        const second = await start();
        expect(await second.do('flood', { name: 'c0', count: 100 })).toBe(100);
        expect(await second.do('open', order({ pin: null }))).toMatchObject({ found: true, pinned: false });
        expect(await second.do('marked')).toBe(12);
        expect((await second.do('seen')).table).toBe(100);
        await second.do('attach');
        expect(await second.do('attachment', 'd1')).toEqual(before);
        await second.do('detach');
        expect((await second.do('attachment', 'd1')).attached).toBe('none');
      });

      test('one arm: one interface, one program', async () => {
        const child = await running({ inside: 'd0' });
        expect((await child.do('attachment', 'd0')).attached).toBe('native');
        expect((await child.do('attachment', 'd1')).attached).toBe('none');
        await child.end('SIGKILL');
        const second = await running({ inside: 'd0' });
        await second.do('detach');
        expect((await second.do('attachment', 'd0')).attached).toBe('none');
      });

      test('the maps that are no table', async () => {
        const child = await running();
        await child.do('target', { port: 0, name: 'd0' });
        await child.do('target', { port: 1, name: 'd1' });
        await child.do('places', [[1 << 16, 1]]);
        await child.do('places', [
          [(40_000 << 16) | 1701, 2],
          [5, 1],
        ]);
        for (const count of [1, 1, 0]) await child.do('cpus', count);
        await expect(
          child.do(
            'places',
            Array.from({ length: 4097 }, (_, i) => [i, 1] as [number, number]),
          ),
        ).rejects.toThrow(/limit/);
      });
    });

    describe('an upgrade', () => {
      test.each([
        ['pinned', () => pin],
        ['by netlink', () => null],
      ])('exchanges the program and keeps the table (%s)', async (_, place) => {
        const first = await running({ pin: place() });
        await first.do('flood', { name: 'c0', count: 10 });
        const before = await first.do('attachment', 'd0');
        await first.do('close');
        await first.end();
        const second = await running({ pin: place(), object: other });
        const after = await second.do('attachment', 'd0');
        expect(after.attached).toBe('native');
        expect(after.native).not.toBe(before.native);
        await second.do('flood', { name: 'c0', count: 10 });
        expect((await second.do('seen')).table).toBe(10 + 10 * 1000);
        await second.do('detach');
      });

      test('other maps: a program of its own on the same table, pins replaced', async () => {
        const first = await running();
        await first.do('mark', 5);
        await first.end('SIGKILL');
        const second = await start();
        const opened = await second.do('open', order({ shards: 4 }));
        expect(opened.stories.join()).toMatch(/made anew: td_sockets/);
        await second.do('attach');
        await second.end('SIGKILL');
        const third = await start();
        const again = await third.do('open', order({ shards: 4 }));
        expect(again.stories.join()).not.toMatch(/made anew/);
        expect(await third.do('marked')).toBe(5);
        await third.do('detach');
      });

      test('another mode: taken off and put on again', async () => {
        const first = await running();
        await first.end('SIGKILL');
        const second = await running({ mode: 'generic' });
        expect((await second.do('attachment', 'd0')).attached).toBe('generic');
        await second.do('flood', { name: 'c0', count: 10 });
        expect((await second.do('seen')).table).toBe(10);
        await second.do('detach');
      });
    });

    describe('what is refused', () => {
      test('a second designator on the same pins', async () => {
        await running();
        const second = await start();
        await expect(second.do('open', order())).rejects.toMatchObject({ code: 'TD_CONFLICT', exitStatus: 69 });
        await expect(second.do('unpin', pin)).rejects.toMatchObject({ code: 'TD_CONFLICT' });
      });

      test("another designator's program, with other pins or none", async () => {
        await running();
        const second = await start();
        for (const place of [`${pin}-2`, null]) {
          await expect(second.do('open', order({ pin: place }))).rejects.toMatchObject({
            code: 'TD_CONFLICT',
            message: expect.stringMatching(/another designator's program .* is on d0/),
          });
        }
        spawnSync('umount', [`${pin}-2`]);
      });

      test.each([
        ['pinned', () => pin],
        ['by netlink', () => null],
      ])('a foreign program stays (%s)', async (_, place) => {
        const child = await start();
        const id = await child.do('foreign', { object: small, name: 'd1' });
        await expect(child.do('open', order({ pin: place() }))).rejects.toMatchObject({
          code: 'TD_CONFLICT',
          message: expect.stringMatching(new RegExp(`id ${id}, name stats.*on d1.*never replaced.*xdp off`)),
        });
        expect((await child.do('attachment', 'd1')).native).toBe(id);
        expect((await child.do('attachment', 'd0')).attached).toBe('none');
        expect((await child.do('facts', 'd1')).foreign).toBe(`stats (id ${id})`);
        expect((await child.do('unpin', pin)).join()).not.toMatch(/d1/);
        expect((await child.do('attachment', 'd1')).native).toBe(id);
      });

      test('one that came between opening and attaching', async () => {
        const child = await start();
        await child.do('open', order());
        const id = await child.do('foreign', { object: small, name: 'd1' });
        await expect(child.do('attach')).rejects.toMatchObject({
          code: 'TD_CONFLICT',
          message: expect.stringMatching(new RegExp(`id ${id}.*on d1`)),
        });
        await child.do('detach');
        expect((await child.do('attachment', 'd1')).native).toBe(id);
        expect((await child.do('attachment', 'd0')).attached).toBe('none');
      });

      test('a table of another size', async () => {
        const first = await running();
        await first.end('SIGKILL');
        const second = await start();
        await expect(second.do('open', order({ tableLength: 1 << 17 }))).rejects.toMatchObject({
          code: 'TD_CONFLICT',
          message: expect.stringMatching(/another size.*designator unpin/),
        });
        expect((await second.do('attachment', 'd0')).attached).toBe('native');
        expect((await second.do('open', order())).found).toBe(true); // and nothing is held or changed
        await second.do('detach');
      });

      test('no right to BPF', async () => {
        const child = await start(`${NETNS_EXEC} setpriv --bounding-set=-all --inh-caps=-all`);
        expect(await child.do('machine')).toMatchObject({
          code: 'TD_NO_PERMISSION',
          reason: expect.stringMatching(/CAP_BPF, CAP_NET_ADMIN/),
        });
        await expect(child.do('open', order())).rejects.toMatchObject({ code: 'TD_NO_PERMISSION', exitStatus: 77 });
      });

      test('a program that the verifier does not believe', async () => {
        const wild = join(folder, 'wild.o');
        compileBpf(FIXTURE, wild, '-DWILD');
        const child = await start();
        await expect(child.do('open', order({ object: wild }))).rejects.toMatchObject({
          code: 'TD_UNAVAILABLE',
          message: expect.stringMatching(
            /loading the XDP program: the kernel's verifier refuses.*outside of the packet/,
          ),
        });
        expect((await child.do('open', order())).found).toBe(false);
        await child.do('detach');
      });

      test('an MTU over one page', async () => {
        for (const name of ['c0', 'd0']) run(`ip -n ${SPACE} link set ${name} mtu 9000`);
        const child = await start();
        for (const place of [pin, null]) {
          await child.do('open', order({ pin: place }));
          await expect(child.do('attach')).rejects.toMatchObject({
            code: 'TD_UNAVAILABLE',
            message: expect.stringMatching(/d0 \(native\): the MTU is too large/),
          });
          await child.do('detach');
        }
      });
    });

    describe('stale pins', () => {
      test('an interface that has gone and come again', async () => {
        const first = await running();
        await first.do('mark', 3);
        await first.end('SIGKILL');
        run(`ip -n ${SPACE} link del d0`);
        wire('c0', 'd0');
        const second = await start();
        const opened = await second.do('open', order());
        expect(opened.stories.join()).toMatch(/link-outside removed: its interface has gone/);
        await second.do('attach');
        expect(await second.do('marked')).toBe(3);
        expect((await second.do('attachment', 'd0')).attached).toBe('native');
        await second.do('detach');
      });

      test('interfaces that have changed places', async () => {
        const first = await running();
        await first.end('SIGKILL');
        const second = await start();
        const before = await second.do('attachment', 'd0');
        expect(await second.do('open', order({ outside: 'd1', inside: 'd0' }))).toMatchObject({ found: true });
        await second.do('attach');
        for (const name of ['d0', 'd1']) expect(await second.do('attachment', name)).toEqual(before);
        await second.do('detach');
        for (const name of ['d0', 'd1']) expect((await second.do('attachment', name)).attached).toBe('none');
      });

      test('one interface is another one now', async () => {
        wire('n0', 'n1');
        const first = await running();
        await first.end('SIGKILL');
        const second = await start();
        const opened = await second.do('open', order({ outside: 'd1', inside: 'n1' }));
        expect(opened.stories.join()).toMatch(/taken off interface \d+, which is none of ours any more/);
        expect(opened.found).toBe(true);
        await second.do('attach');
        expect((await second.do('attachment', 'd0')).attached).toBe('none');
        for (const name of ['d1', 'n1']) expect((await second.do('attachment', name)).attached).toBe('native');
        await second.end('SIGKILL');
        const third = await start();
        expect((await third.do('open', order({ outside: 'd1', inside: 'n1' }))).stories).toHaveLength(1);
        await third.do('detach');
        for (const name of ['d1', 'n1']) expect((await third.do('attachment', name)).attached).toBe('none');
      });

      test('two arms before, one now', async () => {
        const first = await running();
        await first.end('SIGKILL');
        const second = await running({ inside: 'd0' });
        expect((await second.do('attachment', 'd1')).attached).toBe('none');
        await second.do('detach');
      });

      test.each([
        ['the links', ['link-outside', 'link-inside']],
        ['one link', ['link-inside']],
        ['some maps', ['devices', 'sockets', 'counters']],
        ['the table', ['table']],
        ['the program', ['prog']],
      ])('half a set, as a process leaves it that dies at its start: without %s', async (_, missing) => {
        mkdirSync(pin);
        run(`mount -t bpf bpf ${pin}`);
        const first = await running();
        await first.do('mark', 9);
        await first.end('SIGKILL');
        for (const name of missing) rmSync(`${pin}/${name}`);
        const second = await start();
        await second.do('open', order());
        expect(await second.do('marked')).toBe(9); // pins or the program on the interface lead to the table
        await second.do('attach');
        expect(readdirSync(pin).filter((name) => !name.includes('.'))).toHaveLength(10);
        await second.do('flood', { name: 'c0', count: 10 });
        expect((await second.do('seen')).table).toBe(10);
        await second.do('detach');
      });

      test('links of another network namespace are not ours to take', async () => {
        const first = await running();
        await first.end('SIGKILL');
        const far = `${SPACE}f`;
        run(`ip netns add ${far}`);
        try {
          for (const [a, b] of ['c0 d0', 's0 d1'].map((pair) => pair.split(' '))) {
            run(`ip -n ${far} link add ${a} type veth peer name ${b}`);
          }
          const second = await start(`ip netns exec ${far}`);
          await expect(second.do('open', order())).rejects.toMatchObject({
            code: 'TD_CONFLICT',
            message: expect.stringMatching(/another network namespace/),
          });
        } finally {
          run(`ip netns del ${far}`);
        }
      });
    });

    describe('unpin', () => {
      test('takes off everything and says what', async () => {
        const first = await running();
        await first.end('SIGKILL');
        const second = await start();
        const said = (await second.do('unpin', pin)).join('\n');
        expect(said).toMatch(/link-outside: XDP program taken off interface \d+/);
        expect(said).toMatch(/10 pins removed/);
        for (const name of ['d0', 'd1']) expect((await second.do('attachment', name)).attached).toBe('none');
        expect(mounts()).toEqual([]);
        expect(await second.do('unpin', pin)).toEqual([]);
      });
      test('what netlink attached, too', async () => {
        const first = await running({ pin: null });
        await first.end('SIGKILL');
        const second = await start();
        expect((await second.do('unpin', pin)).join()).toMatch(/d0: XDP program \d+ taken off.*d1: XDP/);
        expect((await second.do('attachment', 'd0')).attached).toBe('none');
        expect(await second.do('pinnedTable', pin)).toBeNull();
      });
    });

    // What io: auto relies on; see src/io/xdp-features.ts.
    describe('what a veth tells of itself', () => {
      const facts = async (child: Child) => (await child.do('facts', 'd1')).redirectInto;
      test('redirectInto follows the far end: GRO, a program in the driver, nothing else', async () => {
        const child = await start();
        expect(await child.do('machine')).toBeNull();
        expect(await child.do('facts', 'd1')).toMatchObject({
          native: true,
          redirectInto: false,
          transmit: false,
          queues: 1,
          mtu: 1500,
        });
        run(`${NETNS_EXEC} ethtool -K s0 gro on`);
        expect(await facts(child)).toBe(true);
        run(`${NETNS_EXEC} ethtool -K s0 gro off`);
        expect(await facts(child)).toBe(false);
        await child.do('open', order({ pin: null, outside: 's0', inside: 's0' }));
        await child.do('attach');
        expect(await facts(child)).toBe(true);
        await child.do('detach');
        expect(await facts(child)).toBe(false);
        await child.do('open', order({ pin: null, outside: 's0', inside: 's0', mode: 'generic' }));
        await child.do('attach');
        expect(await facts(child)).toBe(false);
        await child.do('detach');
        await child.do('open', order({ pin: null, outside: 'd1', inside: 'd1' }));
        await child.do('attach');
        expect(await facts(child)).toBe(false); // a program of its own changes nothing
        await child.do('detach');
      });
    });
  },
);
