/**
 * The host's drop filter. AF_PACKET is only a tap: the host sees every frame too and would answer or forward it. One
 * nftables table of ours, family netdev, drops at ingress what the designator handles, and what its firewall denies,
 * after the tap has seen it (docs/decisions/0004). Rendered as text, loaded by nft(8) in single transactions.
 */
import { spawn } from 'node:child_process';
import type { CompiledRule, InterfaceSpec } from '../config/compiled.js';
import { DesignatorError } from '../errors.js';

export interface FilterVip { readonly address: string; readonly family: 4 | 6; readonly port: number; readonly name: string }
export interface FilterServer { readonly address: string; readonly family: 4 | 6; readonly port: number }
export interface FilterInput {
  readonly outside: InterfaceSpec;
  readonly inside: InterfaceSpec;
  readonly vips: readonly FilterVip[];
  readonly servers: readonly FilterServer[];
  readonly denyByDefault: boolean;
  readonly rules: readonly CompiledRule[];
  /** Ports that servers answer from besides their own. */
  readonly floating: readonly { readonly address: string; readonly port: number }[];
}

/** L2TPv2 control header: T, L, S set, O, P clear, version 2 (RFC 2661 §3.1). `@th` is the UDP header. */
const CONTROL = '@th,64,16 & 0xcb0f == 0xc802';
/** First AVP: mandatory, length 8, IETF, Message Type (RFC 2661 §4.4.1). It begins 12 bytes into the message. */
const MESSAGE_TYPE = (type: number): string => `@th,160,48 == 0x800800000000 @th,208,16 == ${type}`;
const SCCRP = 2;
const STOPCCN = 4;
/** A ZLB is a control header and nothing else. */
const ZLB = `udp length 20 ${CONTROL}`;
const NFT_TIMEOUT_MS = 20_000;

export function tableName(outside: InterfaceSpec): string {
  return `designator_${outside.name.replace(/[^A-Za-z0-9_]/g, '_')}`;
}

const quoted = (items: readonly (string | number)[]): string => `{ ${[...new Set(items)].join(', ')} }`;
const ip = (family: 4 | 6): string => (family === 4 ? 'ip' : 'ip6');
const familyOf = (address: string): 4 | 6 => (address.includes(':') ? 6 : 4);

/** The whole table, replacing one that is there, as one transaction. Deterministic. */
export function renderHostFilter(input: FilterInput): string {
  const name = tableName(input.outside);
  const oneArm = input.outside.name === input.inside.name;
  const lines = [`table netdev ${name}`, `delete table netdev ${name}`, `table netdev ${name} {`];
  for (const family of [4, 6] as const) {
    const elements = input.floating.filter((place) => familyOf(place.address) === family).map((place) => `${place.address} . ${place.port}`);
    lines.push(
      `  set floating${family} {`,
      `    type ipv${family}_addr . inet_service`,
      ...(elements.length > 0 ? [`    elements = ${quoted(elements)}`] : []),
      '  }',
    );
  }
  lines.push(
    '  chain own {',
    ...outsideDrops(input).map((rule) => `    ${rule}`),
    '  }',
    '  chain answers {',
    ...insideDrops(input).map((rule) => `    ${rule}`),
    '  }',
    '  chain firewall {',
    ...firewall(input, oneArm).map((rule) => `    ${rule}`),
    '  }',
  );
  const hook = (chain: string, device: string, rules: readonly string[]): string[] => [
    `  chain ${chain} {`,
    `    type filter hook ingress device "${device}" priority -500`,
    '    policy accept',
    ...rules.map((rule) => `    ${rule}`),
    '  }',
  ];
  if (input.outside.device === input.inside.device) {
    lines.push(
      ...hook('both', input.outside.device, oneArm
        ? [`${tag(input.outside)}jump own`, `${tag(input.outside)}jump answers`, `${tag(input.outside)}jump firewall`]
        : [`${tag(input.outside)}jump own`, `${tag(input.outside)}jump firewall`, `${tag(input.inside)}jump answers`]),
    );
  } else {
    lines.push(
      ...hook('outside', input.outside.device, [`${tag(input.outside)}jump own`, `${tag(input.outside)}jump firewall`]),
      ...hook('inside', input.inside.device, [`${tag(input.inside)}jump answers`]),
    );
  }
  lines.push('}', '');
  return lines.join('\n');
}

function tag(spec: InterfaceSpec): string {
  return spec.vlan === 0 ? '' : `vlan id ${spec.vlan} `;
}

