/**
 * The host's filter as text for nft(8): one table of family netdev with ingress hooks on both devices. Pure and
 * deterministic. What each rule is for: docs/decisions/0004. nft 1.0.6 wants a line break after every statement, knows
 * no `destroy` and no `icmpv6 taddr`, hence the raw payload expressions.
 */
import { isRequestRule, type RuleInput, type RulePrefix, type RuleService } from '../flow/rule-list.js';
import { formatIpv4, formatIpv6, isIpv4, parseAddress } from '../wire/address.js';

/** An address in canonical text and a UDP port. */
export interface FilterPlace {
  readonly address: string;
  readonly port: number;
}

export interface FilterInterface {
  readonly name: string;
  readonly device: string;
  /** 0 = untagged. */
  readonly vlan: number;
}

export interface HostFilterInput {
  readonly outside: FilterInterface;
  readonly inside: FilterInterface;
  readonly vips: readonly FilterPlace[];
  readonly servers: readonly FilterPlace[];
  /** Addresses that are the designator's alone: nothing for them is the host's. */
  readonly locals?: readonly string[];
  /** Ports of servers that tunnels use besides the configured ones. */
  readonly floating: readonly FilterPlace[];
  /** The firewall, in the form that the shards hold packets against. */
  readonly rules: readonly RuleInput[];
  readonly denyByDefault: boolean;
}

type Family = 4 | 6;
const FAMILIES: readonly Family[] = [4, 6];
const TAB = '\t';

/**
 * Before flowtables and before anybody else's ingress chains (priority 0 and up): nobody may forward what is ours. Taps
 * see a frame before any of them.
 */
const PRIORITY = -500;
const UDP = 17;
/** With more of them the comparisons would cost more than the set. */
const QUICK_PLACES = 4;
/** An L2TPv2 control header right behind the UDP header: T, L, S set, O, P clear, version 2 (RFC 2661 §3.1). */
const L2TP_CONTROL = '@th,64,16 & 0xcb0f == 0xc802';
/** The first AVP is the IETF's Message Type (RFC 2661 §4.4.1): vendor and type, 14 bytes into the message, are 0. */
const L2TP_MESSAGE_TYPE = '@th,176,32 0x0';
/** A ZLB is a control header and nothing else: 12 bytes behind the UDP header's 8. */
const L2TP_ZLB_UDP_LENGTH = 20;
/** Router and neighbour discovery, redirect (RFC 4861 §4). */
const NEIGHBOUR_DISCOVERY = 'icmpv6 type 133-137';
/** Errors about a packet: RFC 792, RFC 4443 §3. */
const ERRORS = { 4: 'icmp type { 3, 11, 12 }', 6: 'icmpv6 type 1-4' } as const;
/** Datagrams of servers whose first fragment has been seen: remembered so long, and so many. */
const FRAGMENT_TIMEOUT = '2s';
const FRAGMENT_LIMIT = 65536;

/** Throws RangeError for a name that could not be an interface's. */
export function tableName(outside: FilterInterface): string {
  return `designator_${outside.name.replace(/[^A-Za-z0-9_]/g, '_')}`;
}

/** Replaces the table, whatever was in it, in one transaction. */
export function renderHostFilter(input: HostFilterInput): string {
  const name = tableName(input.outside);
  const oneArm = input.outside.name === input.inside.name;
  const outsideJumps = ['to_vips', 'questions', 'from_servers', ...(oneArm ? ['errors'] : []), 'firewall'];
  const insideJumps = ['to_vips', 'from_servers', 'errors'];
  const chains = [
    ...chain(
      'to_vips',
      FAMILIES.flatMap((family) => toVips(input, family)),
    ),
    ...chain(
      'questions',
      FAMILIES.flatMap((family) => questions(input, family)),
    ),
    ...chain(
      'from_servers',
      FAMILIES.flatMap((family) => fromServers(input, family)),
    ),
    ...chain(
      'errors',
      FAMILIES.flatMap((family) => errors(input, family)),
    ),
    ...chain('firewall', firewall(input, oneArm)),
    ...hook(
      'outside',
      input.outside,
      [...quick(input.vips, 'd'), ...(oneArm ? quick(input.servers, 's') : [])],
      outsideJumps,
    ),
    ...(oneArm ? [] : hook('inside', input.inside, quick(input.servers, 's'), insideJumps)),
  ];
  return [...renderRemoval(name), `table netdev ${name} {`, ...sets(input), ...chains, '}', ''].join('\n');
}

/** Lines that leave no table, whether there was one or not. */
export function renderRemoval(name: string): string[] {
  return [`add table netdev ${name}`, `delete table netdev ${name}`];
}

