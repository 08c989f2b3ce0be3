/** Full NAT and local delivery in the XDP program: the same as the shards do, frame by frame. */
import { afterEach, describe, expect, test } from 'vitest';
import { NEXT_HOP, NEXT_HOP_STATE, NEXT_HOP_WORDS, RECORD } from '../../src/flow/layout.js';
import { PORT_HOST, PORT_INSIDE, PORT_OUTSIDE } from '../../src/io/port.js';
import { DEFAULT_CONFIG } from '../helpers/golden-cases.js';
import { INSIDE_MAC } from '../helpers/memory-appliance.js';
import { l2tpData, scccn, sccrp, sccrq, udpFrame, viewOf } from '../helpers/packet-builder.js';
import { XDP_DROP, XDP_PASS, xdpProblem } from '../helpers/xdp-rig.js';
import { XdpTwin } from '../helpers/xdp-twin.js';

const reason = xdpProblem();
const need = reason === null ? '' : ` (${reason})`;
const START = 1000;
const CLIENT = '192.128.10.5:1701';
const VIP = '200.200.100.1:1701';
const S1 = '10.10.1.1:1701';
const S2 = '10.10.1.2:1701';
const PPP = 'ff03c0210101000405dc';
const twins: XdpTwin[] = [];

function twin(yaml: string): XdpTwin {
  const made = new XdpTwin(yaml);
  twins.push(made);
  return made;
}
afterEach(() => {
  for (const made of twins.splice(0)) made.close();
});
const dataIn = (): Uint8Array => udpFrame(CLIENT, VIP, l2tpData({ tunnel: 99, session: 1, payload: PPP }));

describe.skipIf(reason !== null)(`a tunnel on full NAT${need}`, () => {
  const LOCAL = '10.10.1.254';
  const DIRECT = `vips:
  - { name: access, address: 200.200.100.1, reply: direct, localAddress: ${LOCAL}, servers: [{ name: lns1, address: 10.10.1.1 }] }
table: { connections: 64 }
`;
  /** The client repeats its request until it goes out from the local address. */
  function onFullNat(): { made: XdpTwin; port: number } {
    const made = twin(DIRECT);
    let port = 0;
    for (let n = 1; n < 8 && port === 0; n++) {
      const [{ frame: out }] = made.both(udpFrame(CLIENT, VIP, sccrq({ assigned: 7 }))).outcome.sent;
      if ([...out.subarray(26, 30)].join('.') === LOCAL) port = viewOf(out).getUint16(34);
      made.appliance.at(START + n);
    }
    made.both(udpFrame(S1, `${LOCAL}:${port}`, sccrp({ tunnel: 7, assigned: 99 })));
    made.both(udpFrame(CLIENT, VIP, scccn({ tunnel: 99 })));
    return { made, port };
  }

  test('goes both ways, byte for byte as the shards send it', () => {
    const { made, port } = onFullNat();
    expect(port).toBeGreaterThan(0);
    const answer = udpFrame(S1, `${LOCAL}:${port}`, l2tpData({ tunnel: 7, session: 1, payload: PPP }));
    expect(made.both(dataIn()).run.counted).toMatchObject({ inToInside: 1 });
    expect(made.both(answer).run.counted).toMatchObject({ outToOutside: 1 });
    for (let length = 14; length < answer.length; length++) made.both(answer.slice(0, length), PORT_INSIDE);
  });

  test('without the entry that has the other address it is a shard’s', () => {
    const { made, port } = onFullNat();
    const { records } = made.rig.memory;
    const [alias, forward] = [records[RECORD.entryAlias], records[RECORD.entryForward]];
    records[RECORD.entryAlias] = 0;
    records[RECORD.entryForward] = alias; // its own, and of no client
    records[RECORD.entryHalfOpen] = 0;
    expect(made.program(dataIn()).counted).toEqual({ noSocket: 1 });
    records[RECORD.entryForward] = 0;
    const answer = udpFrame(S1, `${LOCAL}:${port}`, l2tpData({ tunnel: 7, session: 1, payload: PPP }));
    expect(made.program(answer).counted).toEqual({ noSocket: 1 });
    records[RECORD.entryAlias] = alias;
    records[RECORD.entryForward] = forward;
    expect(made.program(dataIn()).counted).toMatchObject({ inToInside: 1 });
  });

  test('nothing for the local address is the host’s, and what its servers send elsewhere is', () => {
    const { made } = onFullNat();
    expect(made.program(udpFrame('10.10.1.9:53', `${LOCAL}:53`, 'aa'), PORT_INSIDE).action).toBe(XDP_DROP);
    expect(made.program(udpFrame(S1, CLIENT, l2tpData({ tunnel: 7, session: 1, payload: PPP }))).action).toBe(XDP_PASS);
    expect(made.program(udpFrame(S1, CLIENT, sccrp({ tunnel: 7, assigned: 99 }))).action).toBe(XDP_PASS);
  });
});

describe.skipIf(reason !== null)(`a server with the host’s own address${need}`, () => {
  test.each([0, 100])('gets its packets through the device that they came by (VLAN %i)', (vlan) => {
    const made = twin(`${DEFAULT_CONFIG}table: { connections: 64 }\n`);
    for (const message of [
      udpFrame(CLIENT, VIP, sccrq({ assigned: 7 })),
      udpFrame(S2, CLIENT, sccrp({ tunnel: 7, assigned: 99 })),
      udpFrame(CLIENT, VIP, scccn({ tunnel: 99 })),
    ])
      made.both(message);
    const { nextHops } = made.rig.memory;
    const { servers } = made.rig.memory;
    made.rig.sides({ outsideVlan: vlan });
    // Every next hop inside becomes the host.
    for (let at = 0; at < nextHops.length; at += NEXT_HOP_WORDS) {
      const low = nextHops[at + NEXT_HOP.macLow];
      if ((low & 0xff) === NEXT_HOP_STATE.resolved && ((low >>> 8) & 0xff) === PORT_INSIDE) {
        nextHops[at + NEXT_HOP.macHigh] = 0;
        nextHops[at + NEXT_HOP.macLow] = (PORT_HOST << 8) | NEXT_HOP_STATE.resolved;
      }
    }
    expect(servers.length).toBeGreaterThan(0);
    const plain = dataIn();
    const tagged = new Uint8Array([...plain.subarray(0, 12), 0x81, 0, 0, vlan, ...plain.subarray(12)]);
    const run = made.program(vlan === 0 ? plain : tagged, PORT_OUTSIDE);
    expect(run.action).toBe(XDP_PASS);
    expect(run.counted).toEqual({ toHost: 1, bytesIn: plain.length - 14 });
    expect([...run.data.subarray(6, 12)]).toEqual([...INSIDE_MAC]);
    expect([...run.data.subarray(12, 14)]).toEqual([8, 0]);
    expect([...run.data.subarray(26, 34)]).toEqual([192, 128, 10, 5, 10, 10, 1, 2]);
  });
});
