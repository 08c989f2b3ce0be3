/** Changes of the host's network as netlink messages, against a kernel that only answers. */
import { describe, expect, test } from 'vitest';
import { announcement } from '../../src/io/announcer.js';
import { HostChanges } from '../../src/io/host-changes.js';
import type { NetlinkSocket } from '../../src/io/native.js';
import {
  readAddress,
  readMessages,
  readRoute,
  RTM_DELADDR,
  RTM_DELNEIGH,
  RTM_DELROUTE,
  RTM_NEWADDR,
  RTM_NEWNEIGH,
  RTM_NEWROUTE,
} from '../../src/io/netlink.js';
import { NetlinkRefusal } from '../../src/io/netlink-request.js';
import { parseAddress } from '../../src/wire/address.js';

const words = (text: string) => parseAddress(text) as [number, number, number, number];

/** Answers every request with the next errno of the list, then with 0. */
class Kernel {
  readonly requests: { type: number; flags: number; body: DataView }[] = [];
  constructor(readonly errors: number[] = []) {}

  readonly addon = {
    NetlinkSocket: ((kernel: Kernel) =>
      class implements NetlinkSocket {
        #answer: Uint8Array | null = null;
        send(bytes: Uint8Array): void {
          const copy = bytes.slice();
          const [message] = readMessages(copy);
          kernel.requests.push({
            type: message.type,
            flags: new DataView(copy.buffer).getUint16(6, true),
            body: message.body,
          });
          const view = new DataView(new ArrayBuffer(36));
          view.setUint32(0, 36, true);
          view.setUint16(4, 2, true);
          view.setUint32(8, message.sequence, true);
          view.setInt32(16, -(kernel.errors.shift() ?? 0), true);
          this.#answer = new Uint8Array(view.buffer);
        }
        receive(): Uint8Array | null {
          const answer = this.#answer;
          this.#answer = null;
          return answer;
        }
        close(): void {}
      })(this),
  };
}

describe('addresses', () => {
  test.each([
    ['192.0.2.11', 24],
    ['2001:db8::11', 64],
  ])('%s is added and removed', (text, length) => {
    const kernel = new Kernel();
    const changes = new HostChanges(kernel.addon);
    expect(changes.addAddress(7, words(text), length)).toBe(true);
    expect(changes.removeAddress(7, words(text), length)).toBe(true);
    expect(kernel.requests.map(({ type }) => type)).toEqual([RTM_NEWADDR, RTM_DELADDR]);
    expect(readAddress(kernel.requests[0].body)).toEqual({ index: 7, words: [...words(text)] });
    expect(kernel.requests[0].body.getUint8(1)).toBe(length);
    // Request, acknowledgement, create, exclusive.
    expect(kernel.requests[0].flags).toBe(0x605);
  });

  test('what is there already, or no longer, is no error', () => {
    const changes = new HostChanges(new Kernel([17, 99]).addon);
    expect(changes.addAddress(7, words('192.0.2.11'), 24)).toBe(false);
    expect(changes.removeAddress(7, words('192.0.2.11'), 24)).toBe(false);
  });

  test('a refusal is told', () => {
    const changes = new HostChanges(new Kernel([1]).addon);
    expect(() => changes.addAddress(7, words('192.0.2.11'), 24)).toThrow(NetlinkRefusal);
  });
});

test('routes', () => {
  const kernel = new Kernel([0, 0, 3]);
  const changes = new HostChanges(kernel.addon);
  const route = { words: words('10.64.0.7'), length: 32, index: 9, metric: 50 };
  expect(changes.addRoute(route)).toBe(true);
  expect(changes.removeRoute(route)).toBe(true);
  expect(changes.removeRoute({ ...route, words: words('2001:db8::'), length: 56 })).toBe(false);
  expect(kernel.requests.map(({ type }) => type)).toEqual([RTM_NEWROUTE, RTM_DELROUTE, RTM_DELROUTE]);
  expect(readRoute(kernel.requests[0].body)).toMatchObject({ table: 254, type: 1, length: 128, metric: 50 });
  expect(readRoute(kernel.requests[0].body)?.hops).toEqual([{ index: 9, gateway: [0, 0, 0, 0] }]);
  expect(readRoute(kernel.requests[2].body)).toMatchObject({ words: [...words('2001:db8::')], length: 56 });
});

test('proxy entries', () => {
  const kernel = new Kernel([17, 0, 2]);
  const changes = new HostChanges(kernel.addon);
  expect(changes.addProxy(3, words('10.64.0.7'))).toBe(false);
  expect(changes.addProxy(3, words('2001:db8::7'))).toBe(true);
  expect(changes.removeProxy(3, words('2001:db8::7'))).toBe(false);
  expect(kernel.requests.map(({ type }) => type)).toEqual([RTM_NEWNEIGH, RTM_NEWNEIGH, RTM_DELNEIGH]);
  const { body } = kernel.requests[0];
  expect([body.getInt32(4, true), body.getUint8(10), body.getUint32(16)]).toEqual([3, 8, 0x0a400007]);
});

describe('announcements', () => {
  const mac = Uint8Array.of(2, 0, 0, 0, 0, 9);
  test('IPv4: an ARP announcement', () => {
    const frame = Buffer.from(announcement(words('192.0.2.11'), mac)).toString('hex');
    expect(frame).toBe(
      'ffffffffffff0200000000090806' + '0001080006040001' + '020000000009c000020b' + '000000000000c000020b',
    );
  });
  test('IPv6: a neighbour advertisement to all nodes that overrides', () => {
    const frame = Buffer.from(announcement(words('2001:db8::11'), mac));
    expect(frame.subarray(0, 14).toString('hex')).toBe('33330000000102000000000986dd');
    expect(frame.subarray(22, 38).toString('hex')).toBe('20010db8000000000000000000000011');
    expect(frame[54]).toBe(136);
    expect(frame.subarray(58, 62).toString('hex')).toBe('20000000');
    expect(frame.subarray(62, 86).toString('hex')).toBe('20010db8000000000000000000000011' + '0201020000000009');
  });
});
