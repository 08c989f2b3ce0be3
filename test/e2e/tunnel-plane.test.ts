/** The data path of an LNS and a LAC on real devices: TUN, UDP, PPPoE, two workers, in a network namespace. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CALL_FLAG } from '../../src/flow/session-layout.js';
import { parseAddress } from '../../src/wire/address.js';
import { checksum } from '../../src/wire/checksum.js';
import { hex } from '../helpers/packet-builder.js';
import { MAC } from '../helpers/packet-wire.js';
import type { Scenarios, Session } from '../helpers/tunnel-plane-child.js';

const SPACE = `tp${process.pid}`;
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

const inetChecksum = (bytes: Buffer): number =>
  checksum(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length);
const word = (value: number, bytes = 2): string => value.toString(16).padStart(bytes * 2, '0');
const address = (text: string): string =>
  (parseAddress(text) as readonly number[]).map((w) => word(w >>> 0, 4)).join('');

/** IPv4 packet, hexadecimal. */
function ipv4(from: string, to: string, protocol: number, payload: string): string {
  const length = 20 + payload.length / 2;
  const head = (sum: string): string =>
    `4500${word(length)}00004000 40${word(protocol, 1)}${sum}`.replace(/ /g, '') +
    address(from).slice(24) +
    address(to).slice(24);
  return head(word(inetChecksum(Buffer.from(head('0000'), 'hex')))) + payload;
}
/** Echo request whose data is `data`. */
function echo4(from: string, to: string, data = '00'.repeat(8)): string {
  const icmp = `0800${'0000'}00010001${data}`;
  const sum = word(inetChecksum(Buffer.from(icmp, 'hex')));
  return ipv4(from, to, 1, `0800${sum}00010001${data}`);
}
function echo6(from: string, to: string): string {
  const icmp = (sum: string): string => `8000${sum}00010001${'00'.repeat(8)}`;
  const pseudo = `${address(from)}${address(to)}${word(16, 4)}0000003a${icmp('0000')}`;
  return `60000000${word(16)}3a40${address(from)}${address(to)}${icmp(word(inetChecksum(Buffer.from(pseudo, 'hex'))))}`;
}
/** Data message to tunnel 7. */
const data = (id: number, ppp: string): string => `00020007${word(id)}${ppp}`;
const V4 = 'ff030021';
const V6 = 'ff030057';
const GATEWAY = '10.60.0.1';
const ip = (id: number): string => `10.60.0.${100 + id}`;
const OPEN = CALL_FLAG.ipv4 | CALL_FLAG.ipv6 | CALL_FLAG.checkPeer | CALL_FLAG.antiSpoof;