/** What clients send to a VIP, and questions about it. */
function outsideDrops(input: FilterInput): string[] {
  const rules: string[] = [];
  for (const family of [4, 6] as const) {
    const vips = input.vips.filter((vip) => vip.family === family);
    if (vips.length === 0) continue;
    const addresses = quoted(vips.map((vip) => vip.address));
    const to = `${ip(family)} daddr`;
    for (const vip of vips) rules.push(`${to} ${vip.address} udp dport ${vip.port} drop`);
    // A server's floating port that is exposed: control messages by their header, data by the ports that are known.
    rules.push(`${to} ${addresses} meta l4proto udp ${CONTROL} drop`);
    const floating = input.floating.filter((place) => familyOf(place.address) === family).map((place) => place.port);
    if (floating.length > 0) rules.push(`${to} ${addresses} udp dport ${quoted(floating)} drop`);
    if (family === 4) {
      rules.push(
        `${to} ${addresses} ip frag-off & 0x3fff != 0 drop`,
        `${to} ${addresses} icmp type echo-request drop`,
        `arp operation request arp daddr ip ${addresses} drop`,
      );
    } else {
      rules.push(
        `${to} ${addresses} exthdr frag exists drop`,
        `${to} ${addresses} icmpv6 type echo-request drop`,
        `icmpv6 type nd-neighbor-solicit icmpv6 taddr ${addresses} drop`,
      );
    }
  }
  return rules;
}

/** What servers send to clients of their tunnels, from their own ports, learnt ones, and the first time from a new one. */
function insideDrops(input: FilterInput): string[] {
  const rules: string[] = [];
  for (const family of [4, 6] as const) {
    const servers = input.servers.filter((server) => server.family === family);
    if (servers.length === 0) continue;
    const addresses = quoted(servers.map((server) => server.address));
    const from = `${ip(family)} saddr`;
    rules.push(
      `${from} . udp sport ${quoted(servers.map((server) => `${server.address} . ${server.port}`))} drop`,
      `${from} . udp sport @floating${family} drop`,
      `${from} ${addresses} meta l4proto udp ${CONTROL} ${MESSAGE_TYPE(SCCRP)} drop`,
      `${from} ${addresses} meta l4proto udp ${CONTROL} ${MESSAGE_TYPE(STOPCCN)} drop`,
      `${from} ${addresses} meta l4proto udp ${ZLB} drop`,
    );
  }
  return rules;
}

// ── the firewall ────────────────────────────────────────────────────────────────────────────────────────────────────

function firewall(input: FilterInput, oneArm: boolean): string[] {
  const rules: string[] = [];
  if (input.rules.length === 0 && !input.denyByDefault) return rules;
  // Neighbour discovery is to IPv6 what ARP is to IPv4: never filtered.
  rules.push('icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, nd-redirect } accept');
  if (oneArm) {
    for (const family of [4, 6] as const) {
      const servers = input.servers.filter((server) => server.family === family);
      if (servers.length > 0) rules.push(`${ip(family)} saddr ${quoted(servers.map((server) => server.address))} accept`);
    }
  }
  for (const rule of input.rules) rules.push(...renderRule(rule, input));
  if (input.denyByDefault) rules.push('ether type { ip, ip6 } drop');
  return rules;
}

/** One nft rule for every combination of family, VIP and protocol that the rule's tests allow. */
function renderRule(rule: CompiledRule, input: FilterInput): string[] {
  const verdict = rule.action === 'deny' ? 'drop' : 'accept';
  const lines: string[] = [];
  for (const family of [4, 6] as const) {
    const prefixes = (list: CompiledRule['from']): string[] => list.filter((prefix) => prefix.family === family).map((prefix) => prefix.text);
    const from = prefixes(rule.from);
    const to = prefixes(rule.to);
    if ((rule.from.length > 0 && from.length === 0) || (rule.to.length > 0 && to.length === 0)) continue;
    const head = [
      `ether type ${ip(family)}`,
      ...(from.length > 0 ? [`${ip(family)} saddr ${quoted(from)}`] : []),
      ...(to.length > 0 ? [`${ip(family)} daddr ${quoted(to)}`] : []),
    ].join(' ');
    for (const vip of vipTests(rule, input, family)) {
      for (const protocol of protocolTests(rule, input, family)) lines.push([head, vip, protocol, verdict].filter((part) => part !== '').join(' '));
    }
  }
  return lines;
}

