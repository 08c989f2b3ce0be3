/** Events of the engine as events of the process. */
import type { GatewayEventKind } from '../../gateway/types.js';
import type { EventType } from '../../ops/events.js';

export const EVENT_OF: Readonly<Record<GatewayEventKind, EventType>> = {
  state: 'gateway-state',
  frozen: 'gateway-state',
  master: 'gateway-master',
  'split-brain': 'gateway-master',
  'member-up': 'gateway-member',
  'member-down': 'gateway-member',
  'member-unable': 'gateway-member',
  'member-able': 'gateway-member',
  'member-resigned': 'gateway-member',
  forwarder: 'gateway-forwarder',
  permanent: 'gateway-forwarder',
  return: 'gateway-forwarder',
  moves: 'gateway-hosts',
  'table-full': 'gateway-hosts',
  'duplicate-number': 'gateway-trouble',
  'foreign-group': 'gateway-trouble',
  'one-way': 'gateway-trouble',
  'address-conflict': 'gateway-trouble',
  flood: 'gateway-trouble',
};

const BAD: ReadonlySet<GatewayEventKind> = new Set([
  'frozen',
  'split-brain',
  'member-down',
  'member-unable',
  'permanent',
  'table-full',
  'duplicate-number',
  'foreign-group',
  'one-way',
  'address-conflict',
  'flood',
] as const);

/** Does it deserve a warning in the log? */
export function isBad(kind: GatewayEventKind): boolean {
  return BAD.has(kind);
}