describe.skipIf(reason !== null && process.env.TD_REQUIRE_LAB !== '1')(
  `tunnel plane${reason === null ? '' : ` (${reason})`}`,
  () => {
    beforeAll(async () => {
      if (reason !== null) throw new Error(reason);
      run(`ip netns add ${SPACE}`);
      run(`ip -n ${SPACE} link add c0 address ${MAC.c0} type veth peer name d0 address ${MAC.d0}`);
      for (const name of ['c0', 'd0']) {
        run(`ip netns exec ${SPACE} sysctl -qw net.ipv6.conf.${name}.disable_ipv6=1`);
        run(`ip -n ${SPACE} link set ${name} arp off up`);
      }
      const script = new URL('../helpers/tunnel-plane-child.ts', import.meta.url).pathname;
      const words = ['netns', 'exec', SPACE, process.execPath, '--import', 'tsx', script];
      child = spawn('ip', words, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
      await answer();
    });
    afterAll(() => {
      child?.kill();
      if (reason === null) run(`ip netns del ${SPACE}`);
    });

    const exchange = (session: Omit<Session, 'id'>, send: readonly string[], answers: number, more = {}) =>
      scenario('exchange', { sessions: [{ id: 1, ...session }], send, answers, ...more });

    describe('LNS', () => {
      test('an echo request goes through the TUN device, and its answer back, both counted', async () => {
        const result = await exchange({}, [data(1, V4 + echo4(ip(1), GATEWAY))], 1);
        expect(result.answers[0]).toMatch(/^0002000903e9ff03002145000024....00004001....0a3c00010a3c00650000/);
        expect(result.counters[0]).toMatchObject({ packetsIn: 1, bytesIn: 36, packetsOut: 1, bytesOut: 36 });
        expect(result).toMatchObject({ seen: [true], drops: {} });
      });

      test('IPv6 inside, and IPv6 outside', async () => {
        const sessions = [{ id: 1 }];
        const send = [data(1, V6 + echo6('fd60:0:0:1::5', 'fd60::1')), data(1, V4 + echo4(ip(1), GATEWAY))];
        const result = await scenario('exchange', { sessions, send, answers: 2, address: '::1' });
        expect(result.answers.map((message) => message.slice(0, 22)).sort()).toEqual([
          '0002000903e9ff03002145',
          '0002000903e9ff03005760',
        ]);
      });

      test('headers with length, sequence numbers and offset, compressed PPP headers, padding: all understood', async () => {
        const echo = echo4(ip(1), GATEWAY);
        const whole = V4 + echo;
        const messages = [
          `4002${word(8 + whole.length / 2)}00070001${whole}0000`,
          `0802${'00070001'}00050000${whole}`,
          `0a02000700010006000000020000${whole}`,
          data(1, `0021${echo}`),
          data(1, `21${echo}`),
          data(1, `ff0321${echo}`),
          data(1, `${whole}00000000`),
        ];
        const { answers, drops } = await exchange({}, messages, messages.length);
        expect(answers).toHaveLength(messages.length);
        expect(drops).toEqual({});
      });

      test('what it writes is what was negotiated: length, sequence numbers, ACFC and PFC', async () => {
        const { lengthBit, sendSequence, compressAddress, compressProtocol } = CALL_FLAG;
        const flags = OPEN | lengthBit | sendSequence | compressAddress | compressProtocol;
        const { answers } = await exchange({ flags }, Array(3).fill(data(1, V4 + echo4(ip(1), GATEWAY))), 3);
        expect(answers.map((message) => message.slice(0, 28))).toEqual(
          [0, 1, 2].map((ns) => `48020031000903e9${word(ns)}00002145`),
        );
      });

      test('sequence numbers follow the peer where so negotiated, and repeated ones are dropped', async () => {
        const flags = OPEN | CALL_FLAG.followSequence;
        const echo = V4 + echo4(ip(1), GATEWAY);
        const numbered = (ns: number): string => `080200070001${word(ns)}0000${echo}`;
        const send = [0xfffe, 0xffff, 0, 0xffff, 0, 3].map(numbered);
        const { answers, drops, counters } = await exchange({ flags }, send, 4, { drops: 2 });
        expect(answers.every((message) => message.startsWith('0802'))).toBe(true);
        expect(drops).toEqual({ sequence: 2 });
        expect(counters[0].sequence).toBe(2);
      });

      test('every drop has its name', async () => {
        const echo = echo4(ip(1), GATEWAY);
        const messages: readonly (readonly [string, string])[] = [
          ['malformed', '00'],
          ['malformed', '0002000700'],
          ['malformed', `4002ffff00070001${V4}${echo}`],
          ['malformed', `020200070001ffff${V4}`],
          ['version', `0003000700010000${V4}`],
          ['unknown-session', `000200070099${V4}${echo}`],
          ['malformed-packet', data(1, '00')],
          ['malformed-packet', data(1, `${V4}65${echo.slice(2)}`)],
          ['malformed-packet', data(1, V4 + echo.slice(0, 60))],
          ['malformed-packet', data(1, `${V6}6000`)],
          ['spoofed', data(1, V4 + echo4(ip(2), GATEWAY))],
          ['spoofed', data(1, V6 + echo6('fd60:0:0:2::5', 'fd60::1'))],
          ['network-down', data(2, V4 + echo4(ip(2), GATEWAY))],
          ['network-down', data(2, V6 + echo6('fd60:0:0:2::5', 'fd60::1'))],
          ['session-closed', data(3, V4 + echo4(ip(3), GATEWAY))],
          ['sequence-missing', data(4, V4 + echo4(ip(4), GATEWAY))],
        ];
        const expected: Record<string, number> = {};
        for (const [name] of messages) expected[name] = (expected[name] ?? 0) + 1;
        const { drops } = await scenario('exchange', {
          sessions: [
            { id: 1 },
            { id: 2, flags: CALL_FLAG.antiSpoof },
            { id: 3, state: 'closed' },
            { id: 4, flags: OPEN | CALL_FLAG.needSequence },
          ],
          send: messages.map(([, message]) => message),
          answers: 0,
          drops: messages.length,
        });
        expect(drops).toEqual(expected);
      });

      test('control messages, control protocols, unknown protocols and link-local packets go to the main thread', async () => {
        const control = 'c802000c0000000000000000';
        const local = `60000000${word(0)}3aff${address('fe80::5')}${address('ff02::2')}`;
        const send = [control, data(1, 'ff03c0210901000400000000'), data(1, 'ff03002d45'), data(1, V6 + local)];
        const { punts } = await exchange({}, send, 0, { punts: 4 });
        const by = '127.0.0.1';
        const expected = [
          { kind: 'control', slot: -1, bytes: control, access: -1, by },
          { kind: 'ppp', slot: 0, bytes: 'c0210901000400000000', access: -1, by },
          { kind: 'ppp', slot: 0, bytes: '002d45', access: -1, by },
          { kind: 'ipv6-local', slot: 0, bytes: local, access: -1, by },
        ];
        const sorted = (list: readonly { bytes: string }[]) => [...list].sort((a, b) => (a.bytes < b.bytes ? -1 : 1));
        expect(sorted(punts)).toEqual(sorted(expected));
      });

      test('routed networks are allowed as source and reached as destination', async () => {
        const routes = ['10.77.7.0/120'];
        const { answers, drops } = await exchange({ routes }, [data(1, V4 + echo4('10.77.7.9', GATEWAY))], 1);
        expect(answers[0]).toContain(address('10.77.7.9').slice(24));
        expect(drops).toEqual({});
      });

      test('a packet that is too long comes back to its sender as ICMP, and the next one fits', async () => {
        const session = { id: 1, mru: 1000 };
        const result = await scenario('fromNetwork', {
          session,
          to: ip(1),
          lengths: [1200, 1200],
          answers: 2,
          pmtu: true,
        });
        expect(result.drops).toEqual({ 'too-big': 1 });
        // The host cut the second itself, by what it had been told.
        expect(result.answers.map((message) => message.length / 2 - 10)).toEqual([996, 1200 + 8 - 976 + 20]);
        const six = await scenario('fromNetwork', {
          session: { id: 1, mru: 1400 },
          to: 'fd60:0:0:1::9',
          lengths: [1440, 1440],
          answers: 2,
          pmtu: true,
        });
        expect(six.drops).toEqual({ 'too-big': 1 });
      });

      test('a packet that may be cut is cut', async () => {
        const session = { id: 1, mru: 576 };
        const { answers, counters } = await scenario('fromNetwork', {
          session,
          to: ip(1),
          lengths: [1200],
          answers: 3,
          fragment: true,
        });
        const places = answers.map((message) => Number.parseInt(message.slice(32, 36), 16));
        expect(places).toEqual([0x2000, 0x2000 | 69, 138]);
        for (const message of answers) {
          expect(inetChecksum(Buffer.from(message.slice(20, 60), 'hex'))).toBe(0);
          expect(message.length / 2 - 10).toBeLessThanOrEqual(576);
        }
        expect(counters.packetsOut).toBe(3);
      });

      test('packets of a session stay in order, however many workers there are', async () => {
        const rounds = 60;
        const { orders, statistics, workers } = await scenario('order', { sessions: 20, rounds });
        expect(orders).toHaveLength(20);
        for (const order of orders) expect(order).toEqual(Array.from({ length: rounds }, (_, i) => i));
        expect(statistics.datagramsOut).toBe(20 * rounds);
        expect(workers.every((packets) => packets > rounds)).toBe(true);
      });
    });

    describe('hold', () => {
      const limits = { bytesPerSession: 100_000, bytes: 1_000_000, milliseconds: 60_000 };

      test('what waits is sent in order, into the tunnel that the session has then', async () => {
        const { before, after, counters } = await scenario('hold', { packets: 50, limits });
        expect(before).toBe(0);
        expect(after.map((message) => Number.parseInt(message.slice(-2), 16))).toEqual([
          ...Array.from({ length: 50 }, (_, i) => i),
          255,
        ]);
        expect(new Set(after.map((message) => message.slice(4, 8)))).toEqual(new Set(['abcd']));
        expect(counters).toMatchObject({ packetsOut: 51, hold: 0 });
      });

      test('it is bounded in bytes: the first stay, the rest is counted', async () => {
        const small = { ...limits, bytesPerSession: 10 * (29 + 2 + 64) };
        const { after, drops } = await scenario('hold', { packets: 30, limits: small });
        expect(after.map((message) => Number.parseInt(message.slice(-2), 16))).toEqual([
          0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 255,
        ]);
        expect(drops).toEqual({ 'hold-full': 20 });
      });

      test('it is bounded in time', async () => {
        const { after, drops } = await scenario('hold', {
          packets: 5,
          limits: { ...limits, milliseconds: 30 },
          expire: true,
        });
        expect(after).toHaveLength(1);
        expect(drops).toEqual({ 'hold-expired': 5 });
      });
    });

    describe('LAC', () => {
      const ETHERNET = (to: string, from: string): string => `${to}${from}8864`.replace(/:/g, '');
      const pppoe = (ppp: string, id = 0x55, from: string = MAC.c0): string =>
        `${ETHERNET(MAC.d0, from)}1100${word(id)}${word(ppp.length / 2)}${ppp}`;
      const packet = echo4('10.1.1.1', '10.1.1.2');

      test('frames of a customer go into its tunnel and back; control protocols where they are wanted', async () => {
        const echoRequest = 'c0210901000400000000';
        const result = await scenario('access', {
          flags: CALL_FLAG.puntAccess | CALL_FLAG.checkPeer,
          frames: [
            pppoe(`0021${packet}`),
            `${pppoe(`0057${packet}`)}0000`,
            pppoe(echoRequest),
            pppoe(`0021${packet}`, 0x66),
            pppoe(`0021${packet}`, 0x55, '02:00:00:00:00:99'),
            `ffffffffffff${MAC.c0.replace(/:/g, '')}8863110900000004 01010000`.replace(/ /g, ''),
            `${ETHERNET(MAC.d0, MAC.c0)}11000055ffff0021`,
          ],
          answers: 2,
          messages: [data(3, V4 + packet), data(3, `21${packet}`), data(3, `ff03${echoRequest}`)],
          back: 5,
          punts: 3,
        });
        expect(result.answers).toEqual([`0002000903ebff030021${packet}`, `0002000903ebff030057${packet}`]);
        const toCustomer = (ppp: string): string => `${ETHERNET(MAC.c0, MAC.d0)}11000055${word(ppp.length / 2)}${ppp}`;
        const lcp = `c021${'0901000400000000'}`;
        expect([...result.back].sort()).toEqual(
          [
            toCustomer(`0021${packet}`),
            toCustomer(`0021${packet}`),
            toCustomer(lcp),
            toCustomer(lcp),
            hex(Buffer.from('020000000c00020000000d0088631107 00000000'.replace(/ /g, ''), 'hex')),
          ].sort(),
        );
        expect(result.punts.map(({ kind, slot, access }) => `${kind} ${slot} ${access}`).sort()).toEqual([
          'access-ppp 0 -1',
          'discovery -1 0',
          'unknown-access -1 0',
        ]);
        expect(result.drops).toEqual({ 'unknown-session': 1, 'wrong-mac': 1, malformed: 1 });
        expect(result.counters).toMatchObject({ packetsIn: 2, packetsOut: 3 });
      });
    });

    test('what cannot be opened is refused with its reason', async () => {
      const { line, inUse, foreign } = await scenario('refusals');
      expect(line).toMatchObject({ code: 'TD_UNAVAILABLE', message: expect.stringContaining('none0') });
      expect(inUse.code).toBe('TD_CONFLICT');
      expect(foreign.code).toBe('TD_UNAVAILABLE');
    });
  },
);
