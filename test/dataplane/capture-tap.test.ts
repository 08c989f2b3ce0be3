import { describe, expect, it } from 'vitest';
import { NOT_SENT, packNote, unpackNote } from '../../src/dataplane/capture-note.js';
import type { CaptureFilter } from '../../src/dataplane/plan.js';
import { RING_FRAME_LENGTH, RING_META } from '../../src/flow/ring.js';
import { PORT_INSIDE } from '../../src/io/port.js';
import { describe as describeNote } from '../../src/roles/designator/capture-pump.js';
import { parseAddress } from '../../src/wire/address.js';
import { l2tpData, sccrp, sccrq, scccn, udpFrame } from '../helpers/packet-builder.js';
import { CLIENT, Harness, type HarnessOptions, SERVER_2, VIP } from '../helpers/shard-harness.js';

const words = (text: string) => parseAddress(text) as unknown as [number, number, number, number];

function scene(captures: CaptureFilter[], options: HarnessOptions = {}) {
  const h = new Harness(options);
  h.tell({ type: 'capture', captures });
  const frame = new Uint8Array(RING_FRAME_LENGTH);
  const meta = new Int32Array(4);
  return {
    h,
    up: (payload: Uint8Array, client = CLIENT, port = 1701) =>
      h.send(udpFrame(`${client}:${port}`, `${VIP}:1701`, payload)),
    down: (payload: Uint8Array) => h.send(udpFrame(`${SERVER_2}:1701`, `${CLIENT}:1701`, payload), PORT_INSIDE),
    /** What was captured since: destination address, interface and comment. */
    seen() {
      const seen: string[] = [];
      while (h.captureRings[0].pop(frame, 0, meta)) {
        const { port, outbound, comment } = describeNote(meta[RING_META.note], 0, h.binding);
        const ip = meta[RING_META.length] >= 34 ? [...frame.subarray(30, 34)].join('.') : 'short';
        expect(outbound).toBe(comment.startsWith('side=after'));
        seen.push(`${meta[RING_META.ingress]} ${ip} ${port === PORT_INSIDE ? 'inside' : 'outside'} ${comment}`);
      }
      return seen;
    },
  };
}

describe('notes', () => {
  it.each([
    [true, true, -1, 1023, 255],
    [false, false, 0, 0, 0],
    [false, true, NOT_SENT, -1, -1],
    [true, false, 80, -1, 3],
  ])('%s %s %s %s %s survives the word', (rewritten, inside, dropped, server, vip) => {
    expect(unpackNote(packNote(rewritten, inside, dropped, server, vip))).toEqual({
      rewritten,
      inside,
      dropped,
      server,
      vip,
    });
  });
});

describe('a capture', () => {
  it('shows both sides with the decision', () => {
    const s = scene([{ slot: 3 }]);
    s.up(sccrq({ assigned: 7 }));
    s.down(sccrp({ tunnel: 7, assigned: 99 }));
    expect(s.seen()).toEqual([
      '8 200.200.100.1 outside side=before verdict=forward vip=access server=lns2 shard=0',
      `8 ${SERVER_2} inside side=after verdict=forward vip=access server=lns2 shard=0`,
      `8 ${CLIENT} inside side=before verdict=forward vip=access server=lns2 shard=0`,
      `8 ${CLIENT} outside side=after verdict=forward vip=access server=lns2 shard=0`,
    ]);
  });

  it('shows what is dropped, and why', () => {
    const s = scene([{ slot: 0 }], { halfOpen: 1 });
    s.up(sccrq({ assigned: 1 }));
    s.seen();
    s.up(sccrq({ assigned: 2 }));
    s.up(l2tpData({ tunnel: 4000, session: 1, payload: 'ff03' }));
    const malformed = sccrq({ assigned: 3 });
    malformed[2] = 0xff; // the length field
    s.up(malformed);
    expect(s.seen()).toEqual([
      '1 200.200.100.1 outside side=before verdict=drop reason=half-open-limit shard=0 (tunnel request while firewall.tunnelRequestRate.halfOpen tunnels are half open)',
      '1 200.200.100.1 outside side=before verdict=drop reason=unknown-tunnel shard=0 (tunnel traffic of no tunnel in the table)',
      expect.stringMatching(/^1 200\.200\.100\.1 outside side=before verdict=drop reason=l2tp-[a-z-]+ shard=0 \(.+\)$/),
    ]);
  });

  it('of one client shows only its own drops', () => {
    const client = { client: words(CLIENT), clientPort: 1701 };
    const s = scene(
      [
        { slot: 0, ...client },
        { slot: 1, ...client, clientTunnelId: 2 },
      ],
      { halfOpen: 1 },
    );
    s.up(sccrq({ assigned: 1 }));
    s.seen();
    s.up(sccrq({ assigned: 2 }), '192.0.2.9');
    s.up(sccrq({ assigned: 2 }), CLIENT, 1702);
    expect(s.seen()).toEqual([]);
    s.up(sccrq({ assigned: 2 }));
    s.up(sccrq({ assigned: 3 }));
    s.down(l2tpData({ tunnel: 2, session: 1, payload: 'ff03' }));
    expect(s.seen().map((line) => `${line[0]} ${/reason=([a-z-]+)/.exec(line)?.[1]}`)).toEqual([
      '3 half-open-limit',
      '1 half-open-limit',
      '3 unknown-server',
    ]);
  });

  it('a key that an earlier frame left behind is nobody’s', () => {
    const s = scene([{ slot: 0, clientTunnelId: 7 }]);
    s.up(sccrq({ assigned: 7 }));
    s.seen();
    // Too short for a key of its own, in the same column as the request before.
    s.up(Uint8Array.of(0xc8, 2), '192.0.2.9');
    expect(s.seen()).toEqual([]);
  });

  it('stays out of the way when it is off, and off again', () => {
    const s = scene([]);
    s.up(sccrq({ assigned: 7 }));
    s.down(sccrp({ tunnel: 7, assigned: 99 }));
    s.up(scccn({ tunnel: 99 }));
    expect(s.seen()).toEqual([]);
  });
});
