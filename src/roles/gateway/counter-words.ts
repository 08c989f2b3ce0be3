/** What the counters of a gateway group are called for operators, and mean, in a few words each. */
import { IGNORED } from '../../gateway/answers/heard.js';

/** What was done. */
const DONE: Readonly<Record<string, string>> = {
  'port-received': 'frames that were looked at',
  'port-sent': 'frames that were sent',
  asked: 'questions of hosts for a shared address that came here',
  answered: 'questions that this gateway answered',
  announced: 'times that everybody was told where the shared addresses are',
  'answered-late': 'questions from before this gateway became master that it answered then',
  'answered-arp': 'ARP requests that this gateway answered (GLBP)',
  'answered-nd': 'neighbour solicitations that this gateway answered (GLBP)',
  handed: 'questions that came to this gateway alone and were handed to the master',
  'router-solicitations': 'router solicitations of hosts',
  'advertisements-periodic': 'router advertisements to all hosts',
  'advertisements-unicast': 'router advertisements to one host',
  probes: 'members that were asked directly, since an advert was missing',
  standstills: 'times that this process stood still for so long that others may have taken over',
  frozen: 'times that this process stood still for so long that others may have taken over (GLBP)',
  'conflicts-claims': 'frames in which a station claimed a shared address that is not its own',
  'address-conflicts': 'frames in which a station claimed the shared address (GLBP)',
  'conflicts-defences': 'times that hosts were told the right MAC after such a claim',
  'conflicts-told': 'hosts that were told so',
  'hosts-asked': 'times that a gateway was selected for a host, or found in the table',
  'hosts-asked-known': 'those of hosts that were known',
  'hosts-added': 'hosts that were taken into the table',
  'hosts-forgotten': 'hosts that were not seen for too long',
  'hosts-replaced': 'hosts, seen once, that made room for others',
  'hosts-answered-unstored': 'questions that were answered without the host being remembered: the table is full',
  'hosts-changes-made': 'changes of the host table that this master made',
  'hosts-changes-applied': 'changes that came from the master',
  'hosts-changes-repeated': 'changes that had come before',
  'hosts-changes-early': 'changes that came before the ones that they follow',
  'hosts-table-requests-sent': 'times that another member was asked for its table',
  'hosts-table-requests-answered': 'times that another member asked for this table',
  'hosts-table-parts-received': 'parts of a table that came',
  'hosts-offered': 'hosts that a former master told its successor',
  'hosts-merged': 'hosts that a successor took from it',
  'hosts-moves-redistribute': 'hosts that were moved since their gateway failed for good',
  'hosts-moves-vacate': 'hosts that were moved before a virtual MAC went back to its owner',
  'hosts-moves-return': 'hosts that were moved back to a gateway that returned',
  'hosts-moves-rebalance': 'hosts that were moved for the balance',
  'hosts-moves-command': 'hosts that were moved by command',
  'hosts-moves-by-reply': 'hosts that asked before they were told',
  'hosts-moves-without-target': 'moves that were given up, since there was no gateway to go to',
  'hosts-told-again': 'hosts that were told again',
  'hosts-stragglers-told': 'hosts that were told again since traffic still came for their old gateway',
  'hosts-rebalance-reversals': 'times that the balance was sought the other way than before',
  'glbp-sent': 'GLBP messages that were sent',
  'glbp-received': 'GLBP messages that were believed',
};

/** What ended here. */
const ENDED: Readonly<Record<string, string>> = {
  'port-dropped': 'frames that the kernel had no room for',
  'port-truncated': 'frames that were too long to be looked at',
  'port-refused': 'frames that could not leave the interface',
  'messages-malformed': 'messages of members that could not be read',
  'messages-version': 'messages of another version',
  'messages-other-group': 'messages of another group',
  'messages-forged': 'messages whose seal is not of this group’s key',
  'messages-flood': 'messages that were not looked at: too many were forged',
  'messages-foreign-settings': 'messages of members with other addresses or settings',
  'messages-not-for-us': 'messages to another member',
  'messages-refused': 'messages that only the master may send, from somebody else',
  'messages-replayed': 'messages with a number that had come before',
  'messages-unproven': 'messages of a member that has not shown yet that it hears us',
  'messages-overflow': 'messages that were not sent: too many in one turn',
  'messages-unreachable': 'messages to a member that is not known',
  'events-overflow': 'events that nobody took in time',
  'handed-twice': 'questions that were handed here and had been answered',
  'no-forwarder': 'questions without an answer: no gateway can forward',
  'own-source': 'frames with a virtual MAC of this gateway as their source: a loop, or forged',
  'limited-per-source': 'questions without an answer: their source asks too often',
  'limited-strangers': 'questions without an answer: too many unknown sources ask',
  'limited-forgotten': 'sources that were forgotten although they were limited',
  'pending-overflow': 'questions that were not remembered for a successor: too many',
  'pending-expired': 'questions that were remembered for a successor and became too old',
  'conflicts-unnamed': 'stations that claimed an address and were not named: too many',
  'hosts-changes-unexpected': 'changes of the host table from somebody who is not master',
  'hosts-table-parts-stale': 'parts of a table that was asked for before',
  'hosts-table-parts-unexpected': 'parts of a table that nobody asked for',
  'hosts-messages-malformed': 'messages about hosts that could not be read',
  'hosts-pending-dropped': 'early changes for which there was no room',
  'hosts-table-overflow': 'hosts of others for which there was no room',
  'hosts-repeats-dropped': 'repeated words to hosts for which there was no room',
  'not-mine': 'questions for the active gateway (GLBP)',
  unanswered: 'questions without an answer: no gateway can forward (GLBP)',
  'glbp-damaged': 'GLBP messages with a wrong length or checksum',
  'glbp-hop-limit': 'GLBP messages that a router may have forwarded',
  'glbp-malformed': 'GLBP messages that could not be read',
  'glbp-version': 'GLBP messages of another version',
  'glbp-other-group': 'GLBP messages of another group',
  'glbp-authentication': 'GLBP messages that did not prove where they come from',
  'glbp-duplicate-address': 'GLBP messages from another gateway with this one’s address',
  'glbp-other-address': 'GLBP hellos for another shared address',
  'glbp-too-many-gateways': 'GLBP messages of gateways for which there is no room',
  'glbp-requests-not-mine': 'GLBP requests that the active gateway answers',
  'glbp-forwarders-exhausted': 'GLBP requests without an answer: every virtual MAC is given',
  'glbp-unasked': 'GLBP answers that nobody asked for',
  'glbp-foreign-mac': 'GLBP forwarders with a virtual MAC that is not the group’s',
  'glbp-duplicate-owner': 'GLBP forwarders with two owners',
  ...Object.fromEntries(Object.entries(IGNORED).map(([name, words]) => [`ignored-${name}`, words])),
};

/** The engine's own name of a counter as operators see it: `messages.foreignSettings` is `messages-foreign-settings`. */
export function counterName(name: string): string {
  return name.replaceAll('.', '-').replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** `name`: as operators see it. A counter that is new here says no more than its name. */
export function counterWords(name: string): string {
  return DONE[name] ?? ENDED[name] ?? name.replaceAll('-', ' ');
}

/** Does it count what ended here, rather than what was done? */
export function isDrop(name: string): boolean {
  return Object.hasOwn(ENDED, name);
}

/** Every name that has words. */
export const KNOWN_COUNTERS: ReadonlySet<string> = new Set([...Object.keys(DONE), ...Object.keys(ENDED)]);
