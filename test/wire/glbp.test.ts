/** GLBP: what is written is read, what tshark reads, and what a public tool verifies of the keyed MD5. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { buildGlbpFrame, readGlbpFrame } from '../../src/gateway/glbp/frame.js';
import { type AddressWords, parseAddress } from '../../src/wire/address.js';
import {
  buildGlbp,
  GLBP_ADDRESS_IPV4,
  GLBP_ADDRESS_IPV6,
  GLBP_MAC_IPV4,
  GLBP_MAC_IPV6,
  GLBP_STATE,
  type GlbpMessage,
  type GlbpSecret,
  glbpMac,
  isAuthenticGlbp,
  keyedMd5,
  readGlbp,
} from '../../src/wire/glbp.js';
import { pcapOf } from '../helpers/pcap-of.js';

const tsharkRuns = spawnSync('tshark', ['-v']).status === 0;

const address = (text: string): AddressWords => parseAddress(text) as AddressWords;
const key = (text: string): Uint8Array => new TextEncoder().encode(text);
const SOURCE = address('10.7.0.1');
const OWNER = Uint8Array.of(2, 0, 0, 0, 0, 1);
const MESSAGE: GlbpMessage = {
  group: 1020,
  owner: OWNER,
  hello: {
    state: GLBP_STATE.active,
    priority: 105,
    helloMs: 3000,
    holdMs: 10_000,
    redirect: 600,
    timeout: 14_400,
    address: address('10.7.0.254'),
  },
  forwarders: [
    { number: 1, state: GLBP_STATE.active, priority: 167, weight: 100, mac: glbpMac(1020, 1) },
    { number: 2, state: GLBP_STATE.listen, priority: 135, weight: 90, mac: glbpMac(1020, 2) },
  ],
};
const SECRETS: readonly GlbpSecret[] = [
  { kind: 'none' },
  { kind: 'text', text: key('cisco') },
  { kind: 'md5', key: key('a key of the group') },
  { kind: 'md5-chain', number: 7, key: key('a key of the group') },
];

test('the virtual MAC has ten bits for the group and eight for the forwarder', () => {
  expect([...glbpMac(1020, 1)]).toEqual([0x00, 0x07, 0xb4, 0x03, 0xfc, 0x01]);
  expect([...glbpMac(7, 4)]).toEqual([0x00, 0x07, 0xb4, 0x00, 0x07, 0x04]);
});

describe.each(SECRETS)('with authentication $kind', (secret) => {
  const bytes = buildGlbp(MESSAGE, secret, SOURCE);

  test('a message is read as it was written, and believed', () => {
    expect(readGlbp(bytes)).toEqual(MESSAGE);
    expect(isAuthenticGlbp(bytes, secret, SOURCE)).toBe(true);
  });

  test('it is believed with no other secret', () => {
    for (const other of SECRETS) {
      if (other.kind === secret.kind) continue;
      expect(isAuthenticGlbp(bytes, other, SOURCE), other.kind).toBe(false);
    }
    if (secret.kind === 'text') {
      expect(isAuthenticGlbp(bytes, { kind: 'text', text: key('cisca') }, SOURCE)).toBe(false);
      expect(isAuthenticGlbp(bytes, { kind: 'text', text: key('cisco1') }, SOURCE)).toBe(false);
    }
  });

  test('no prefix of it is read as a whole, and none makes an exception', () => {
    const ends = new Set([12]);
    for (let length = 0; length < bytes.length; length++) {
      const read = readGlbp(bytes.subarray(0, length));
      if (typeof read === 'string') expect(read).toBe('malformed');
      else ends.add(length);
      isAuthenticGlbp(bytes.subarray(0, Math.max(12, length)), secret, SOURCE);
    }
    // A cut is only possible between two items.
    expect(ends.size).toBe(secret.kind === 'none' ? 3 : 4);
  });
});

test.each(['md5', 'md5-chain'] as const)('%s: a changed byte, another key and another source are noticed', (kind) => {
  const secret = { kind, number: 7, key: key('a key') } as GlbpSecret;
  const bytes = buildGlbp(MESSAGE, secret, SOURCE);
  for (let at = 0; at < bytes.length; at++) {
    const changed = bytes.slice();
    changed[at] ^= 1;
    expect(isAuthenticGlbp(changed, secret, SOURCE), `byte ${at}`).toBe(false);
  }
  expect(isAuthenticGlbp(bytes, { ...secret, key: key('b key') } as GlbpSecret, SOURCE)).toBe(false);
  expect(isAuthenticGlbp(bytes, secret, address('10.7.0.2'))).toBe(false);
});

test('the keyed MD5 is the one of RFC 1828 that routers of the vendor send', () => {
  // An HSRP message and its digest as a public password tool has them for its self-test; GLBP uses the same function.
  const salt = '000004030a64010000000000000000000a000064041c010000000a0000140000000000000000000000000000000000000000';
  const digest = keyedMd5(Uint8Array.from(Buffer.from(salt, 'hex')), key('password12345'));
  expect(Buffer.from(digest).toString('hex')).toBe('52e1db09d18d695b8fefb3730ff8d9d6');
});

test('a version that is not known, two hellos, and items that do not fit are refused', () => {
  const bytes = buildGlbp(MESSAGE, { kind: 'none' }, SOURCE);
  const version = bytes.slice();
  version[0] = 2;
  expect(readGlbp(version)).toBe('version');
  const twice = Uint8Array.from([...bytes.subarray(0, 12), ...bytes.subarray(12, 40), ...bytes.subarray(12, 40)]);
  expect(readGlbp(twice)).toBe('malformed');
  const tooLong = bytes.slice();
  tooLong[12 + 23] = 16;
  expect(readGlbp(tooLong)).toBe('malformed');
  const many = new Uint8Array(12 + 33 * 2);
  many.set(bytes.subarray(0, 12));
  for (let at = 12; at < many.length; at += 2) many.set([9, 2], at);
  expect(readGlbp(many)).toBe('malformed');
  expect(readGlbp(many.subarray(0, many.length - 2))).toMatchObject({ hello: null, forwarders: [] });
  expect(() => buildGlbp({ ...MESSAGE, group: 1024 }, { kind: 'none' }, SOURCE)).toThrow(RangeError);
  expect(() => buildGlbp(MESSAGE, { kind: 'md5', key: new Uint8Array(56) }, SOURCE)).toThrow(RangeError);
});

test('any bytes are read or refused', () => {
  let state = 1;
  const random = (below: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % below;
  };
  const seeds = SECRETS.map((secret) => buildGlbp(MESSAGE, secret, SOURCE));
  let read = 0;
  for (let round = 0; round < 20_000; round++) {
    const bytes = seeds[random(seeds.length)].slice(0, 1 + random(120));
    for (let n = random(4); n > 0; n--) bytes[random(bytes.length)] = random(256);
    if (typeof readGlbp(bytes) === 'string') continue;
    read++;
    isAuthenticGlbp(bytes, SECRETS[random(SECRETS.length)], SOURCE);
  }
  expect(read).toBeGreaterThan(100);
});

describe('in a frame', () => {
  const four = buildGlbpFrame(
    { from: glbpMac(1020, 1), to: GLBP_MAC_IPV4 },
    SOURCE,
    [0, 0, 0xffff, GLBP_ADDRESS_IPV4],
    buildGlbp(MESSAGE, { kind: 'none' }, SOURCE),
  );
  const source6 = address('fe80::1');
  const six = buildGlbpFrame(
    { from: glbpMac(1020, 1), to: GLBP_MAC_IPV6 },
    source6,
    GLBP_ADDRESS_IPV6,
    buildGlbp({ ...MESSAGE, hello: { ...MESSAGE.hello!, address: address('fe80::7:fe') } }, SECRETS[2], source6),
  );

  test.each([
    ['IPv4', four],
    ['IPv6', six],
  ])('%s: read as written; damage, a wrong hop limit and other ports are told apart', (_name, frame) => {
    const datagram = readGlbpFrame(frame);
    expect(datagram).toMatchObject({ from: glbpMac(1020, 1) });
    const ip = frame === four;
    const hops = frame.slice();
    if (ip) {
      hops[22] = 254;
      // The header checksum of TTL 254 is higher by one in the high byte.
      hops[24] += 1;
    } else hops[21] = 254;
    expect(readGlbpFrame(hops)).toBe('hop-limit');
    const damaged = frame.slice();
    damaged[damaged.length - 1] ^= 1;
    expect(readGlbpFrame(damaged)).toBe('damaged');
    const port = frame.slice();
    port[ip ? 37 : 57] ^= 1;
    expect(readGlbpFrame(port)).toBeNull();
    expect(readGlbpFrame(frame.subarray(0, 30))).toBeNull();
  });
});

test.skipIf(!tsharkRuns && process.env.TD_REQUIRE_LAB !== '1')('tshark reads every field of every message', () => {
  const request: GlbpMessage = {
    group: 7,
    owner: OWNER,
    hello: null,
    forwarders: [{ number: 0, state: 0, priority: 0, weight: 100, mac: new Uint8Array(6) }],
  };
  const source6 = address('fe80::1');
  const to = { from: glbpMac(1020, 1), to: GLBP_MAC_IPV4 };
  const multicast: AddressWords = [0, 0, 0xffff, GLBP_ADDRESS_IPV4];
  const hello6 = { ...MESSAGE, hello: { ...MESSAGE.hello!, address: address('fe80::7:fe') } };
  const frames = [
    ...SECRETS.map((secret) => buildGlbpFrame(to, SOURCE, multicast, buildGlbp(MESSAGE, secret, SOURCE))),
    buildGlbpFrame({ from: OWNER, to: OWNER }, SOURCE, address('10.7.0.2'), buildGlbp(request, SECRETS[0], SOURCE)),
    buildGlbpFrame(
      { from: OWNER, to: GLBP_MAC_IPV6 },
      source6,
      GLBP_ADDRESS_IPV6,
      buildGlbp(hello6, SECRETS[3], source6),
    ),
  ];
  const lines = tshark(frames, [
    'eth.src',
    'eth.dst',
    'ip.ttl',
    'ip.checksum.status',
    'udp.checksum.status',
    'udp.dstport',
    'glbp.version',
    'glbp.group',
    'glbp.ownerid',
    'glbp.type',
    'glbp.length',
    'glbp.hello.vgstate',
    'glbp.hello.priority',
    'glbp.hello.helloint',
    'glbp.hello.holdint',
    'glbp.hello.redirect',
    'glbp.hello.timeout',
    'glbp.hello.addrtype',
    'glbp.hello.virtualipv4',
    'glbp.hello.virtualipv6',
    'glbp.reqresp.forwarder',
    'glbp.reqresp.vfstate',
    'glbp.reqresp.priority',
    'glbp.reqresp.weight',
    'glbp.reqresp.virtualmac',
    'glbp.auth.authtype',
    'glbp.auth.plainpass',
    'glbp.auth.md5hash',
    'glbp.auth.md5chainindex',
    'glbp.auth.md5chainhash',
    '_ws.expert',
    '_ws.malformed',
  ]);
  expect(lines).toHaveLength(6);
  for (const line of lines.slice(0, 4)) {
    expect(line).toMatchObject({
      'eth.src': '00:07:b4:03:fc:01',
      'eth.dst': '01:00:5e:00:00:66',
      'ip.ttl': '255',
      'ip.checksum.status': '1',
      'udp.checksum.status': '1',
      'udp.dstport': '3222',
      'glbp.version': '1',
      'glbp.group': '1020',
      'glbp.ownerid': '02:00:00:00:00:01',
      'glbp.hello.vgstate': '32',
      'glbp.hello.helloint': '3000',
      'glbp.hello.holdint': '10000',
      'glbp.hello.redirect': '600',
      'glbp.hello.timeout': '14400',
      'glbp.hello.addrtype': '1',
      'glbp.hello.virtualipv4': '10.7.0.254',
      'glbp.reqresp.forwarder': '1,2',
      'glbp.reqresp.vfstate': '32,4',
      'glbp.reqresp.weight': '100,90',
      'glbp.reqresp.virtualmac': '00:07:b4:03:fc:01,00:07:b4:03:fc:02',
      '_ws.expert': '',
      '_ws.malformed': '',
    });
    expect(line['glbp.hello.priority']).toBe('105');
    expect(line['glbp.reqresp.priority']).toBe('167,135');
  }
  expect(lines.map((line) => line['glbp.auth.authtype'])).toEqual(['', '1', '2', '3', '', '3']);
  expect(lines.map((line) => line['glbp.type'])).toEqual(['1,2,2', '3,1,2,2', '3,1,2,2', '3,1,2,2', '2', '3,1,2,2']);
  expect(lines[1]['glbp.auth.plainpass']).toBe('cisco');
  expect(lines[2]['glbp.auth.md5hash']).toMatch(/^[0-9a-f]{32}$/);
  expect(lines[3]['glbp.auth.md5chainindex']).toBe('7');
  expect(lines[3]['glbp.auth.md5chainhash']).toMatch(/^[0-9a-f]{32}$/);
  expect(lines[4]).toMatchObject({ 'glbp.group': '7', 'glbp.reqresp.forwarder': '0', 'glbp.reqresp.vfstate': '0' });
  expect(lines[5]).toMatchObject({
    'glbp.hello.addrtype': '2',
    'glbp.hello.virtualipv6': 'fe80::7:fe',
    'udp.checksum.status': '1',
    '_ws.expert': '',
  });
});

/** One object a frame, by field. */
function tshark(frames: readonly Uint8Array[], fields: readonly string[]): Record<string, string>[] {
  const folder = mkdtempSync(join(tmpdir(), 'glbp-'));
  try {
    const file = join(folder, 'glbp.pcap');
    writeFileSync(file, pcapOf(frames));
    const checks = ['-o', 'ip.check_checksum:TRUE', '-o', 'udp.check_checksum:TRUE'];
    const words = ['-n', '-r', file, ...checks, '-T', 'fields', '-E', 'occurrence=a'];
    const run = spawnSync('tshark', [...words, ...fields.flatMap((field) => ['-e', field])], { encoding: 'utf8' });
    return run.stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => Object.fromEntries(line.split('\t').map((value, i) => [fields[i], value])));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
