/**
 * Cost of L2TP's control messages, both ends in one thread: a LAC and an LNS endpoint, 64 tunnels, calls that are set up
 * (ICRQ, ICRP, ICCN), established and ended (CDN), with the acknowledgements that go with them. What is counted is a
 * message that one end has written and the other has read and acted upon; the bar is the 32,000 messages of 1,000 session
 * set-ups a second, both ends, in half a core.
 */
import { randomFillSync } from 'node:crypto';
import type { Datagram, Peer } from '#designator/protocol/l2tp/peer.js';
import { L2tpEndpoint } from '#designator/protocol/l2tp/endpoint.js';
import type { L2tpTunnel } from '#designator/protocol/l2tp/tunnel.js';
import { type Options, type Row, row } from './row.js';

const TUNNELS = 64;
const BAR_NS = 15_000;
const LAC: Peer = { address: '192.0.2.1', port: 1701, socket: 0 };
const LNS: Peer = { address: '192.0.2.2', port: 1701, socket: 0 };

interface Link {
  now: number;
  messages: number;
  readonly lac: L2tpEndpoint;
  readonly lns: L2tpEndpoint;
}

export async function run(options: Options = {}): Promise<Row[]> {
  const calls = options.smoke ? 200 : 20_000;
  const rounds = options.smoke ? 1 : 7;
  const perMessage: number[] = [];
  const perCall: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const link = newLink();
    const tunnels = Array.from({ length: TUNNELS }, () => link.lac.open(LNS, { window: 64 }, link.now) as L2tpTunnel);
    settle(link);
    link.messages = 0;
    const began = process.cpuUsage();
    for (let n = 0; n < calls; n++) {
      tunnels[n % TUNNELS].call('incoming', { called: '100', calling: `+49${n}` });
      // Turns of a batch of packets each, as the workers hand them over.
      if (n % 256 === 255) settle(link);
    }
    settle(link);
    // CPU time, that of the garbage collector's threads with it: it is the same whoever else uses the machine.
    const { user, system } = process.cpuUsage(began);
    const setUp = (user + system) * 1000;
    const standing = [...link.lns.tunnels.values()].reduce((sum, { sessions }) => sum + sessions.size, 0);
    if (standing !== calls) throw new Error(`${standing} of ${calls} calls stand`);
    perCall.push(setUp / calls);
    perMessage.push(setUp / link.messages);
  }
  const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1];
  return [
    row('l2tp control', 'a message, written, read and acted upon', calls, median(perMessage), 'ns', BAR_NS),
    row('l2tp control', 'a call set up, both ends', calls, median(perCall), 'ns'),
  ];
}

function newLink(): Link {
  const pool = new Uint8Array(4096);
  let at = pool.length;
  const random = (length: number): Uint8Array => {
    if (at + length > pool.length) {
      randomFillSync(pool);
      at = 0;
    }
    at += length;
    return pool.subarray(at - length, at);
  };
  const end = (hostName: string): L2tpEndpoint =>
    new L2tpEndpoint({ hostName, random, profile: () => ({ window: 64 }) });
  return { now: 0, messages: 0, lac: end('lac'), lns: end('lns') };
}

function act(endpoint: L2tpEndpoint): void {
  for (let events = endpoint.events(); events.length > 0; events = endpoint.events()) {
    for (const event of events) {
      if (event.type === 'tunnel-request') event.tunnel.accept();
      else if (event.type === 'call') event.session.accept();
      else if (event.type === 'call-answered') event.session.connect({ txSpeed: 100_000_000, framing: 1 });
    }
  }
}

/** Until both have nothing more to say. */
function settle(link: Link): void {
  const { lac, lns } = link;
  for (;;) {
    act(lac);
    act(lns);
    const out: [L2tpEndpoint, Peer, Datagram[]][] = [
      [lns, LAC, lac.output(link.now)],
      [lac, LNS, lns.output(link.now)],
    ];
    let count = 0;
    for (const [to, from, datagrams] of out) {
      count += datagrams.length;
      for (const { bytes } of datagrams) to.receive(bytes, from, link.now);
    }
    link.messages += count;
    if (count > 0) continue;
    // Acknowledgements that wait for company.
    const next = Math.min(lac.nextTime, lns.nextTime);
    if (next > link.now + 1) return;
    link.now = Math.max(link.now, next);
  }
}
