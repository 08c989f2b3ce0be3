/** Every frame that the group says its addresses with, as tshark, which nobody here wrote, reads it. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Answers } from '../../../src/gateway/answers/answers.js';
import type { Ask } from '../../../src/gateway/answers/heard.js';
import { RouterAdvertiser } from '../../../src/gateway/answers/router-advertiser.js';
import { type AddressWords, parseAddress } from '../../../src/wire/address.js';
import { arp, neighbour } from '../../helpers/neighbour-frames.js';
import { pcapOf } from '../../helpers/pcap-of.js';

const tsharkRuns = spawnSync('tshark', ['-v']).status === 0;
/** Wireshark's number for the severity `warning`; that a request is gratuitous is at most a note. */
const PI_WARN = 0x600000;
const HOST = 0x020000000011;
const words = (text: string): AddressWords => parseAddress(text) as AddressWords;

const FIELDS = [
  '_ws.malformed',
  '_ws.expert.severity',
  'eth.dst',
  'eth.src',
  'arp.opcode',
  'arp.src.hw_mac',
  'arp.src.proto_ipv4',
  'arp.dst.hw_mac',
  'arp.dst.proto_ipv4',
  'arp.isgratuitous',
  'icmpv6.type',
  'icmpv6.checksum.status',
  'icmpv6.nd.na.flag.r',
  'icmpv6.nd.na.flag.s',
  'icmpv6.nd.na.flag.o',
  'icmpv6.nd.na.target_address',
  'icmpv6.opt.target_linkaddr',
  'icmpv6.opt.src_linkaddr',
  'icmpv6.nd.ra.router_lifetime',
  'icmpv6.opt.prefix',
  'icmpv6.opt.prefix.length',
  'icmpv6.opt.rdnss',
  'icmpv6.opt.mtu',
] as const;

function dissect(frames: readonly Uint8Array[]): Record<string, string>[] {
  const folder = mkdtempSync(join(tmpdir(), 'gateway-answers-'));
  try {
    const file = join(folder, 'frames.pcap');
    writeFileSync(file, pcapOf(frames));
    const options = ['-n', '-o', 'arp.detect_duplicate_ips:FALSE', '-r', file, '-T', 'fields', '-E', 'occurrence=a'];
    const run = spawnSync('tshark', [...options, ...FIELDS.flatMap((field) => ['-e', field])], { encoding: 'utf8' });
    return run.stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => {
        const values = line.split('\t');
        return Object.fromEntries(FIELDS.map((field, i) => [field, values[i]]).filter(([, value]) => value !== ''));
      });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const answers = new Answers({ scheme: 'local', group: 7, addresses: [words('10.7.0.254'), words('fe80::7:fe')] });
const asked = (frame: Uint8Array): Ask => {
  const heard = answers.classify(frame);
  const ask = heard.kind === 'claim' ? heard.ask : heard;
  if (ask?.kind !== 'ask') throw new Error(`not asked: ${heard.kind}`);
  return ask;
};

test.skipIf(!tsharkRuns && process.env.TD_REQUIRE_LAB !== '1')(
  'replies, tells and advertisements are read by tshark as they are meant (needs the Debian package tshark)',
  () => {
    const router = new RouterAdvertiser({
      scheme: 'local',
      group: 7,
      source: words('fe80::7:fe'),
      advertise: {
        interval: 60,
        lifetime: 1800,
        managed: true,
        other: true,
        mtu: 1480,
        prefixes: [
          {
            prefix: words('2001:db8:7::'),
            length: 64,
            onLink: true,
            autonomous: true,
            validLifetime: 0xffffffff,
            preferredLifetime: 3600,
          },
        ],
        resolvers: [words('2001:db8::53'), words('2001:db8::54')],
      },
      random: (count) => new Uint8Array(count),
    });
    router.start(5, 0);
    const frames = [
      answers.reply(asked(arp({ from: HOST, sender: '10.7.0.11', target: '10.7.0.254' })), 5),
      answers.reply(asked(arp({ from: HOST, sender: '0.0.0.0', target: '10.7.0.254' })), 5),
      answers.reply(asked(neighbour({ type: 135, from: HOST, source: 'fe80::11', target: 'fe80::7:fe' })), 5),
      answers.reply(asked(neighbour({ type: 135, from: HOST, source: '::', target: 'fe80::7:fe' })), 5),
      ...answers.tell(HOST, [words('10.7.0.11'), words('fe80::11')], 5),
      ...router.tick(0),
    ];
    const rows = dissect(frames);
    const host = '02:00:00:00:00:11';
    const vmac = '02:54:44:00:07:05';
    const fromVmac = { 'eth.dst': host, 'eth.src': vmac };
    const replied = {
      ...fromVmac,
      'arp.opcode': '2',
      'arp.src.hw_mac': vmac,
      'arp.src.proto_ipv4': '10.7.0.254',
      'arp.dst.hw_mac': host,
    };
    const advertised = {
      ...fromVmac,
      'icmpv6.type': '136',
      'icmpv6.checksum.status': '1',
      'icmpv6.nd.na.flag.r': '1',
      'icmpv6.nd.na.flag.o': '1',
      'icmpv6.nd.na.target_address': 'fe80::7:fe',
      'icmpv6.opt.target_linkaddr': vmac,
    };
    const plain = rows.map(({ '_ws.expert.severity': severity, ...row }) => {
      for (const each of (severity ?? '').split(',')) expect(Number(each)).toBeLessThan(PI_WARN);
      return Object.fromEntries(
        Object.entries(row).map(([name, value]) => [name, value.replace('True', '1').replace('False', '0')]),
      );
    });
    expect(plain).toMatchObject([
      { ...replied, 'arp.dst.proto_ipv4': '10.7.0.11' },
      { ...replied, 'arp.dst.proto_ipv4': '0.0.0.0' },
      { ...advertised, 'icmpv6.nd.na.flag.s': '1' },
      { ...advertised, 'icmpv6.nd.na.flag.s': '0' },
      {
        ...fromVmac,
        'arp.opcode': '1',
        'arp.src.proto_ipv4': '10.7.0.254',
        'arp.dst.proto_ipv4': '10.7.0.254',
        'arp.isgratuitous': '1',
      },
      { ...replied, 'arp.dst.proto_ipv4': '10.7.0.11' },
      { ...advertised, 'icmpv6.nd.na.flag.s': '0' },
      {
        'eth.dst': '33:33:00:00:00:01',
        'eth.src': vmac,
        'icmpv6.type': '134',
        'icmpv6.checksum.status': '1',
        'icmpv6.nd.ra.router_lifetime': '1800',
        'icmpv6.opt.prefix': '2001:db8:7::',
        'icmpv6.opt.prefix.length': '64',
        'icmpv6.opt.rdnss': '2001:db8::53,2001:db8::54',
        'icmpv6.opt.mtu': '1480',
      },
    ]);
    expect(rows.map((row) => row['_ws.malformed'])).toEqual(rows.map(() => undefined));
    expect(rows.map((row) => row['icmpv6.opt.src_linkaddr'])).toEqual(rows.map(() => undefined));
  },
);
