/**
 * How soon a group of gateways answers: requests of many hosts for the shared address at a steady rate, and the time from
 * each request to its reply, both as the kernel stamped them at the switch.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Capture } from '#designator/demo/lab/capture.js';
import { GatewayLan, SHARED } from '#designator/demo/lab/gateway-lan.js';
import { GatewayMembers } from '#designator/demo/lab/gateway-members.js';
import { Lab } from '#designator/demo/lab/lab.js';
import { parseAddress } from '#designator/wire/address.js';
import { readPcap } from '#designator/wire/pcap.js';
import { arpRequests, pairAnswers } from './arp-source.js';
import { FarEnd } from './far-end.js';
import { quantile } from './statistics.js';

export interface GatewayArpOptions {
  readonly self: readonly [string, string];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly pid: number;
  readonly gateways?: number;
  readonly sources?: number;
  /** Requests a second. */
  readonly rate?: number;
  readonly seconds?: number;
  readonly rounds?: number;
  readonly progress?: (line: string) => void;
}

export interface GatewayArpRow {
  readonly benchmark: 'gateway-arp';
  readonly gateways: number;
  readonly sources: number;
  readonly rate: number;
  /** What the source managed of it, in the mean. */
  readonly sentRate: number;
  /** Of all rounds. */
  readonly requests: number;
  readonly answered: number;
  /** Replies beyond one a request. */
  readonly surplus: number;
  /** Of the round whose p99 is the median. */
  readonly p50Micros: number;
  readonly p99Micros: number;
  readonly maxMicros: number;
  /** Worst p99 of a round. */
  readonly worstMicros: number;
  /** Replies by gateway, in percent. */
  readonly shares: readonly number[];
  /** The bar of the project at 5,000 requests a second. */
  readonly barMicros: number | null;
}

const BAR_MICROS = 1000;
const BAR_RATE = 5000;
const WARM_SECONDS = 2;
const NANOSECONDS = ['--time-stamp-precision=nano', '-B', '16384'];

export async function gatewayArpBench(options: GatewayArpOptions): Promise<GatewayArpRow[]> {
  const { gateways = 3, sources = 250, rate = BAR_RATE, seconds = 3, rounds = 5, progress = () => {} } = options;
  const lab = await Lab.open({ pid: options.pid, env: options.env });
  try {
    const lan = await GatewayLan.open(lab, { gateways, hosts: 1 });
    await GatewayMembers.start(lan, { self: options.self });
    const namespace = await lab.namespace('askers');
    await lab.plug(lan.lan, namespace, 'eth0');
    await namespace.ip('link set eth0 arp off');
    const end = await FarEnd.start({ lab, namespace, device: 'eth0', label: 'askers', cpu: 0, xdp: false });
    await end.load(arpRequests(sources, parseAddress(SHARED)?.[3] ?? 0));
    await end.send({ seconds: Math.min(WARM_SECONDS, seconds), rate });
    const results: ReturnType<typeof pairAnswers>[] = [];
    for (let round = 0; round < rounds; round++) {
      const file = join(lab.folder, `arp-${round}.pcap`);
      const capture = await Capture.start(lan.lan.namespace, lan.lan.name, file, 'arp', NANOSECONDS);
      await end.send({ seconds, rate });
      await capture.stop();
      results.push(pairAnswers(readPcap(readFileSync(file))));
      const { micros, requests, answered } = results[round];
      progress(`${answered} of ${requests} requests answered, p99 ${Math.round(quantile(micros, 0.99))} µs`);
    }
    await end.close();
    return [rowOf(results, gateways, sources, rate, seconds)];
  } finally {
    await lab.close();
  }
}

function rowOf(
  results: readonly ReturnType<typeof pairAnswers>[],
  gateways: number,
  sources: number,
  rate: number,
  seconds: number,
): GatewayArpRow {
  const sum = (of: 'requests' | 'answered' | 'surplus'): number => results.reduce((all, one) => all + one[of], 0);
  const tail = (one: { readonly micros: readonly number[] }): number => quantile(one.micros, 0.99);
  const ordered = [...results].sort((a, b) => tail(a) - tail(b));
  const middle = ordered[Math.floor((ordered.length - 1) / 2)];
  const given = new Map<number, number>();
  for (const one of results) for (const [mac, count] of one.given) given.set(mac, (given.get(mac) ?? 0) + count);
  const answered = sum('answered');
  return {
    benchmark: 'gateway-arp',
    gateways,
    sources,
    rate,
    sentRate: Math.round(sum('requests') / (results.length * seconds)),
    requests: sum('requests'),
    answered,
    surplus: sum('surplus'),
    p50Micros: Math.round(quantile(middle.micros, 0.5)),
    p99Micros: Math.round(tail(middle)),
    maxMicros: Math.round(quantile(middle.micros, 1)),
    worstMicros: Math.round(tail(ordered[ordered.length - 1])),
    shares: [...given.entries()]
      .sort(([a], [b]) => a - b)
      .map(([, n]) => Math.round((n / Math.max(1, answered)) * 1000) / 10),
    barMicros: rate <= BAR_RATE ? BAR_MICROS : null,
  };
}
