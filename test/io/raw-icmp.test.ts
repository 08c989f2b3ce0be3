import { afterEach, describe, expect, test } from 'vitest';
import { DesignatorError } from '../../src/errors.js';
import { RawIcmp, type RawSocket } from '../../src/io/raw-icmp.js';
import { parseAddress, type AddressWords } from '../../src/wire/address.js';
import { checksum } from '../../src/wire/checksum.js';

const SERVER = parseAddress('10.10.1.1') as AddressWords;
const SERVER_V6 = parseAddress('2001:db8::1') as AddressWords;
const ERROR_PACKET = new Uint8Array(28);
ERROR_PACKET.set([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0, 192, 0, 2, 1, 10, 0, 0, 9]);

interface Sent {
  readonly protocol: number;
  readonly packet: Uint8Array;
  readonly address: string;
}

/** A package whose sockets only remember. `hold`: it has not sent yet. */
function fakePackage({ hold = false, fails = null as Error | null } = {}) {
  const sent: Sent[] = [];
  const filters: [level: number, option: number, value: string][] = [];
  const closed: number[] = [];
  const listeners = new Map<number, (packet: Uint8Array, source: string) => void>();
  const open = ({ protocol }: { protocol: number }): RawSocket => ({
    on(event: string, listener: unknown) {
      if (event === 'message') listeners.set(protocol, listener as never);
      return this;
    },
    setOption: (level, option, value) => filters.push([level, option, Buffer.from(value).toString('hex')]),
    send(packet, _offset, length, address, done) {
      sent.push({ protocol, packet: Uint8Array.from(packet.subarray(0, length)), address });
      if (!hold) done(fails, length);
    },
    close: () => closed.push(protocol),
  });
  const hear = (protocol: number, packet: Uint8Array, source: string): void =>
    listeners.get(protocol)?.(packet, source);
  return { open, sent, filters, closed, hear };
}

const replyTo = ({ packet }: Sent, type: number): Uint8Array => {
  const reply = Uint8Array.from(packet);
  reply[0] = type;
  return reply;
};
const behindIpv4 = (icmp: Uint8Array): Uint8Array =>
  Uint8Array.from([0x45, 0, 0, 20 + icmp.length, 0, 0, 0, 0, 64, 1, 0, 0, 10, 10, 1, 1, 10, 0, 0, 1, ...icmp]);

const opened: RawIcmp[] = [];
const make = (options: ConstructorParameters<typeof RawIcmp>[0]): RawIcmp => {
  const raw = new RawIcmp(options);
  opened.push(raw);
  return raw;
};
afterEach(() => {
  for (const raw of opened.splice(0)) raw.close();
});

describe('errors', () => {
  test('leave as whole packets towards their destination', () => {
    const { open, sent } = fakePackage();
    const raw = make({ open });
    expect(raw.send(ERROR_PACKET)).toBe(true);
    const v6 = new Uint8Array(48);
    v6[0] = 0x60;
    v6.set([0x20, 0x01, 0x0d, 0xb8], 24);
    v6[39] = 9;
    expect(raw.send(v6)).toBe(true);
    expect(sent.map(({ protocol, address, packet }) => [protocol, address, packet.length])).toEqual([
      [255, '10.0.0.9', 28],
      [255, '2001:db8::9', 48],
    ]);
    expect(raw.counters).toMatchObject({ sent: 2, suppressed: 0, failed: 0 });
  });
  test('are limited in rate, and time gives more', () => {
    let now = 100;
    const { open, sent } = fakePackage();
    const raw = make({ open, rate: 10, burst: 3, now: () => now });
    expect([1, 2, 3, 4].map(() => raw.send(ERROR_PACKET))).toEqual([true, true, true, false]);
    now += 0.11;
    expect([1, 2].map(() => raw.send(ERROR_PACKET))).toEqual([true, false]);
    expect(sent).toHaveLength(4);
    expect(raw.counters.suppressed).toBe(2);
  });
  test('do not pile up before a package that does not get on', () => {
    const { open, sent } = fakePackage({ hold: true });
    const raw = make({ open, burst: 10_000 });
    for (let n = 0; n < 300; n++) raw.send(ERROR_PACKET);
    expect(sent).toHaveLength(256);
    expect(raw.counters.suppressed).toBe(44);
  });
  test('that the kernel refuses are counted', () => {
    const { open } = fakePackage({ fails: new Error('Network is unreachable') });
    const raw = make({ open });
    raw.send(ERROR_PACKET);
    expect(raw.counters).toMatchObject({ sent: 0, failed: 1 });
  });
  test.each([[new Uint8Array(0)], [new Uint8Array(19).fill(0x45)], [new Uint8Array(39).fill(0x60)]])(
    'what is no packet is refused',
    (packet) => expect(() => make({ open: fakePackage().open }).send(packet)).toThrow(DesignatorError),
  );
  test('nothing is sent after the end', () => {
    const { open, sent, closed } = fakePackage();
    const raw = make({ open });
    raw.send(ERROR_PACKET);
    raw.close();
    expect(raw.send(ERROR_PACKET)).toBe(false);
    expect([sent.length, closed]).toEqual([1, [255]]);
  });
});

