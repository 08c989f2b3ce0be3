/** Every kind of packet that the PPP engine emits, as tshark, which nobody here wrote, reads it. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { AUTH_METHODS } from '../../../src/protocol/ppp/options.js';
import { LINK_TYPE_PPP, pcapOf } from '../../helpers/pcap-of.js';
import { clientOptions, options, Pair } from './pair.js';

const tsharkRuns = spawnSync('tshark', ['-v']).status === 0;
/** Wireshark's number for the severity `error`. */
const PI_ERROR = 0x800000;
const V4V6 = { ipv4: true, ipv6: true };
const LCP_ECHO = { every: 5, failures: 3 };

/** Dialogues in which all that can be said is said: agreement and refusal by each method, naks, rejects, echoes, ends. */
function talk(): Uint8Array[] {
  const frames: Uint8Array[] = [];
  for (const method of AUTH_METHODS) {
    for (const password of ['s3cret', 'wrong']) {
      const lcp = { mru: 1400, accm: 0, offerPfc: true, offerAcfc: true };
      const server = options({ authenticate: ['chap-md5', method], protocols: V4V6, lcp, echo: LCP_ECHO });
      const credentials = { name: 'alice', password, methods: [method] };
      const picky = { mru: 100, acceptPfc: false, offerAcfc: true };
      const client = clientOptions({ credentials, protocols: V4V6, lcp: picky });
      const pair = new Pair({ server, client, path: { seed: 1 } }).start().run(20);
      if (pair.client.phase === 'network') {
        // CCP and a code that nobody knows, both refused; header compression, rejected.
        pair.server.receive(Uint8Array.of(0x80, 0xfd, 1, 1, 0, 9, 18, 5, 1, 2, 3), 20);
        pair.server.receive(Uint8Array.of(0xc0, 0x21, 99, 1, 0, 4), 20);
        pair.server.receive(Uint8Array.of(0x80, 0x21, 1, 99, 0, 10, 2, 6, 0, 0x2d, 15, 1), 20);
        pair.run(21);
        pair.client.terminate(21);
        pair.run(60);
      }
      frames.push(...pair.wire.map(({ frame }) => frame));
    }
  }
  return frames;
}

function dissect(frames: readonly Uint8Array[]): string[][] {
  const folder = mkdtempSync(join(tmpdir(), 'ppp-engine-'));
  try {
    const file = join(folder, 'frames.pcap');
    writeFileSync(file, pcapOf(frames, LINK_TYPE_PPP));
    const fields = ['frame.protocols', '_ws.expert.severity', '_ws.malformed', '_ws.col.Info'];
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

const KINDS = [
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((code) => `c021 ${code}`),
  ...[1, 2, 3].map((code) => `c023 ${code}`),
  ...[1, 2, 3, 4].map((code) => `c223 ${code}`),
  ...[1, 2, 3, 4].map((code) => `8021 ${code}`),
  ...[1, 2].map((code) => `8057 ${code}`),
];

describe('every packet', () => {
  const frames = talk();

  test('is among those that are read', () => {
    const said = frames.map((frame) => `${((frame[2] << 8) | frame[3]).toString(16)} ${frame[4]}`);
    expect([...new Set(said)].sort()).toEqual([...KINDS].sort());
  });

  test.skipIf(!tsharkRuns && process.env.TD_REQUIRE_LAB !== '1')(
    'is read by tshark without an error (needs the Debian package tshark)',
    () => {
      const rows = dissect(frames);
      expect(rows.length).toBe(frames.length);
      const errors = rows.filter(
        ([protocols, severities, malformed]) =>
          !/^ppp:(lcp|pap|chap|ipcp|ipv6cp)/.test(protocols) ||
          severities.split(',').some((severity) => Number(severity) >= PI_ERROR) ||
          malformed !== '',
      );
      expect(errors).toEqual([]);
    },
  );
});
