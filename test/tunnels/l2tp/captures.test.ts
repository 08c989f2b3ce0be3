import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { newControlEvent } from '../../../src/tunnels/descriptor.js';
import { l2tp } from '../../../src/tunnels/l2tp/descriptor.js';
import { messageLength, sessionId, tunnelId } from '../../../src/tunnels/l2tp/header.js';
import { buildMessage, missingAvps, readMessage } from '../../../src/tunnels/l2tp/message.js';
import { capturedDatagrams, exactly, L2TP_CAPTURES } from './datagrams.js';
import { dialogueOf } from './dialogue.js';
import { DIALOGUES } from './dialogues.js';

const TSHARK_FIELDS = [
  'frame.number',
  'l2tp.type',
  'l2tp.tunnel',
  'l2tp.session',
  'l2tp.Ns',
  'l2tp.Nr',
  'l2tp.avp.message_type',
  'l2tp.avp.assigned_tunnel_id',
  'l2tp.avp.assigned_session_id',
  'l2tp.avp.type',
];

/** What tshark reads, one row of fields an L2TP frame; null when tshark is not here. */
function dissect(capture: string): string[][] | null {
  const file = fileURLToPath(new URL(`../../fixtures/pcaps/${capture}`, import.meta.url));
  const options = [
    '-r',
    file,
    '-Y',
    'l2tp && !(icmp.type == 3)',
    '-d',
    'udp.port==50001,l2tp',
    '-T',
    'fields',
    '-E',
    'occurrence=a',
  ];
  const run = spawnSync('tshark', [...options, ...TSHARK_FIELDS.flatMap((field) => ['-e', field])], {
    encoding: 'utf8',
  });
  if (run.error !== undefined || run.status !== 0) return null;
  return run.stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split('\t'));
}

const tsharkRuns = spawnSync('tshark', ['-v']).status === 0;

describe.each(L2TP_CAPTURES)('%s', (capture) => {
  test('the dialogue reads as it was', () => {
    expect(dialogueOf(capturedDatagrams(capture))).toEqual(DIALOGUES[capture]);
  });

  test.skipIf(!tsharkRuns)('tshark reads the same ids, numbers and AVPs (needs the Debian package tshark)', () => {
    const rows = dissect(capture);
    const event = newControlEvent();
    const mine = capturedDatagrams(capture).map(({ frame, udp }) => {
      const view = exactly(udp);
      const message = readMessage(view, 8, view.byteLength);
      const data = typeof message === 'number';
      const ids = data ? [tunnelId(view, 8), sessionId(view, 8)] : [message.tunnel, message.session];
      if (!data) l2tp.read(view, 0, view.byteLength, event);
      const numbers = data ? ['', ''] : [message.ns, message.nr];
      const type = data || message.type < 0 ? '' : message.type;
      const assigned = data ? ['', ''] : [event.assigned || '', event.assignedSession || ''];
      const avps = data ? '' : message.avps.map((avp) => avp.type).join(',');
      return [frame, data ? 0 : 1, ...ids, ...numbers, type, ...assigned, avps].map(String);
    });
    expect(mine).toEqual(rows);
  });

  test('every packet looks like L2TP even where its port is not known', () => {
    for (const { udp } of capturedDatagrams(capture)) expect(l2tp.looksLike?.(exactly(udp), 0, udp.length)).toBe(true);
  });

  test('a message read and built again is the same bytes', () => {
    let built = 0;
    for (const { udp } of capturedDatagrams(capture)) {
      const view = exactly(udp);
      const message = readMessage(view, 8, view.byteLength);
      if (typeof message === 'number') continue;
      const { avps, type, ...rest } = message;
      const again = buildMessage(
        type < 0 ? rest : { ...rest, type, mandatory: avps[0].mandatory, avps: avps.slice(1) },
      );
      expect(again).toEqual(udp.slice(8, 8 + messageLength(view, 8, view.byteLength)));
      built++;
    }
    expect(built).toBeGreaterThan(9);
  });

  test('the assigned id is found where it can be replaced', () => {
    const event = newControlEvent();
    let replaced = 0;
    for (const { udp } of capturedDatagrams(capture)) {
      const view = exactly(udp);
      if (l2tp.read(view, 0, view.byteLength, event) < 0 || event.assigned === 0) continue;
      view.setUint16(l2tp.assignedOffset(view, 0, view.byteLength), 4711);
      l2tp.read(view, 0, view.byteLength, event);
      expect(event.assigned).toBe(4711);
      replaced++;
    }
    expect(replaced).toBeGreaterThanOrEqual(3);
  });
});

test('xl2tpd sends all that the RFC demands; l2tpns leaves nothing mandatory out of its SCCRP either', () => {
  for (const capture of L2TP_CAPTURES) {
    for (const { udp } of capturedDatagrams(capture)) {
      const message = readMessage(exactly(udp), 8, udp.length);
      if (typeof message !== 'number') expect(missingAvps(message)).toEqual([]);
    }
  }
});

test('some ZLBs of xl2tpd carry a session id in the header: still nothing but an acknowledgement', () => {
  expect(DIALOGUES['l2tp-xl2tpd-kernel.pcap']).toContain('< ZLB 35891/30222 2:4');
});