/** Adds or deletes elements of the floating sets. `ports` are those of `places` that no (other) place has. */
export function renderPlaces(
  action: 'add' | 'delete',
  name: string,
  places: readonly FilterPlace[],
  ports: readonly number[],
): string {
  const lines: string[] = [];
  for (const family of FAMILIES) {
    const elements = pairs(places, family);
    if (elements.length > 0) lines.push(`${action} element netdev ${name} floating${family} ${set(elements)}`);
  }
  if (ports.length > 0) lines.push(`${action} element netdev ${name} floating_ports ${set(ports)}`);
  return [...lines, ''].join('\n');
}

// ── the frame ─────────────────────────────────────────────────────────────────────────────────────────────────────

function sets(input: HostFilterInput): string[] {
  const one = (name: string, type: string, elements: readonly (string | number)[]): string[] => [
    `${TAB}set ${name} {`,
    `${TAB}${TAB}type ${type}`,
    ...(elements.length > 0 ? [`${TAB}${TAB}elements = ${set(elements)}`] : []),
    `${TAB}}`,
  ];
  return [
    ...one('floating4', 'ipv4_addr . inet_service', pairs(input.floating, 4)),
    ...one('floating6', 'ipv6_addr . inet_service', pairs(input.floating, 6)),
    ...one(
      'floating_ports',
      'inet_service',
      input.floating.map(({ port }) => port),
    ),
    ...datagrams('fragments4', 'ip saddr . ip daddr . ip id'),
    ...datagrams('fragments6', 'ip6 saddr . ip6 daddr . frag id'),
  ];
}

/** A set that the rules themselves fill. */
function datagrams(name: string, type: string): string[] {
  const lines = [`typeof ${type}`, `size ${FRAGMENT_LIMIT}`, 'flags dynamic,timeout', `timeout ${FRAGMENT_TIMEOUT}`];
  return [`${TAB}set ${name} {`, ...lines.map((line) => `${TAB}${TAB}${line}`), `${TAB}}`];
}

function chain(name: string, rules: readonly string[]): string[] {
  return [`${TAB}chain ${name} {`, ...rules.map((rule) => `${TAB}${TAB}${rule}`), `${TAB}}`];
}

