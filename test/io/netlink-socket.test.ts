/** The addon's netlink socket. Reading what the kernel tells needs no rights. */
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, test } from 'vitest';
import { type NetlinkSocket, native } from '../../src/io/native.js';

const ROUTE = 0;
const RTM_GETLINK = 18;
const RTM_NEWLINK = 16;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_REQUEST = 1;
const NLM_F_DUMP = 0x300;

let socket: NetlinkSocket | undefined;
afterEach(() => socket?.close());

function message(type: number, flags: number, sequence: number): Uint8Array {
  const bytes = new Uint8Array(32); // nlmsghdr, ifinfomsg
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  view.setUint32(8, sequence, true);
  return bytes;
}

/** Types of all messages of a datagram. */
function types(datagram: Uint8Array): number[] {
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.byteLength);
  const found: number[] = [];
  for (let at = 0; at + 16 <= datagram.length; at += (view.getUint32(at, true) + 3) & ~3)
    found.push(view.getUint16(at + 4, true));
  return found;
}

describe('NetlinkSocket', () => {
  test('calls back when there is something, and gives a dump a datagram at a time', async () => {
    const found: number[] = [];
    await new Promise<void>((done) => {
      const opened = new (native().NetlinkSocket)(ROUTE, 0, () => {
        for (let datagram = opened.receive(); datagram !== null; datagram = opened.receive())
          found.push(...types(datagram));
        if (found.includes(NLMSG_DONE)) done();
      });
      socket = opened;
      opened.send(message(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1));
    });
    expect(found).toContain(RTM_NEWLINK);
    expect(found.at(-1)).toBe(NLMSG_DONE);
  });

  test('an error of the kernel is a message; nothing to read is null', async () => {
    const got = await new Promise<number[]>((done) => {
      const opened = new (native().NetlinkSocket)(ROUTE, 0, () => {
        const datagram = opened.receive();
        expect(opened.receive()).toBeNull();
        done(datagram === null ? [] : types(datagram));
      });
      socket = opened;
      opened.send(message(999, NLM_F_REQUEST, 2));
    });
    expect(got).toEqual([NLMSG_ERROR]);
  });

  test('a closed one reads nothing and sends nothing', () => {
    const opened = new (native().NetlinkSocket)(ROUTE, 1, () => {});
    opened.close();
    opened.close();
    expect(opened.receive()).toBeNull();
    expect(() => opened.send(message(RTM_GETLINK, 1, 3))).toThrow(expect.objectContaining({ code: 'EBADF' }));
  });

  test.each([
    ['a protocol that there is not', () => new (native().NetlinkSocket)(99, 0, () => {}), /protocol/],
    ['a group that is no bit mask', () => new (native().NetlinkSocket)(ROUTE, -1, () => {}), /groups/],
    ['no function', () => new (native().NetlinkSocket)(ROUTE, 0, 7 as never), /onReadable/],
  ])('%s is refused', (_, open, words) => expect(open).toThrow(words));

  test('a worker may end with one open', async () => {
    const file = new URL('../../src/io/native.ts', import.meta.url).href;
    const code = `import('tsx/esm/api').then(async ({ tsImport }) => {
      const { native } = await tsImport('${file}', '${file}');
      new (native().NetlinkSocket)(0, 1, () => {});
      require('node:worker_threads').parentPort.postMessage('open');
      setInterval(() => {}, 1000);
    })`;
    const worker = new Worker(code, { eval: true });
    await new Promise((done, failed) => worker.once('message', done).once('error', failed));
    expect(await worker.terminate()).toBe(1);
  });
});
