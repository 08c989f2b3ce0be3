/** The packet ring on real devices: receiving, rewriting, sending, VLANs, fan-out, and what goes wrong. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ownerSlot } from '../../src/flow/hash.js';
import { FRAME_CHECKSUM_PARTIAL, PORT_INSIDE, PORT_NONE, PORT_OUTSIDE } from '../../src/io/port.js';
import { parseAddress } from '../../src/wire/address.js';
import { type FrameOptions, frame, hex, l2tpControl, l2tpData, sccrq, udpFrame } from '../helpers/packet-builder.js';
import type { Scenarios } from '../helpers/packet-ring-child.js';
import { MAC } from '../helpers/packet-wire.js';

const SPACE = `pr${process.pid}`;
const reason = process.getuid?.() === 0 ? null : 'needs root: it makes a network namespace';

const run = (command: string): string => {
  const [program, ...words] = command.split(' ');
  return execFileSync(program, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
};

let child: ChildProcess;
const answer = (): Promise<unknown> =>
  new Promise((resolve, reject) => {
    const ended = (status: number | null): void =>
      reject(new Error(`the process in the namespace ended with ${status}`));
    if (child.exitCode !== null) return ended(child.exitCode);
    child.once('exit', ended);
    child.once('message', (message: { result: unknown; error?: string }) => {
      child.off('exit', ended);
      if (message.error === undefined) resolve(message.result);
      else reject(new Error(message.error));
    });
  });

async function scenario<Name extends keyof Scenarios>(
  name: Name,
  ...input: Parameters<Scenarios[Name]>
): Promise<Awaited<ReturnType<Scenarios[Name]>>> {
  if (child.connected) child.send({ name, input: input[0] });
  return (await answer()) as Awaited<ReturnType<Scenarios[Name]>>;
}

const CLIENT = '198.51.100.2';
const VIP = '203.0.113.1';
const SERVER = '10.0.0.10';
const TO_RING = { src: MAC.c0, dst: MAC.d0 };
const FROM_SERVER = { src: MAC.s0, dst: MAC.d1 };
const AT_SERVER = { src: MAC.d1, dst: MAC.s0 };
const AT_CLIENT = { src: MAC.d0, dst: MAC.c0 };
const data = (session: number, payload = 'ff030021 45'): Uint8Array => l2tpData({ tunnel: 7, session, payload });
const udp = (from: string, to: string, payload: Uint8Array, eth: FrameOptions['eth'], ttl = 64): string =>
  hex(udpFrame(from, to, payload, { eth, ip: { ttl } }));

describe.skipIf(reason !== null && process.env.TD_REQUIRE_LAB !== '1')(
  `packet ring${reason === null ? '' : ` (${reason})`}`,
  () => {
    beforeAll(async () => {
      if (reason !== null) throw new Error(reason);
      run(`ip netns add ${SPACE}`);
      for (const [a, b] of [
        ['c0', 'd0'],
        ['s0', 'd1'],
      ] as const) {
        run(`ip -n ${SPACE} link add ${a} address ${MAC[a]} type veth peer name ${b} address ${MAC[b]}`);
        for (const name of [a, b]) {
          run(`ip netns exec ${SPACE} sysctl -qw net.ipv6.conf.${name}.disable_ipv6=1`);
          run(`ip -n ${SPACE} link set ${name} arp off up`);
        }
      }
      // A veth queues per CPU: frames of one sender stay in order only while it stays on one.
      const cpu = /^Cpus_allowed_list:\s*(\d+)/m.exec(run('cat /proc/self/status'))?.[1] ?? '0';
      const script = new URL('../helpers/packet-ring-child.ts', import.meta.url).pathname;
      const words = ['netns', 'exec', SPACE, 'taskset', '-c', cpu, process.execPath, '--import', 'tsx', script];
      child = spawn('ip', words, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
      await answer();
    });
    afterAll(() => {
      child?.kill();
      if (reason === null) run(`ip netns del ${SPACE}`);
    });

    describe('both directions', () => {
      test.each([
        ['IPv4', { client: CLIENT, vip: VIP, server: SERVER }],
        ['IPv6', { client: '[2001:db8:1::2]', vip: '[2001:db8:3::1]', server: '[2001:db8:2::10]' }],
      ])('%s frames are rewritten by their entries and come out right', async (_, { client, vip, server }) => {
        const bare = (address: string): string => address.replace(/[[\]]/g, '');
        const sessions = [1, 2, 3];
        const result = await scenario('forward', {
          server: bare(server),
          vip: bare(vip),
          ports: [1702, 1701 << 16],
          out: sessions.map((s) => udp(`${client}:40001`, `${vip}:1701`, data(s), TO_RING)),
          back: sessions.map((s) => udp(`${server}:1702`, `${client}:40001`, data(s), FROM_SERVER)),
        });
        expect(result.atServer.map((h) => h.frame)).toEqual(
          sessions.map((s) => udp(`${client}:40001`, `${server}:1702`, data(s), AT_SERVER, 63)),
        );
        expect(result.atClient.map((h) => h.frame)).toEqual(
          sessions.map((s) => udp(`${vip}:1701`, `${client}:40001`, data(s), AT_CLIENT, 63)),
        );
        expect(result).toMatchObject({ counted: [3, 3], sent: 6, failed: 0, received: 6 });
      });

      test('VLAN tags are taken off, decide the side, and are put on', async () => {
        const result = await scenario('forward', {
          server: SERVER,
          vip: VIP,
          vlans: [100, 200],
          out: [udp(`${CLIENT}:1701`, `${VIP}:1701`, data(1), TO_RING)],
          back: [udp(`${SERVER}:1701`, `${CLIENT}:1701`, data(1), FROM_SERVER)],
        });
        expect(result.seen.map((h) => h.ingress).sort()).toEqual([PORT_OUTSIDE, PORT_INSIDE]);
        expect(result.atServer).toEqual([
          { frame: udp(`${CLIENT}:1701`, `${SERVER}:1701`, data(1), AT_SERVER, 63), ingress: PORT_OUTSIDE, flags: 0 },
        ]);
        expect(result.atClient).toEqual([
          { frame: udp(`${VIP}:1701`, `${CLIENT}:1701`, data(1), AT_CLIENT, 63), ingress: PORT_OUTSIDE, flags: 0 },
        ]);
      });

      test('one device with two VLANs has two sides, another VLAN is neither', async () => {
        const result = await scenario('oneArm', {
          vlans: [100, 200],
          server: SERVER,
          vip: VIP,
          frame: udp(`${CLIENT}:1701`, `${VIP}:1701`, data(1), TO_RING),
          other: udp(`${CLIENT}:1701`, `${VIP}:1701`, data(9), TO_RING),
        });
        expect(result.seen.map((h) => h.ingress)).toEqual([PORT_NONE, PORT_OUTSIDE]);
        const back = udp(`${CLIENT}:1701`, `${SERVER}:1701`, data(1), { src: MAC.d0, dst: MAC.c0 }, 63);
        expect(result.back).toEqual([{ frame: back, ingress: PORT_OUTSIDE, flags: 0 }]);
      });
    });

    test('a checksum that the sender left to its device is made', async () => {
      const { seen, arrived } = await scenario('partial');
      expect(seen.map((h) => h.flags)).toEqual([FRAME_CHECKSUM_PARTIAL]);
      const payload = new TextEncoder().encode('a datagram of odd length');
      const [head, body] = [arrived[0].frame.slice(0, 36), arrived[0].frame.slice(40)]; // without the host's choice of an id
      const expected = udpFrame(`${CLIENT}:40001`, `${SERVER}:1701`, payload, { eth: AT_SERVER, ip: { ttl: 63 } });
      expect(head).toBe(hex(expected).slice(0, 36));
      // From the addresses on: ports, length and the checksum.
      expect(body.slice(12)).toBe(hex(expected).slice(52));
      expect(arrived).toMatchObject([{ flags: 0 }]);
    });

    describe('fan-out', () => {
      const owner = (address: string): number => {
        const [a0, a1, a2, a3] = parseAddress(address) as readonly [number, number, number, number];
        return ownerSlot(a0, a1, a2, a3) % 2;
      };
      const clients = Array.from({ length: 40 }, (_, i) => `198.51.100.${i + 1}`);
      const clients6 = Array.from({ length: 40 }, (_, i) => `2001:db8:${i}::${i + 1}`);
      const byOwner = (frames: string[], owners: number[]): string[][] =>
        [0, 1].map((member) => frames.filter((_, i) => owners[i] === member));

      test('control messages go to the owner of the client, from either side, IPv4 and IPv6', async () => {
        const control = sccrq({ assigned: 7 });
        const outside = [
          ...clients.map((c) => udp(`${c}:1701`, `${VIP}:1701`, control, TO_RING)),
          ...clients6.map((c) => udp(`[${c}]:1701`, '[2001:db8:ffff::1]:1701', control, TO_RING)),
        ];
        const inside = [
          ...clients.map((c) => udp(`${SERVER}:1701`, `${c}:1701`, control, FROM_SERVER)),
          ...clients6.map((c) => udp('[2001:db8:ffff::1]:1701', `[${c}]:1701`, control, FROM_SERVER)),
        ];
        const owners = [...clients, ...clients6].map(owner);
        expect(new Set(owners)).toEqual(new Set([0, 1]));
        for (const [from, frames] of [
          ['c0', outside],
          ['s0', inside],
        ] as const) {
          expect(await scenario('fanOut', { from, frames })).toEqual({ got: byOwner(frames, owners), lost: [0, 0] });
        }
      });

      test('the data of one client spreads by session; a session stays with one member, in order', async () => {
        const sessions = Array.from({ length: 32 }, (_, i) => i + 1);
        const frames = [0, 1, 2].flatMap((round) =>
          sessions.map((s) =>
            udp(
              `${CLIENT}:1701`,
              `${VIP}:1701`,
              l2tpData({ tunnel: 7, session: s, length: s % 2 === 0, payload: `0${round}` }),
              TO_RING,
            ),
          ),
        );
        const { got, lost } = await scenario('fanOut', { from: 'c0', frames });
        expect(lost).toEqual([0, 0]);
        expect([...got[0], ...got[1]].sort()).toEqual([...frames].sort());
        const perMember = sessions.map((_, i) =>
          got.map((of) => frames.filter((f, at) => at % 32 === i && of.includes(f)).length),
        );
        for (const counts of perMember) expect([...counts].sort()).toEqual([0, 3]);
        for (const member of [0, 1]) {
          expect(perMember.filter((counts) => counts[member] === 3).length).toBeGreaterThan(4);
          expect(got[member]).toEqual(frames.filter((f) => got[member].includes(f)));
        }
      });

      test('what is no L2TPv2 data goes by the address alone', async () => {
        const member = owner(CLIENT);
        const eth = TO_RING;
        const numbers = Array.from({ length: 12 }, (_, i) => i);
        const frames = numbers.flatMap((i) => [
          // Fragments of data messages.
          hex(
            udpFrame(`${CLIENT}:1701`, `${VIP}:1701`, data(i), {
              eth,
              ip: { fragment: { offset: 0, more: true }, id: i },
            }),
          ),
          hex(
            frame({
              eth,
              ip: { src: CLIENT, dst: VIP, protocol: 17, fragment: { offset: 8, more: false }, id: i },
              payload: data(i),
            }),
          ),
          // Control messages of several tunnels.
          udp(`${CLIENT}:1701`, `${VIP}:1701`, l2tpControl({ tunnel: i, avps: [] }), eth),
          // L2TPv3, L2F, an ESP packet whose SPI looks like version 2, and too little to say.
          udp(`${CLIENT}:1701`, `${VIP}:1701`, Uint8Array.of(0, 3, 0, 0, 0, 0, 0, i), eth),
          udp(`${CLIENT}:1701`, `${VIP}:1701`, Uint8Array.of(0, 1, 0, 0, 0, 0, 0, i), eth),
          udp(`${CLIENT}:4500`, `${VIP}:4500`, Uint8Array.of(0, 2, 9, 9, 0, 0, 0, i), eth),
          udp(`${CLIENT}:${2000 + i}`, `${VIP}:1701`, Uint8Array.of(0), eth),
          // No UDP at all.
          hex(frame({ eth, ip: { src: CLIENT, dst: VIP }, tcp: { src: 1000 + i, dst: 1723 } })),
          hex(frame({ eth, ip: { src: CLIENT, dst: VIP }, icmp: { type: 8, id: i } })),
        ]);
        const { got } = await scenario('fanOut', { from: 'c0', frames });
        expect(got[member]).toEqual(frames);
        expect(got[1 - member]).toEqual([]);
      });
    });

    test('an event wakes a waiting turn once', async () => {
      const { woken, quiet } = await scenario('wake');
      expect(woken).toBeLessThan(900);
      expect(quiet).toBeGreaterThan(90);
    });

    test('a terminated worker leaves no socket, descriptor or mapping', async () => {
      const { before, during, after } = await scenario('terminate');
      expect(during.sockets).toBe(before.sockets + 4);
      expect(during.maps).toBe(before.maps + 2);
      expect(after).toEqual(before);
    });

    test('a link that is down costs what is sent to it; a deleted device is an error', async () => {
      const out = udp(`${SERVER}:1701`, `${CLIENT}:1701`, data(1), AT_CLIENT);
      const result = await scenario('linkDown', {
        frame: out.replace(/^.{24}/, MAC.d0.replaceAll(':', '') + MAC.c0.replaceAll(':', '')),
      });
      expect(result.whileDown).toBe(3);
      expect(result.afterwards).toEqual({ failed: 3, heard: 1 });
      expect(result.gone).toEqual({
        code: 'TD_UNAVAILABLE',
        message: 'interface x0 has gone: No such device',
        cause: 'ENODEV',
      });
    });

    test('a frame that cannot be sent is counted and the others go', async () => {
      const out = udp(`${CLIENT}:1701`, `${SERVER}:1701`, data(1), AT_SERVER);
      expect(await scenario('tooLong', { frame: out })).toEqual({ sent: 2, failed: 2, bytes: out.length, arrived: 2 });
    });

    test('blocks are reused only after their frames have been sent', async () => {
      const [rounds, each] = [60, 11];
      // No checksum, because the last four bytes are numbered.
      const options = { eth: TO_RING, udp: { checksum: 'none' } } as const;
      const out = hex(udpFrame(`${CLIENT}:1701`, `${VIP}:1701`, data(1, '00'.repeat(200)), options));
      const { order, lost } = await scenario('manyRounds', { frame: out, rounds, each });
      expect(lost).toBe(0);
      expect(order).toEqual(Array.from({ length: rounds * each }, (_, i) => i));
    });

    test('what the ring has no room for is counted', async () => {
      const count = 400;
      const { taken, received, lost, counted, afterwards } = await scenario('overrun', {
        frame: udp(`${CLIENT}:1701`, `${VIP}:1701`, data(1), TO_RING),
        count,
      });
      expect(received).toBe(count);
      expect(lost).toBeGreaterThan(0);
      expect(taken).toBe(count - lost);
      expect(counted).toBe(lost);
      expect(afterwards).toBe(1);
    });

    test('a closed ring says so, and its memory can still be read', async () => {
      expect(await scenario('closed')).toEqual({
        problems: ['EBADF', 'EBADF', 'a buffer in use has been detached'],
        statistics: { received: 0, lost: 0 },
        bytes: [0, 0],
        usable: true,
      });
    });

    test('without the right to packet sockets the missing capability is named', async () => {
      const result = await scenario('unprivileged');
      const told = { code: 'TD_NO_PERMISSION', exitStatus: 77, message: expect.stringContaining('CAP_NET_RAW') };
      expect(result).toEqual({ opening: told, probing: told });
    });
  },
);
