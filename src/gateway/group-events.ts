/** What happens in a group, as events: a kind to select by, and one sentence for people. */
import type { ElectionStep } from './election.js';
import type { ForwarderChange } from './forwarders.js';
import type { HostEvent } from './hosts/types.js';
import type { MemberChange } from './members.js';
import type { GatewayEventKind } from './types.js';

export interface Described {
  readonly kind: GatewayEventKind;
  readonly number: number;
  readonly text: string;
}

/** `self` is our own number. */
export function describeStep(step: ElectionStep, self: number): Described {
  switch (step.kind) {
    case 'took':
      return {
        kind: 'master',
        number: self,
        text:
          step.after === 0 ? 'this gateway is master' : `this gateway is master, as the heir of gateway ${step.after}`,
      };
    case 'yielded':
      if (step.why === 'duplicate')
        return {
          kind: 'duplicate-number',
          number: self,
          text: `another gateway has number ${self}: this one keeps out`,
        };
      return {
        kind: step.why === 'unheard' ? 'one-way' : 'split-brain',
        number: step.to,
        text:
          step.why === 'unheard'
            ? `gateway ${step.to} is master too and does not hear this one, which yields`
            : `gateway ${step.to} is master too and comes first: this one yields`,
      };
    case 'handed-over':
      return { kind: 'state', number: step.to, text: `this gateway hands the office over to gateway ${step.to}` };
    case 'follows':
      return { kind: 'state', number: step.master, text: `gateway ${step.master} is master` };
    case 'lost':
      return { kind: 'state', number: step.master, text: `gateway ${step.master} is master no more` };
    case 'ready':
      return { kind: 'state', number: self, text: 'this gateway has listened long enough, and may be elected' };
    case 'rival':
      return {
        kind: 'split-brain',
        number: step.number,
        text: `gateway ${step.number} is master too, and is to yield`,
      };
    case 'listens':
      return step.why === 'duplicate'
        ? { kind: 'duplicate-number', number: self, text: `another gateway has number ${self}: this one keeps out` }
        : { kind: 'one-way', number: self, text: 'gateways are heard that do not hear this one: it keeps out' };
  }
}

export function describeForwarder(change: ForwarderChange): Described {
  const { number } = change;
  switch (change.kind) {
    case 'served':
      return {
        kind: 'forwarder',
        number,
        text:
          change.server === number
            ? `gateway ${number} serves its own virtual MAC`
            : `gateway ${change.server} serves the virtual MAC of gateway ${number}`,
      };
    case 'permanent':
      return {
        kind: 'permanent',
        number,
        text: `gateway ${number} has failed for good: its ${change.hosts} hosts go to others`,
      };
    case 'draining':
      return { kind: 'forwarder', number, text: `the virtual MAC of gateway ${number} is given out no more` };
    case 'vacating':
      return {
        kind: 'return',
        number,
        text: `gateway ${number} is back: its ${change.hosts} hosts move to gateway ${change.to} first`,
      };
    case 'damped':
      return {
        kind: 'return',
        number,
        text: `gateway ${number} comes and goes: it gets its virtual MAC back in ${change.seconds} s`,
      };
    case 'forgotten':
      return { kind: 'forwarder', number, text: `the virtual MAC of gateway ${number} is served no more` };
  }
}

export function describeMember({ kind, peer }: MemberChange): Described {
  const { number } = peer;
  if (kind === 'up') return { kind: 'member-up', number, text: `gateway ${number} is there` };
  const why = { silent: 'is silent', stopped: 'has left', unreachable: 'is heard by others only' }[peer.absence];
  return { kind: 'member-down', number, text: `gateway ${number} ${why}` };
}

export function describeHosts(event: HostEvent): Described | null {
  switch (event.kind) {
    case 'moving':
      return {
        kind: 'moves',
        number: event.forwarder,
        text: `${event.hosts} hosts of forwarder ${event.forwarder} are being moved (${event.reason})`,
      };
    case 'moved':
      return {
        kind: 'moves',
        number: event.forwarder,
        text: `${event.hosts} hosts of forwarder ${event.forwarder} have been moved (${event.reason})`,
      };
    case 'table-full':
      return { kind: 'table-full', number: 0, text: `the host table is full: ${event.limit} hosts` };
    default:
      return null;
  }
}
