/** Every kind of message that the engine emits, as tshark, which nobody here wrote, reads it. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Peer } from '../../../src/protocol/l2tp/peer.js';
import type { TunnelProfile } from '../../../src/protocol/l2tp/profile.js';
import type { L2tpSession } from '../../../src/protocol/l2tp/session.js';
import type { L2tpTunnel } from '../../../src/protocol/l2tp/tunnel.js';
import { udpFrame } from '../../helpers/packet-builder.js';
import { pcapOf } from '../../helpers/pcap-of.js';
import { LNS, lossyLink, Pair, readAll } from './pair.js';

const tsharkRuns = spawnSync('tshark', ['-v']).status === 0;
const VENDOR = 32473;
/** Wireshark's number for the severity `error`. */
const PI_ERROR = 0x800000;
const NAMES = [
  'SCCRQ',
  'SCCRP',
  'SCCCN',
  'StopCCN',
  'Hello',
  'OCRQ',
  'OCRP',
  'OCCN',
  'ICRQ',
  'ICRP',
  'ICCN',
  'CDN',
  'WEN',
  'SLI',
  'FSQ',
  'FSR',
  'ZLB',
  'vendor',
];

interface Sent {
  readonly from: Peer;
  readonly to: Peer;
  readonly bytes: Uint8Array;
}

/** A dialogue in which everything is said that can be said. */
function talk(profile: TunnelProfile, seed: number): readonly Sent[] {
  const avps = [
    { vendor: VENDOR, type: 1, value: Uint8Array.of(1, 2) },
    { type: 76, value: { flags: 3, recoveryMs: 5000 } },
  ];
  const full = { ...profile, avps, helloInterval: 20, reliable: { tries: 30, longestWait: 2 } };
  const pair = new Pair(full, { vendors: [VENDOR], vendorName: 'tunnel-designator', firmware: 1 }, seed);
  pair.link = lossyLink(seed, 10);
  const { act } = pair.lac;
  pair.lac.act = (event) => {
    if (event.type !== 'call-answered') return act(event);
    event.session.connect({
      txSpeed: 1e8,
      rxSpeed: 1e7,
      sequencingRequired: true,
      privateGroup: new TextEncoder().encode('group'),
      initialLcp: Uint8Array.of(1, 4, 5, 0xdc),
      lastSentLcp: Uint8Array.of(3, 5, 0xc2, 0x23, 5, 5, 6, 1, 2, 3, 4),
      lastReceivedLcp: Uint8Array.of(1, 4, 5, 0xdc, 7, 2),
      authType: 2,
      authName: 'alice@isp.example',
      authChallenge: new Uint8Array(16).fill(5),
      authId: 3,
      authResponse: new Uint8Array(16).fill(6),
    });
  };
  const tunnel = pair.lac.endpoint.open(LNS, full, 0) as L2tpTunnel;
  const call = (n: number): L2tpSession =>
    tunnel.call('incoming', {
      called: '100',
      calling: '200',
      subAddress: String(n),
      bearer: 1,
      physicalChannel: n,
    }) as L2tpSession;
  const calls = [1, 2, 3].map(call);
  pair.run(20);
  const [far] = pair.lns.endpoint.tunnels.values();
  far.call('outgoing', { called: '300', subAddress: '4', minimumBps: 1, maximumBps: 2, bearer: 2, callFraming: 3 });
  pair.run(30);
  const other = far.sessions.get(calls[0].peerId);
  other?.sendSli(0xffffffff, 0);
  calls[0].sendWen({ crc: 1, framing: 2, hardwareOverruns: 3, bufferOverruns: 4, timeouts: 5, alignment: 6 });
  tunnel.sendFsq(calls);
  tunnel.sendVendor({
    vendor: VENDOR,
    type: 5,
    avps: [{ vendor: VENDOR, type: 9, value: new Uint8Array(30) }],
    session: calls[0],
  });
  calls[1].hangUp(2, 6, 'no reason', {
    q931: { cause: 16, message: 0x45, advisory: 'bye' },
    ppp: { code: 4, protocol: 0xc021, direction: 1, message: 'echo' },
  });
  calls[2].hangUp(1);
  call(4).hangUp(3);
  pair.run(90);
  far.stop(6, 0, 'maintenance');
  pair.run(150);
  const refusing = new Pair(profile, { profile: () => null }, seed);
  refusing.lac.endpoint.open(LNS, { reliable: { tries: 2 } }, 0);
  refusing.run(10);
  return [...pair.sent, ...refusing.sent];
}

function captureOf(messages: readonly Sent[]): Uint8Array {
  return pcapOf(
    messages.map(({ from, to, bytes }) => udpFrame(`${from.address}:${from.port}`, `${to.address}:${to.port}`, bytes)),
  );
}

function dissect(messages: readonly Sent[]): string[][] {
  const folder = mkdtempSync(join(tmpdir(), 'l2tp-engine-'));
  try {
    const file = join(folder, 'messages.pcap');
    writeFileSync(file, captureOf(messages));
    const fields = [
      'frame.protocols',
      '_ws.expert.severity',
      '_ws.expert.message',
      '_ws.malformed',
      'l2tp.avp.type',
      'l2tp.Ns',
    ];
    const words = ['-n', '-r', file, '-T', 'fields', '-E', 'occurrence=a', ...fields.flatMap((field) => ['-e', field])];
    const run = spawnSync('tshark', words, { encoding: 'utf8', maxBuffer: 1 << 26 });
    return run.stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => line.split('\t'));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe('every message', () => {
  const profiles: TunnelProfile[] = [
    {},
    { secret: 's' },
    { secret: 's', hide: 'private' },
    { secret: 's', hide: 'all' },
  ];
  const messages = profiles.flatMap((profile, n) => talk(profile, n + 1));

  test('is among those that are read', () => {
    expect([...new Set(messages.map(({ bytes }) => readAll(bytes).name))].sort()).toEqual([...NAMES].sort());
  });

  test.skipIf(!tsharkRuns && process.env.TD_REQUIRE_LAB !== '1')(
    'is read by tshark as it was meant, without an error (needs the Debian package tshark)',
    () => {
      const rows = dissect(messages);
      expect(rows.length).toBe(messages.length);
      const errors = rows.filter(([protocols, severities, remarks, malformed]) => {
        const bad = severities.split(',').some((severity) => Number(severity) >= PI_ERROR);
        // The one remark: AVPs of RFC 4951 and of our vendor, which it knows nothing of.
        const other = remarks.split(',').some((remark) => remark !== '' && remark !== 'Vendor-Specific AVP data');
        return !protocols.includes(':l2tp') || bad || other || malformed !== '';
      });
      expect(errors).toEqual([]);
      // Of a hidden AVP it does not tell the type.
      const types = messages.map(({ bytes }) =>
        readAll(bytes)
          .avps.filter(({ hidden }) => !hidden)
          .map(({ type }) => type)
          .join(','),
      );
      expect(rows.map((row) => row[4])).toEqual(types);
    },
  );
});
