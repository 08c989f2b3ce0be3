/** LAC and LNS over a clean link: the dialogues of RFC 2661 §5 and §7, message by message. */
import { describe, expect, test } from 'vitest';
import { STOP_RESULT } from '../../../src/protocol/l2tp/codes.js';
import type { L2tpTunnel } from '../../../src/protocol/l2tp/tunnel.js';
import { LNS, Pair } from './pair.js';

const dialled = (pair: Pair): L2tpTunnel => {
  const tunnel = pair.lac.endpoint.open(LNS, {}, pair.now);
  if (tunnel === null) throw new Error('no tunnel');
  return tunnel;
};
const only = (pair: Pair): L2tpTunnel => [...pair.lns.endpoint.tunnels.values()][0];

describe('a tunnel', () => {
  test('is set up: SCCRQ, SCCRP, SCCCN, ZLB; a Hello after 60 seconds of silence', () => {
    const pair = new Pair();
    const tunnel = dialled(pair);
    pair.run(30);
    expect(pair.names).toEqual(['SCCRQ', 'SCCRP', 'SCCCN', 'ZLB']);
    expect([tunnel.state, only(pair).state]).toEqual(['established', 'established']);
    expect([tunnel.peerId, only(pair).peerId]).toEqual([only(pair).localId, tunnel.localId]);
    expect([tunnel.hostName, only(pair).hostName]).toEqual(['lns', 'lac']);
    pair.run(61);
    expect(pair.names.slice(4)).toContain('Hello');
    expect(pair.types(pair.lac)).toEqual(['tunnel-up']);
    expect(pair.types(pair.lns)).toEqual(['tunnel-request', 'tunnel-up']);
  });

  test('an incoming call: ICRQ, ICRP, ICCN; a CDN ends it; a StopCCN the tunnel', () => {
    const pair = new Pair();
    const tunnel = dialled(pair);
    const session = tunnel.call('incoming', { called: '100', calling: '200' });
    pair.run(1);
    expect(pair.names.filter((name) => name !== 'ZLB')).toEqual(['SCCRQ', 'SCCRP', 'SCCCN', 'ICRQ', 'ICRP', 'ICCN']);
    const far = only(pair).sessions.get(session?.peerId ?? 0);
    expect(far).toMatchObject({ state: 'established', kind: 'incoming', ours: false, peerId: session?.localId });
    expect(far?.attributes).toMatchObject({ called: '100', calling: '200', txSpeed: 64_000, framing: 1, serial: 1 });
    session?.hangUp(3, 0, 'bye');
    pair.run(2);
    expect(pair.lns.events.at(-1)).toMatchObject({ type: 'session-down', by: 'peer', result: 3, message: 'bye' });
    expect(only(pair).sessions.size).toBe(0);
    tunnel.stop(STOP_RESULT.shutdown, 0, 'away');
    pair.run(3);
    expect(pair.lns.events.at(-1)).toMatchObject({ type: 'tunnel-down', by: 'peer', result: 6, message: 'away' });
    expect(pair.lac.events.at(-1)).toMatchObject({ type: 'tunnel-down', by: 'us', result: 6 });
    expect([pair.lac.endpoint.tunnels.size, pair.lns.endpoint.tunnels.size]).toEqual([0, 0]);
    pair.run(100);
    expect([pair.lac.endpoint.nextTime, pair.lns.endpoint.nextTime]).toEqual([
      Number.POSITIVE_INFINITY,
      Number.POSITIVE_INFINITY,
    ]);
  });

  test('an outgoing call: OCRQ, OCRP, OCCN', () => {
    const pair = new Pair();
    dialled(pair);
    pair.run(1);
    const session = only(pair).call('outgoing', { called: '300', minimumBps: 9600 });
    pair.run(2);
    expect(pair.names.filter((name) => name.startsWith('OC'))).toEqual(['OCRQ', 'OCRP', 'OCCN']);
    expect(session).toMatchObject({ state: 'established', isLac: false });
    expect(session?.attributes).toMatchObject({ called: '300', minimumBps: 9600, txSpeed: 64_000 });
  });
});
