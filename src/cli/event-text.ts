/** An event in one line for people. */
import type { ApplianceEvent } from '../ops/events.js';
import { briefDuration } from './table.js';

const TYPE_WIDTH = 20;
const GRADES: Readonly<Record<string, number>> = {
  'tunnel-established': 32,
  'request-refused': 33,
  'client-follows': 33,
  'load-status-rejected': 33,
  'take-over-refused': 33,
  'take-over': 36,
  'tunnel-closed': 90,
  'session-closed': 90,
  'server-state': 36,
  'gateway-state': 36,
  'gateway-master': 36,
  'gateway-forwarder': 33,
  'gateway-trouble': 31,
  'shard-crashed': 31,
  lost: 31,
};

/** Local time, type, and what it is about. */
export function eventText(event: ApplianceEvent, color: boolean): string {
  const { type, time } = event;
  const code = GRADES[type];
  const name = type.padEnd(TYPE_WIDTH);
  const words = clean(sentence(event));
  return `${clock(time)}  ${color && code !== undefined ? `\u001b[${code}m${name}\u001b[39m` : name}  ${words}`;
}

function sentence(event: ApplianceEvent): string {
  switch (event.type) {
    case 'tunnel-request':
    case 'tunnel-established':
      return tunnelWords(event);
    case 'tunnel-closed':
      return `${tunnelWords(event)}: by ${event.reason}${resultWords(event)} after ${briefDuration(Number(event.durationSeconds))}, ${event.packetsIn} packets in, ${event.packetsOut} out`;
    case 'session-requested':
    case 'session-established':
      return `${tunnelWords(event)} session ${ids(event.clientSessionId, event.serverSessionId)}`;
    case 'session-closed':
      return `${tunnelWords(event)} session ${ids(event.clientSessionId, event.serverSessionId)}${resultWords(event)}`;
    case 'request-refused': {
      const more = Number(event.suppressed) > 0 ? ` (${event.suppressed} more since the last that was told)` : '';
      const rule = typeof event.rule === 'string' ? ` by rule "${event.rule}"` : '';
      return `${event.client} → ${event.vip ?? '?'}: ${event.reason}${rule}${more}`;
    }
    case 'server-state': {
      const why = event.reason === null ? 'configuration' : event.reason;
      return `${event.server ?? '?'}: ${event.from} → ${event.to}, ${why}${event.detail === undefined ? '' : `: ${event.detail}`}`;
    }
    case 'client-follows':
      return `${event.client} → ${event.vip ?? '?'}: ${event.follow ?? 'unknown'}: ${event.detail ?? ''}`;
    case 'gateway-state':
    case 'gateway-master':
    case 'gateway-member':
    case 'gateway-forwarder':
    case 'gateway-hosts':
    case 'gateway-trouble':
      return `${event.group ?? '?'}: ${event.detail}`;
    case 'gateway-tracking':
    case 'gateway-host': {
      const name = event.tracked ?? event.what ?? '?';
      return `${event.group ?? '?'}: ${name}: ${event.good === true ? 'well again' : event.detail}`;
    }
    case 'lost':
      return `${event.count} events are missing here (${event.where})`;
    default:
      return fieldWords(event);
  }
}

function tunnelWords(event: ApplianceEvent): string {
  return `${event.client} tunnel ${ids(event.clientTunnelId, event.serverTunnelId)} → ${event.server ?? '?'} (${event.vip ?? '?'})`;
}

function ids(client: unknown, server: unknown): string {
  return `${client ?? '-'}/${server ?? '-'}`;
}

function resultWords(event: ApplianceEvent): string {
  return typeof event.resultCode === 'number' ? `, result ${event.resultCode}` : '';
}

/** Any event, as it is. */
function fieldWords(event: ApplianceEvent): string {
  return Object.entries(event)
    .filter(([name, value]) => !['seq', 'time', 'type'].includes(name) && value !== null && value !== '')
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
}

function clock(time: string): string {
  const at = new Date(time);
  const part = (value: number, width = 2): string => String(value).padStart(width, '0');
  return `${part(at.getHours())}:${part(at.getMinutes())}:${part(at.getSeconds())}.${part(at.getMilliseconds(), 3)}`;
}

/** What the network or a file says never moves the cursor. */
function clean(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
}