describe('echo', () => {
  test('an IPv4 reply is one with our identifier, sequence number and address', async () => {
    const { open, sent, hear, filters } = fakePackage();
    const raw = make({ open });
    const probe = raw.echo(SERVER, 10_000);
    expect(filters).toEqual([[255, 1, 'feffffff']]);
    const view = new DataView(sent[0].packet.buffer);
    expect(checksum(view, 0, sent[0].packet.length)).toBe(0);
    const reply = replyTo(sent[0], 0);
    hear(1, behindIpv4(reply), '10.10.1.2');
    const other = Uint8Array.from(reply);
    other[4] ^= 0xff;
    hear(1, behindIpv4(other), '10.10.1.1');
    hear(1, behindIpv4(replyTo(sent[0], 8)), '10.10.1.1');
    hear(1, behindIpv4(reply).subarray(0, 24), '10.10.1.1');
    expect(raw.counters).toMatchObject({ replies: 0, strayReplies: 1 });
    hear(1, behindIpv4(reply), '10.10.1.1');
    await expect(probe).resolves.toMatchObject({ result: 'reply' });
    expect(raw.counters).toMatchObject({ probes: 1, replies: 1 });
  });
  test('an IPv6 reply comes without its IP header', async () => {
    const { open, sent, hear, filters } = fakePackage();
    const raw = make({ open });
    const probe = raw.echo(SERVER_V6, 10_000);
    expect(filters[0][2]).toBe('ff'.repeat(16) + 'fd' + 'ff'.repeat(15));
    hear(58, replyTo(sent[0], 129), '2001:db8::1');
    await expect(probe).resolves.toMatchObject({ result: 'reply' });
  });
  test('silence, refusal and the end have each their answer', async () => {
    await expect(make({ open: fakePackage().open }).echo(SERVER, 1)).resolves.toEqual({ result: 'timeout' });
    const refusing = make({ open: fakePackage({ fails: new Error('Network is unreachable') }).open });
    await expect(refusing.echo(SERVER, 10_000)).resolves.toEqual({
      result: 'unsent',
      reason: 'Network is unreachable',
    });
    const raw = make({ open: fakePackage().open });
    const probe = raw.echo(SERVER, 10_000);
    raw.close();
    await expect(probe).resolves.toEqual({ result: 'unsent', reason: 'closed' });
    await expect(raw.echo(SERVER, 10_000)).resolves.toEqual({ result: 'unsent', reason: 'closed' });
  });
  test('too many at a time are refused, not queued', async () => {
    const raw = make({ open: fakePackage().open });
    const probes = Array.from({ length: 1025 }, () => raw.echo(SERVER, 10_000));
    await expect(probes[1024]).resolves.toMatchObject({ result: 'unsent' });
    expect(raw.counters.probes).toBe(1024);
  });
});

describe.skipIf(process.getuid?.() !== 0)('with the kernel (needs root)', () => {
  test.each(['127.0.0.1', '::1'])('%s answers', async (address) => {
    const raw = make({});
    await expect(raw.echo(parseAddress(address) as AddressWords, 5000)).resolves.toMatchObject({ result: 'reply' });
  });
});