/** The packet goes to the VIP's address, and if it is UDP, to its port. */
function vipTests(rule: CompiledRule, input: FilterInput, family: 4 | 6): string[] {
  if (rule.vips.length === 0) return [''];
  return input.vips
    .filter((vip) => vip.family === family && rule.vips.includes(vip.name))
    .flatMap((vip) => [`${ip(family)} daddr ${vip.address} udp dport ${vip.port}`, `${ip(family)} daddr ${vip.address} meta l4proto != udp`]);
}

function protocolTests(rule: CompiledRule, input: FilterInput, family: 4 | 6): string[] {
  if (rule.protocols.length === 0) return [''];
  const tests: string[] = [];
  const numbers = rule.protocols.flatMap(({ number }) => (number === null ? [] : [number]));
  if (numbers.length > 0) tests.push(`meta l4proto ${quoted(numbers)}`);
  if (rule.protocols.some(({ tunnel }) => tunnel !== null)) {
    for (const vip of input.vips) if (vip.family === family) tests.push(`${ip(family)} daddr ${vip.address} udp dport ${vip.port}`);
  }
  return tests;
}

// ── nft ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

type Place = { readonly address: string; readonly port: number };

export class HostFilter {
  #input: FilterInput;
  /** The run in flight; the next waits for it, so that transactions keep their order. */
  #last: Promise<void> = Promise.resolve();
  /** Ports asked for while a run was in flight go into the next one together. */
  #joining: { places: Place[]; done: Promise<void> } | null = null;

  /** `command`: how nft is started; tests put a namespace in front. */
  constructor(input: FilterInput, readonly command: readonly string[] = ['nft']) {
    this.#input = input;
  }

  /** Errors: TD_UNAVAILABLE without the package nftables or kernel support, TD_NO_PERMISSION without CAP_NET_ADMIN. */
  install(): Promise<void> {
    return this.#run(() => renderHostFilter(this.#input));
  }

  /** The table with new content, in one transaction: at no time does the host see what it should not. */
  update(input: FilterInput): Promise<void> {
    this.#input = input;
    return this.#run(() => renderHostFilter(this.#input));
  }

  /** Resolves when the host drops what comes from these ports. */
  addServerPorts(places: readonly Place[]): Promise<void> {
    if (this.#joining !== null) {
      this.#joining.places.push(...places);
      return this.#joining.done;
    }
    const joining = { places: [...places], done: Promise.resolve() };
    this.#joining = joining;
    joining.done = this.#run(() => {
      this.#joining = null;
      this.#input = { ...this.#input, floating: [...this.#input.floating, ...joining.places] };
      return renderHostFilter(this.#input);
    });
    return joining.done;
  }

  removeServerPorts(places: readonly Place[]): Promise<void> {
    if (places.length === 0) return Promise.resolve();
    const gone = new Set(places.map(({ address, port }) => `${address} ${port}`));
    return this.#run(() => {
      this.#input = { ...this.#input, floating: this.#input.floating.filter(({ address, port }) => !gone.has(`${address} ${port}`)) };
      return renderHostFilter(this.#input);
    });
  }

  remove(): Promise<void> {
    const name = tableName(this.#input.outside);
    return this.#run(() => `table netdev ${name}\ndelete table netdev ${name}\n`);
  }

  #run(render: () => string): Promise<void> {
    const next = this.#last.catch(() => {}).then(() => nft(this.command, render()));
    this.#last = next;
    return next;
  }
}

function nft(command: readonly string[], script: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command[0], [...command.slice(1), '-f', '-'], { stdio: ['pipe', 'ignore', 'pipe'], timeout: NFT_TIMEOUT_MS });
    let output = '';
    child.stderr.setEncoding('utf8');
    child.stderr.on('data', (text: string) => {
      if (output.length < 4096) output += text;
    });
    child.on('error', (cause: NodeJS.ErrnoException) =>
      reject(
        cause.code === 'ENOENT'
          ? new DesignatorError('TD_UNAVAILABLE', 'nft is missing: install the package nftables', {}, cause)
          : new DesignatorError('TD_UNAVAILABLE', `nft could not be started: ${cause.message}`, {}, cause),
      ),
    );
    child.on('close', (status) => {
      if (status === 0) return resolve();
      const first = output.split('\n').find((line) => line.includes('Error')) ?? output.trim();
      reject(
        /Operation not permitted/.test(output)
          ? new DesignatorError('TD_NO_PERMISSION', 'the drop filter needs CAP_NET_ADMIN (nft: Operation not permitted)')
          : new DesignatorError('TD_UNAVAILABLE', `nft refused the drop filter: ${first}`, { output }),
      );
    });
    child.stdin.on('error', () => {}); // a child that ends early says why on stderr
    child.stdin.end(script);
  });
}
