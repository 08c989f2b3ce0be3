/** A capture as a dialogue: one line a control message, data messages as counts. What the golden lists are made of. */
import {
  CLASS_CONTROL,
  CLASS_CONTROL_UNBOUND,
  CLASS_DATA,
  EVENT_NONE,
  newControlEvent,
} from '../../../src/tunnels/descriptor.js';
import { l2tp } from '../../../src/tunnels/l2tp/descriptor.js';
import type { CapturedDatagram } from './datagrams.js';
import { exactly } from './datagrams.js';

const KINDS = [
  '',
  'request',
  'reply',
  'connected',
  'close',
  'session-request',
  'session-reply',
  'session-connected',
  'session-close',
];

/**
 * `> SCCRQ 0/0 0:0 request 1931`: direction, message, tunnel/session of the header, Ns:Nr, event, assigned tunnel,
 * `s` and assigned session, `r` and result. The client is 10.9.0.1 in every capture; `<50001` tells an odd server port.
 */
export function dialogueOf(datagrams: readonly CapturedDatagram[]): string[] {
  const event = newControlEvent();
  const channel = new Int32Array(2);
  const lines: string[] = [];
  let data = 0;
  const flush = () => {
    if (data > 0) lines.push(`${data} data`);
    data = 0;
  };
  for (const { source, sourcePort, udp } of datagrams) {
    const view = exactly(udp);
    const kind = l2tp.classify(view, 0, view.byteLength, channel);
    if (kind === CLASS_DATA) {
      data++;
      continue;
    }
    flush();
    if (kind !== CLASS_CONTROL && kind !== CLASS_CONTROL_UNBOUND) {
      lines.push(`classified ${kind}`);
      continue;
    }
    const answer = l2tp.read(view, 0, view.byteLength, event);
    const from = source === '10.9.0.1' ? '>' : sourcePort === 1701 ? '<' : `<${sourcePort}`;
    const parts = [from, event.message, `${event.channel}/${event.session}`, `${event.ns}:${event.nr}`];
    if (answer !== EVENT_NONE) parts.push(answer < 0 ? `malformed ${answer}` : KINDS[answer]);
    if (event.assigned !== 0) parts.push(String(event.assigned));
    if (event.assignedSession !== 0) parts.push(`s${event.assignedSession}`);
    if (event.result !== -1) parts.push(`r${event.result}`);
    lines.push(parts.join(' '));
  }
  flush();
  return lines;
}
