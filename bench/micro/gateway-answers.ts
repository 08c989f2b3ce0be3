/**
 * Cost of a question to a gateway group: first without its choice and its table (the frame read and judged, its source held
 * against its limit, the reply built), then by the whole engine of a master, in turns of 16 questions. At 5,000 questions
 * a second the bars are one and five hundredths of a core.
 */
import { Answers } from '#designator/gateway/answers/answers.js';
import { SourceLimits } from '#designator/gateway/answers/limits.js';
import { GatewayGroup } from '#designator/gateway/group.js';
import { GROUP_DEFAULTS } from '#designator/gateway/types.js';
import type { AddressWords } from '#designator/wire/address.js';
import { ARP_REQUEST, emitArp } from '#designator/wire/arp.js';
import { emitEthernet, TYPE_ARP } from '#designator/wire/ethernet.js';
import { checksum, pseudoHeaderIpv6 } from '#designator/wire/checksum.js';
import { type Options, type Row, row } from './row.js';

const BAR_NS = 2_000;
const GROUP_BAR_NS = 10_000;
const TURN = 16;
const HOSTS = 256;
const SHARED: readonly AddressWords[] = [
  [0, 0, 0xffff, 0x0a0700fe],
  [0xfe800000, 0, 0, 0x000700fe],
];

export function run(options: Options = {}): Row[] {
  const answers = new Answers({ scheme: 'local', group: 7, addresses: SHARED });
  const limits = new SourceLimits({ rate: 1e9, burst: 1e9 });
  let now = 0;
  const rounds = options.smoke ? 1 : 7;
  const count = options.smoke ? 1000 : 200_000;
  const measure = (frames: readonly Uint8Array[]): number => {
    const times: number[] = [];
    for (let round = 0; round < rounds; round++) {
      let answered = 0;
      const began = process.cpuUsage();
      for (let n = 0; n < count; n++) {
        const heard = answers.classify(frames[n % HOSTS]);
        if (heard.kind !== 'ask' || !limits.admit(heard.host, true, (now += 1 / 5000))) continue;
        answered += answers.reply(heard, 1 + (n & 7)).length > 0 ? 1 : 0;
      }
      const { user, system } = process.cpuUsage(began);
      if (answered !== count) throw new Error(`${answered} of ${count} questions answered`);
      times.push(((user + system) * 1000) / count);
    }
    return times.sort((a, b) => a - b)[times.length >> 1];
  };
  const tells = (): number => {
    const addresses: readonly AddressWords[] = [[0, 0, 0xffff, 0x0a07000b], SHARED[1]];
    const began = process.cpuUsage();
    for (let n = 0; n < count; n++) answers.tell(0x020000000000 + n, addresses, 1 + (n & 7));
    const { user, system } = process.cpuUsage(began);
    return ((user + system) * 1000) / count;
  };
  const each = (make: (host: number) => Uint8Array): Uint8Array[] =>
    Array.from({ length: HOSTS }, (_, host) => make(host));
  return [
    row('gateway answers', 'an ARP request read, limited and replied to', HOSTS, measure(each(request)), 'ns', BAR_NS),
    row('gateway answers', 'a Neighbour Solicitation likewise', HOSTS, measure(each(solicitation)), 'ns', BAR_NS),
    row('gateway answers', 'an ARP request, by the whole group', HOSTS, whole(options), 'ns', GROUP_BAR_NS),
    row('gateway answers', 'frames that tell a host of both families its new gateway', HOSTS, tells(), 'ns'),
  ];
}

/** Nanoseconds a question of a group with one member, hosts known, at 5,000 questions a second. */
function whole(options: Options): number {
  const perSource = { rate: 1e6, burst: 1e6 };
  let seed = 1;
  const random = (length: number): Uint8Array => Uint8Array.from({ length }, () => (seed = (seed * 75 + 74) % 65537));
  const identity = { name: 'lan', group: 7, number: 1, mac: Uint8Array.of(2, 0, 0, 0, 0, 1), ownAddress: null };
  const key = new Uint8Array(32);
  const group = new GatewayGroup({ ...GROUP_DEFAULTS, ...identity, addresses: SHARED, key, perSource, random });
  let now = 0;
  for (; now < 5; now += 0.01) {
    group.tick(now);
    group.output();
  }
  const frames = Array.from({ length: HOSTS }, (_, host) => request(host));
  const turns = Math.ceil((options.smoke ? 1000 : 100_000) / TURN);
  const times: number[] = [];
  for (let round = 0; round < (options.smoke ? 1 : 7); round++) {
    let replies = 0;
    const began = process.cpuUsage();
    for (let turn = 0; turn < turns; turn++) {
      now += TURN / 5000;
      for (let n = 0; n < TURN; n++) group.receive(frames[(turn * TURN + n) % HOSTS], now);
      if (now >= group.nextTime) group.tick(now);
      for (const frame of group.output().frames) if (frame[12] === 8) replies++;
    }
    const { user, system } = process.cpuUsage(began);
    if (replies !== turns * TURN) throw new Error(`${replies} of ${turns * TURN} questions answered`);
    times.push(((user + system) * 1000) / (turns * TURN));
  }
  return times.sort((a, b) => a - b)[times.length >> 1];
}

function request(host: number): Uint8Array {
  const frame = new Uint8Array(60);
  const view = new DataView(frame.buffer);
  const mac = Uint8Array.of(2, 0, 0, 0, 1, host);
  frame.fill(0xff, 0, 6);
  emitArp(view, emitEthernet(view, 0, mac, TYPE_ARP), ARP_REQUEST, mac, 0x0a070100 + host, 0x0a0700fe);
  return frame;
}

function solicitation(host: number): Uint8Array {
  const frame = new Uint8Array(86);
  const view = new DataView(frame.buffer);
  frame.set([0x33, 0x33, 0xff, 7, 0, 0xfe, 2, 0, 0, 0, 1, host, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255]);
  frame.set([0xfe, 0x80], 22);
  frame.set([1, host], 36);
  frame.set([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 7, 0, 0xfe, 135], 38);
  frame.set([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0xfe, 1, 1, 2, 0, 0, 0, 1, host], 62);
  view.setUint16(56, checksum(view, 54, 86, pseudoHeaderIpv6(view, 14, 58, 32)));
  return frame;
}
