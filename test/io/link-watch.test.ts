/** Needs no rights: every host has a loopback interface. Changes: test/e2e/gateway-host.test.ts. */
import { describe, expect, test } from 'vitest';
import { LinkWatch, NO_LINK } from '../../src/io/link-watch.js';
import { type NetlinkSocket, native } from '../../src/io/native.js';

describe('LinkWatch', () => {
  test('knows an interface by its name, and that there is none', () => {
    const lo = new LinkWatch(native(), 'lo', () => {});
    expect(lo.state).toMatchObject({ present: true, index: 1 });
    expect(lo.state.mtu).toBeGreaterThan(1000);
    lo.close();
    const none = new LinkWatch(native(), 'no-such-link', () => {});
    expect(none.state).toEqual(NO_LINK);
    none.close();
  });

  test('a notice that was lost makes it look again; nothing new is not told', () => {
    const real = native().NetlinkSocket;
    let hear = (): void => {};
    let lost = 0;
    const changes: unknown[] = [];
    class Deaf {
      readonly #socket: NetlinkSocket;
      constructor(
        protocol: number,
        readonly groups: number,
        onReadable: () => void,
      ) {
        this.#socket = new real(protocol, 0, () => {});
        if (groups !== 0) hear = onReadable;
      }
      send(message: Uint8Array): void {
        this.#socket.send(message);
      }
      receive(): Uint8Array | null {
        if (this.groups !== 0 && lost-- > 0) throw Object.assign(new Error('no room'), { code: 'ENOBUFS' });
        return this.#socket.receive();
      }
      close(): void {
        this.#socket.close();
      }
    }
    const watch = new LinkWatch({ NetlinkSocket: Deaf }, 'lo', (state) => changes.push(state));
    lost = 2;
    hear();
    expect(lost).toBe(-1);
    expect(changes).toEqual([]);
    watch.close();
  });
});
