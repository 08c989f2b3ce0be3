import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  PCAPNG_BLOCK,
  pcapngInterface,
  pcapngPacket,
  pcapngSection,
  pcapngStatistics,
  readPcapngBlock,
} from '../../src/wire/pcapng.js';
import { sccrq, udpFrame } from '../helpers/packet-builder.js';

const FRAME = udpFrame('192.128.10.5:1701', '200.200.100.1:1701', sccrq({ assigned: 7 }));

function tshark(file: Uint8Array, ...fields: string[]): string[][] {
  const folder = mkdtempSync(join(tmpdir(), 'td-pcapng-'));
  try {
    writeFileSync(join(folder, 'x.pcapng'), file);
    const words = ['-r', join(folder, 'x.pcapng'), '-T', 'fields', ...fields.flatMap((field) => ['-e', field])];
    const text = execFileSync('tshark', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return text
      .replace(/\n$/, '')
      .split('\n')
      .map((line) => line.split('\t'));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const tsharkRuns = spawnSync('tshark', ['-v']).status === 0;

describe('pcapng', () => {
  it.skipIf(!tsharkRuns)(
    'tshark reads interfaces, directions, times, lengths and comments (needs the Debian package tshark)',
    () => {
      const file = Buffer.concat([
        pcapngSection('test'),
        pcapngInterface('wan0', 'outside', 262_144),
        pcapngInterface('lan0', 'inside', 262_144),
        pcapngPacket(0, 1_700_000_000.123456, FRAME, 'side=before verdict=forward server=lns1', false),
        pcapngPacket(1, 1_700_000_000.9999996, FRAME.subarray(0, 61), 'zwölf €', true, 80),
        pcapngPacket(1, 1_700_000_002, FRAME, '', true),
        pcapngStatistics(0, 1_700_000_003, 5, '5 are missing'),
      ]);
      const fields = ['frame.interface_name', 'frame.time_epoch', 'frame.cap_len', 'frame.len', 'frame.comment'];
      expect(tshark(file, ...fields)).toEqual([
        [
          'wan0',
          '1700000000.123456000',
          String(FRAME.length),
          String(FRAME.length),
          'side=before verdict=forward server=lns1',
        ],
        ['lan0', '1700000001.000000000', '61', '80', 'zwölf €'],
        ['lan0', '1700000002.000000000', String(FRAME.length), String(FRAME.length), ''],
      ]);
      expect(tshark(file, 'frame.packet_flags_direction').map(([direction]) => Number(direction))).toEqual([1, 2, 2]);
      expect(tshark(file, 'l2tp.avp.assigned_tunnel_id')[0]).toEqual(['7']);
    },
  );

  it('every block says its length twice, and lengths are multiples of four', () => {
    const blocks = [
      pcapngSection('tunnel-designator'),
      pcapngInterface('a', '', 65_535),
      pcapngStatistics(0, 1, 2 ** 40 + 3, 'x'),
      ...[0, 1, 2, 3, 60, 1514].map((length) =>
        pcapngPacket(0, 1, new Uint8Array(length), 'c'.repeat(length % 7), false),
      ),
    ];
    for (const bytes of blocks) {
      const view = new DataView(bytes.buffer);
      const { length } = readPcapngBlock(view, 0);
      expect(length).toBe(bytes.length);
      expect(view.getUint32(length - 4, true)).toBe(length);
    }
    expect(readPcapngBlock(new DataView(blocks[3].buffer), 0).type).toBe(PCAPNG_BLOCK.packet);
  });

  it('a length that no block can have is 0', () => {
    const view = new DataView(new ArrayBuffer(8));
    for (const length of [0, 8, 11, 13, 4094]) {
      view.setUint32(4, length, true);
      expect(readPcapngBlock(view, 0).length).toBe(0);
    }
  });

  it('cuts a comment that is too long', () => {
    expect(pcapngPacket(0, 1, FRAME, 'x'.repeat(100_000), false).length).toBeLessThan(FRAME.length + 1100);
  });
});
