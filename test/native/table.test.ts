import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { native } from '../../src/io/native.js';

const addon = native();
const LENGTH = 1 << 20;
let folder: string;
const fds: number[] = [];
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'designator-native-'));
});
afterEach(() => {
  for (const fd of fds.splice(0)) addon.closeFd(fd);
  fs.rmSync(folder, { recursive: true });
});
function open(file: string | null, length = LENGTH): { fd: number; created: boolean } {
  const table = addon.openTable(file, length);
  fds.push(table.fd);
  return table;
}
const error = (body: () => unknown): NodeJS.ErrnoException => {
  try {
    body();
  } catch (thrown) {
    return thrown as NodeJS.ErrnoException;
  }
  throw new Error('nothing was thrown');
};
const inode = (fd: number): string => String(fs.fstatSync(fd).ino);
/** How often this process has the file behind `fd` mapped. */
const mappings = (fd: number): number =>
  fs
    .readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .filter((line) => line.split(/\s+/)[4] === inode(fd)).length;

describe('openTable', () => {
  test('makes a private file of the wanted length, once', () => {
    const file = path.join(folder, 'table');
    expect(open(file).created).toBe(true);
    const status = fs.statSync(file);
    expect([status.size, status.mode & 0o7777]).toEqual([LENGTH, 0o600]);
    expect(status.blocks * 512).toBeGreaterThanOrEqual(LENGTH);
    addon.closeFd(fds.pop() as number);
    expect(open(file).created).toBe(false);
  });
  test('a table that somebody has open is refused: two processes must never write into one', () => {
    const file = path.join(folder, 'table');
    open(file);
    expect(error(() => addon.openTable(file, LENGTH)).code).toBe('EAGAIN');
  });
  test('an empty file counts as new: its maker ended before it had a length', () => {
    const file = path.join(folder, 'table');
    fs.writeFileSync(file, '');
    expect(open(file).created).toBe(true);
    expect(fs.statSync(file).size).toBe(LENGTH);
  });
  test('file descriptors do not go to programs that are started', () => {
    const { fd } = open(null);
    const flags = /flags:\s*([0-7]+)/.exec(fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '0';
    expect(Number.parseInt(flags, 8) & 0o2000000).not.toBe(0);
  });
  test('says which call failed for which path', () => {
    const missing = error(() => addon.openTable(path.join(folder, 'no', 'table'), LENGTH));
    expect(missing.code).toBe('ENOENT');
    expect(missing.message).toContain(`open ${path.join(folder, 'no', 'table')}`);
    fs.writeFileSync(path.join(folder, 'short'), 'short');
    expect(error(() => addon.openTable(path.join(folder, 'short'), LENGTH)).code).toBe('EINVAL');
    fs.symlinkSync('short', path.join(folder, 'link'));
    expect(error(() => addon.openTable(path.join(folder, 'link'), LENGTH)).code).toBe('ELOOP');
    const huge = path.join(folder, 'huge');
    expect(error(() => addon.openTable(huge, 2 ** 52)).message).toContain(huge);
    expect(fs.existsSync(huge)).toBe(false);
  });
  test.each([[0], [-1], [1.5], [Number.NaN], [undefined as unknown as number]])('refuses %s as length', (length) => {
    expect(() => addon.openTable(null, length)).toThrow(RangeError);
  });
});

describe('mapTable', () => {
  test('two mappings see the same bytes', () => {
    const { fd } = open(null);
    const [one, two] = [addon.mapTable(fd, LENGTH), addon.mapTable(fd, LENGTH)];
    new Int32Array(one)[5] = 77;
    expect(new Int32Array(two)[5]).toBe(77);
    expect(Atomics.add(new Int32Array(two), 5, 1)).toBe(77);
    expect(new Int32Array(one)[5]).toBe(78);
    for (const buffer of [one, two]) addon.unmapTable(buffer);
  });
  test('what a process wrote is there for the next one', () => {
    const file = path.join(folder, 'table');
    const buffer = addon.mapTable(open(file).fd, LENGTH);
    new Int32Array(buffer)[9] = 1234;
    addon.unmapTable(buffer);
    expect(fs.readFileSync(file).readInt32LE(36)).toBe(1234);
  });
  test('beyond the end of the file is an error, not a bus error later', () => {
    const { fd } = open(null);
    expect(error(() => addon.mapTable(fd, LENGTH + 1)).code).toBe('EINVAL');
    expect(error(() => addon.mapTable(1_000_000, LENGTH)).code).toBe('EBADF');
    expect(() => addon.mapTable(-1, LENGTH)).toThrow(RangeError);
  });
});

describe('unmapTable', () => {
  test('empties all views and gives the address space back, once', () => {
    const { fd } = open(null);
    const buffer = addon.mapTable(fd, LENGTH);
    const view = new Int32Array(buffer);
    expect(mappings(fd)).toBe(1);
    addon.unmapTable(buffer);
    expect([buffer.byteLength, view.length, mappings(fd)]).toEqual([0, 0, 0]);
    addon.unmapTable(buffer);
  });
  test('refuses a buffer that is not from mapTable', () => {
    expect(() => addon.unmapTable(new ArrayBuffer(8))).toThrow(TypeError);
    expect(() => addon.unmapTable(5 as unknown as ArrayBuffer)).toThrow(TypeError);
  });
});

describe('a worker thread', () => {
  const variant = process.env.TD_NATIVE_VARIANT;
  const root = path.resolve(import.meta.dirname, '../..');
  const load =
    variant === 'asan'
      ? `require(${JSON.stringify(path.join(root, 'build/Release/tdnative_asan.node'))})`
      : `require(${JSON.stringify(path.join(root, 'node_modules/node-gyp-build'))})(${JSON.stringify(root)})`;
  const start = (body: string): Worker =>
    new Worker(
      `const { parentPort, workerData } = require('node:worker_threads');
       const addon = ${load};
       const words = new Int32Array(addon.mapTable(workerData.fd, workerData.length));
       ${body}`,
      { eval: true, workerData: { fd: fds.at(-1), length: LENGTH } },
    );

  test('has a mapping of its own, that goes when the thread is terminated in the middle of its work', async () => {
    const { fd } = open(null);
    const mine = new Int32Array(addon.mapTable(fd, LENGTH));
    mine[0] = 5;
    for (let round = 0; round < 3; round++) {
      const worker = start('parentPort.postMessage(words[0]); for (;;) Atomics.add(words, 1, 1);');
      expect(await new Promise((resolve) => worker.once('message', resolve))).toBe(5);
      expect(mappings(fd)).toBe(2);
      const before = Atomics.load(mine, 1);
      while (Atomics.load(mine, 1) === before) await pause(1);
      await worker.terminate();
      expect(mappings(fd)).toBe(1);
    }
  });
  test('that ends by itself leaves no mapping either, unmapped before or not', async () => {
    const { fd } = open(null);
    for (const body of ['words[0]++;', 'words[0]++; addon.unmapTable(words.buffer);']) {
      const worker = start(body);
      await new Promise((resolve) => worker.once('exit', resolve));
      expect(mappings(fd)).toBe(0);
    }
    expect(new Int32Array(addon.mapTable(fd, LENGTH))[0]).toBe(2);
  });
  test('can be pinned, has a kernel id and uses processor time', async () => {
    open(null);
    const allowed = /Cpus_allowed_list:\s*(\d+)/.exec(fs.readFileSync('/proc/self/status', 'utf8'))?.[1];
    const worker = start(`
      addon.pinThread(${allowed});
      const fs = require('node:fs');
      const before = addon.threadCpuNanos();
      while (addon.threadCpuNanos() - before < 1e6);
      const status = fs.readFileSync('/proc/self/task/' + addon.threadId() + '/status', 'utf8');
      parentPort.postMessage(/Cpus_allowed_list:\\s*(\\S+)/.exec(status)[1]);`);
    expect(await new Promise((resolve) => worker.once('message', resolve))).toBe(allowed);
    await worker.terminate();
  });
});

describe('event file descriptors', () => {
  test('are signalled, and never block whoever signals', () => {
    const fd = addon.eventFd();
    addon.signalEventFd(fd);
    addon.signalEventFd(fd);
    const counter = Buffer.alloc(8);
    fs.readSync(fd, counter, 0, 8, null);
    expect(counter.readBigUInt64LE()).toBe(2n);
    fs.writeSync(fd, Buffer.from('feffffffffffffff', 'hex'));
    addon.signalEventFd(fd); // full: nothing happens
    addon.closeFd(fd);
    expect(error(() => addon.signalEventFd(fd)).code).toBe('EBADF');
    expect(error(() => addon.closeFd(fd)).code).toBe('EBADF');
    expect(() => addon.closeFd(-1)).toThrow(RangeError);
  });
});

describe('facts of the system', () => {
  test('the clock is monotonic', () => {
    const before = addon.monotonicSeconds();
    expect(Math.abs(before - process.hrtime()[0])).toBeLessThan(60);
    expect(addon.monotonicSeconds()).toBeGreaterThanOrEqual(before);
  });
  test('an unknown CPU is an error', () => {
    expect(error(() => addon.pinThread(1023)).code).toBe('EINVAL');
    expect(() => addon.pinThread(-1)).toThrow(RangeError);
    expect(() => addon.pinThread(100_000)).toThrow(RangeError);
  });
  test('an interface has index, MAC and MTU; one that is not there is ENODEV', () => {
    const lo = addon.interfaceInfo('lo');
    expect(lo.index).toBe(os.networkInterfaces().lo === undefined ? lo.index : 1);
    expect(lo.mac).toEqual(new Uint8Array(6));
    expect(lo.mtu).toBeGreaterThanOrEqual(1280);
    const missing = error(() => addon.interfaceInfo('nope0'));
    expect([missing.code, missing.message.includes('nope0')]).toEqual(['ENODEV', true]);
    expect(error(() => addon.interfaceInfo('a-name-that-is-too-long')).code).toBe('EINVAL');
    expect(() => addon.interfaceInfo(undefined as unknown as string)).toThrow(TypeError);
  });
  test('the version is the package’s', () => {
    const manifest = JSON.parse(fs.readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    expect(addon.version).toBe(manifest.version);
  });
});

describe('sdNotify', () => {
  const old = process.env.NOTIFY_SOCKET;
  afterEach(() => {
    if (old === undefined) delete process.env.NOTIFY_SOCKET;
    else process.env.NOTIFY_SOCKET = old;
  });
  test('does nothing without a socket', () => {
    delete process.env.NOTIFY_SOCKET;
    expect(addon.sdNotify('READY=1')).toBe(false);
  });
  test.each([
    ['a path', 'notify'],
    ['an abstract name', '@'],
  ])('reaches %s', async (_what, kind) => {
    // Node has no datagram sockets of the UNIX kind; python3 is there wherever the addon could be built.
    const { spawn } = await import('node:child_process');
    const address = kind === '@' ? `@${folder}` : path.join(folder, 'notify');
    const receiver = spawn('python3', [
      '-c',
      'import socket,sys\ns=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)\na=sys.argv[1]\n' +
        's.bind("\\0"+a[1:] if a[0]=="@" else a)\nprint("bound",flush=True)\nprint(s.recv(4096).decode(),flush=True)',
      address,
    ]);
    let said = '';
    receiver.stdout.on('data', (chunk) => {
      said += chunk;
    });
    while (!said.startsWith('bound')) await pause(5);
    process.env.NOTIFY_SOCKET = address;
    expect(addon.sdNotify('READY=1\nSTATUS=up')).toBe(true);
    await new Promise((resolve) => receiver.once('close', resolve));
    expect(said).toBe('bound\nREADY=1\nSTATUS=up\n');
    expect(error(() => addon.sdNotify('READY=1')).code).toBe('ECONNREFUSED');
  });
  test('names the socket that nobody listens on', () => {
    process.env.NOTIFY_SOCKET = path.join(folder, 'nobody');
    const thrown = error(() => addon.sdNotify('READY=1'));
    expect([thrown.code, thrown.message.includes(folder)]).toEqual(['ENOENT', true]);
  });
});