/** A base chain. The tag is compared in the frame, where the kernel shows it whether the device had stripped it or not. */
function hook(name: string, at: FilterInterface, first: readonly string[], jumps: readonly string[]): string[] {
  if (!/^[^\s"/]{1,15}$/.test(at.device)) throw new RangeError(`no name of an interface: ${JSON.stringify(at.device)}`);
  // Tag 0 carries a priority only: such a frame is untagged to its receiver (IEEE 802.1Q §6.9).
  const scopes = at.vlan === 0 ? ['ether type != { 8021q, 8021ad }', 'vlan id 0'] : [`vlan id ${at.vlan}`];
  return chain(name, [
    `type filter hook ingress device "${at.device}" priority ${PRIORITY}; policy accept;`,
    ...(at.vlan === 0 ? first : []),
    ...scopes.flatMap((scope) => jumps.map((jump) => `${scope} jump ${jump}`)),
  ]);
}

/**
 * What nearly every frame is: data to a VIP, data from a server. Said once more in front of everything else, because plain
 * comparisons take half the time of jumps and sets. The Ethernet type says that the frame has no tag.
 */
function quick(places: readonly FilterPlace[], end: 's' | 'd'): string[] {
  return places.slice(0, QUICK_PLACES).map(({ address, port }) => {
    const family = familyOf(address);
    const l3 = header(family);
    // A first fragment of a server leaves something behind for those that follow it.
    const whole = end === 'd' ? '' : family === 4 ? ' ip frag-off & 0x2000 == 0' : ' exthdr frag missing';
    return `ether type ${l3} ${l3} ${end}addr ${address} udp ${end}port ${port}${whole} drop`;
  });
}

// ── what is ours ──────────────────────────────────────────────────────────────────────────────────────────────────

function toVips(input: HostFilterInput, family: Family): string[] {
  const vips = input.vips.filter(({ address }) => familyOf(address) === family);
  const locals = (input.locals ?? []).filter((address) => familyOf(address) === family);
  const l3 = header(family);
  const own = locals.length === 0 ? [] : [`${l3} daddr ${set(locals)} drop`];
  if (vips.length === 0) return own;
  const to = `${l3} daddr ${set(vips.map(({ address }) => address))}`;
  return [
    ...own,
    `${l3} daddr . udp dport ${set(pairs(vips, family))} drop`,
    `${to} meta l4proto ${UDP} ${L2TP_CONTROL} drop`,
    `${to} udp dport @floating_ports drop`,
    family === 4 ? `${to} ip frag-off & 0x3fff != 0 drop` : `${to} exthdr frag exists drop`,
    `${to} ${family === 4 ? 'icmp' : 'icmpv6'} type echo-request drop`,
    `${to} ${ERRORS[family]} drop`,
  ];
}

/** Who has a VIP: the designator answers, a host with proxy ARP must not. */
function questions(input: HostFilterInput, family: Family): string[] {
  const addresses = input.vips.map(({ address }) => address).filter((address) => familyOf(address) === family);
  if (addresses.length === 0) return [];
  if (family === 4) return [`arp operation request arp daddr ip ${set(addresses)} drop`];
  return [...new Set(addresses)].map((address) => `icmpv6 type nd-neighbor-solicit @th,64,128 ${hexOf(address)} drop`);
}

function fromServers(input: HostFilterInput, family: Family): string[] {
  const servers = input.servers.filter(({ address }) => familyOf(address) === family);
  const l3 = header(family);
  const rules = [`${l3} saddr . udp sport @floating${family} drop`];
  if (servers.length === 0) return rules;
  const first = `${l3} saddr . udp sport ${set(pairs(servers, family))}`;
  const id = family === 4 ? 'ip saddr . ip daddr . ip id' : 'ip6 saddr . ip6 daddr . frag id';
  const isFragment = family === 4 ? 'ip frag-off & 0x2000 != 0' : 'exthdr frag exists';
  const isLater = family === 4 ? 'ip frag-off & 0x1fff != 0' : 'frag frag-off != 0';
  const from = `${l3} saddr ${set(servers.map(({ address }) => address))}`;
  return [
    // A later fragment shows no port: it is known by what its first one left here. One that comes before that goes to the
    // host as well, whose receiver has no use for it.
    `${first} ${isFragment} update @fragments${family} { ${id} } drop`,
    `${first} drop`,
    `${isLater} ${id} @fragments${family} drop`,
    ...rules,
    // Control messages from a port that nobody has heard of. The shards take every one of them as theirs, whatever its
    // type, so none may reach the client past the designator with the server's own address.
    `${from} meta l4proto ${UDP} ${L2TP_CONTROL} ${L2TP_MESSAGE_TYPE} drop`,
    `${from} udp length ${L2TP_ZLB_UDP_LENGTH} ${L2TP_CONTROL} drop`,
  ];
}

/**
 * Errors about UDP to a server's port are translated, whoever inside sends them, unless the packet was the host's own:
 * then the host is the error's destination. A floating port counts like a configured one.
 */
function errors(input: HostFilterInput, family: Family): string[] {
  const servers = [...input.servers, ...input.floating].filter(({ address }) => familyOf(address) === family);
  if (servers.length === 0) return [];
  // Behind the 8 bytes of ICMP: protocol, destination, destination port of an embedded header without options.
  const [protocol, destination, port] = family === 4 ? [136, '192,32', 240] : [112, '256,128', 400];
  const ports = set([...new Set(servers.map((server) => server.port))]);
  const about = `${ERRORS[family]} @th,${protocol},8 ${UDP} @th,${port},16 ${ports} fib daddr type != local`;
  return [...new Set(servers.map(({ address }) => address))].map(
    (address) => `${about} @th,${destination} ${hexOf4or6(address, family)} drop`,
  );
}

// ── the firewall ──────────────────────────────────────────────────────────────────────────────────────────────────

/** The rules of flow/rule-list, to the same effect. Only IP is filtered, and neighbour discovery never. */
function firewall(input: HostFilterInput, oneArm: boolean): string[] {
  if (input.rules.length === 0 && !input.denyByDefault) return [];
  const exempt = FAMILIES.flatMap((family) => {
    const servers = input.servers.map(({ address }) => address).filter((address) => familyOf(address) === family);
    return oneArm && servers.length > 0 ? [`${header(family)} saddr ${set(servers)} accept`] : [];
  });
  return [
    `${NEIGHBOUR_DISCOVERY} accept`,
    ...exempt,
    // Tunnel requests never reach the host, so rules for them alone have nothing to say here.
    ...input.rules
      .filter((rule) => !isRequestRule(rule))
      .flatMap((rule) => FAMILIES.flatMap((family) => firewallRule(rule, family))),
    ...(input.denyByDefault ? ['meta protocol { ip, ip6 } drop'] : []),
  ];
}

/** One nft rule for each combination of alternatives that a set cannot express. */
function firewallRule(rule: RuleInput, family: Family): string[] {
  const l3 = header(family);
  const from = prefixes(rule.from, family);
  const to = prefixes(rule.to, family);
  if (from === null || to === null) return [];
  const fixed = [
    `meta protocol ${l3}`,
    ...(from === '' ? [] : [`${l3} saddr ${from}`]),
    ...(to === '' ? [] : [`${l3} daddr ${to}`]),
  ];
  const verdict = rule.action === 'deny' ? 'drop' : 'accept';
  return vipTests(rule, family).flatMap((vip) =>
    protocolTests(rule, family).map((protocol) => [...fixed, ...vip, ...protocol, verdict].join(' ')),
  );
}

function vipTests(rule: RuleInput, family: Family): string[][] {
  if (rule.vips.length === 0) return [[]];
  return rule.vips.flatMap(({ words, services }) => {
    const text = textOf(words, family);
    if (text === null) return [];
    const to = `${header(family)} daddr ${text}`;
    const transports = [...new Set(services.map(({ ipProtocol }) => ipProtocol))];
    const others = transports.length === 0 ? [to] : [to, `meta l4proto != ${set(transports)}`];
    return [others, ...services.map((service) => [to, ...transport(service)])];
  });
}

function protocolTests(rule: RuleInput, family: Family): string[][] {
  if (rule.protocols.length === 0) return [[]];
  const numbers = rule.protocols.flatMap(({ number }) => (number === null ? [] : [number]));
  const services = rule.protocols.flatMap((protocol) => protocol.services);
  return [
    ...(numbers.length === 0 ? [] : [[`meta l4proto ${set(numbers)}`]]),
    ...services.flatMap((service) => {
      const text = textOf(service.words, family);
      return text === null ? [] : [[`${header(family)} daddr ${text}`, ...transport(service)]];
    }),
  ];
}

function transport({ ipProtocol, port }: RuleService): string[] {
  return port === 0 ? [`meta l4proto ${ipProtocol}`] : [`meta l4proto ${ipProtocol}`, `@th,16,16 ${port}`];
}

/**
 * The prefixes that can meet a packet of the family: null = none, '' = every packet. A prefix shorter than 96 bits is
 * IPv6's alone, also around the mapped addresses (::/0), as it is in flow/rule-list.
 */
function prefixes(list: readonly RulePrefix[], family: Family): string | null {
  if (list.length === 0) return '';
  const found: { words: readonly number[]; length: number }[] = [];
  for (const { words, length } of list) {
    const cut = masked(words, length);
    const v4 = length >= 96 && isIpv4(cut[0], cut[1], cut[2]);
    // A shorter prefix than the mapped one is IPv6's, also where it would cover the mapped addresses.
    if (family === 4 && length === 96 && v4) return '';
    if (family === 6 && length === 0) return '';
    if (v4 === (family === 4)) found.push({ words: cut, length });
  }
  // A set of intervals takes no overlaps: of prefixes inside each other the outer one is enough.
  found.sort((a, b) => compare(a.words, b.words) || a.length - b.length);
  const outer: typeof found = [];
  for (const prefix of found) {
    const last = outer.at(-1);
    if (last !== undefined && compare(masked(prefix.words, last.length), last.words) === 0) continue;
    outer.push(prefix);
  }
  if (outer.length === 0) return null;
  return set(
    outer.map(({ words, length }) =>
      family === 4 ? `${formatIpv4(words[3])}/${length - 96}` : `${text6(words)}/${length}`,
    ),
  );
}

// ── words and text ────────────────────────────────────────────────────────────────────────────────────────────────

function masked(words: readonly number[], length: number): number[] {
  return words.map((word, i) => {
    const bits = Math.min(32, Math.max(0, length - i * 32));
    return bits === 0 ? 0 : (word & (-1 << (32 - bits))) >>> 0;
  });
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < 4; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return 0;
}

function text6(words: readonly number[]): string {
  return formatIpv6(words[0], words[1], words[2], words[3]);
}

/** Text of an address of the family, null when it is of the other one. */
function textOf(words: readonly number[], family: Family): string | null {
  if (isIpv4(words[0], words[1], words[2]) !== (family === 4)) return null;
  return family === 4 ? formatIpv4(words[3]) : text6(words);
}

/** An address as the bytes of its header have it. */
function hexOf4or6(address: string, family: Family): string {
  const text = hexOf(address);
  return family === 4 ? `0x${text.slice(-8)}` : text;
}

function hexOf(address: string): string {
  const words = parseAddress(address);
  if (words === null) throw new RangeError(`no address: ${address}`);
  return `0x${words.map((word) => word.toString(16).padStart(8, '0')).join('')}`;
}

function familyOf(address: string): Family {
  return address.includes(':') ? 6 : 4;
}

function header(family: Family): string {
  return family === 4 ? 'ip' : 'ip6';
}

function pairs(places: readonly FilterPlace[], family: Family): string[] {
  return places
    .filter(({ address }) => familyOf(address) === family)
    .map(({ address, port }) => `${address} . ${port}`);
}

function set(elements: readonly (string | number)[]): string {
  return `{ ${[...new Set(elements)].join(', ')} }`;
}
