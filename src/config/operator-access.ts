/**
 * Warns of rules that cut the operator off. The firewall covers every packet that comes in outside, so a rule that is
 * meant for tunnels can also end the session over which it was written.
 */
import { isRequestRule, RuleList, ruleInputs } from '../flow/rule-list.js';
import { formatEndpoint, formatWords, parseAddress } from '../wire/address.js';
import type { AddressWords, CompiledConfig, CompiledRule } from './compiled.js';
import { familyOf } from './values.js';

const TCP = 6;
const UDP = 17;

/** One end-to-end connection of a person who may be configuring this machine. */
export interface OperatorSession {
  readonly client: AddressWords;
  readonly host: AddressWords;
  readonly port: number;
}

/** A finding, with the place that it is about: a rule, or the default. */
export interface AccessWarning {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** Reads the value of SSH_CONNECTION: client address and port, host address and port. Null when it is something else. */
export function sessionFromSsh(value: string | undefined): OperatorSession | null {
  const [client, , host, port] = (value ?? '').split(' ').map((field) => field.replace(/%.*$/, ''));
  const clientWords = client === undefined ? null : parseAddress(client);
  const hostWords = host === undefined ? null : parseAddress(host);
  if (clientWords === null || hostWords === null || !/^\d{1,5}$/.test(port ?? '')) return null;
  return { client: clientWords, host: hostWords, port: Number(port) };
}

export function checkOperatorAccess(config: CompiledConfig, session: OperatorSession | null): AccessWarning[] {
  const own = session === null ? null : checkSession(config, session);
  const general = checkOrdinaryTcp(config);
  return [...(own === null ? [] : [own]), ...(general === null ? [] : [general])];
}

function checkSession(config: CompiledConfig, session: OperatorSession): AccessWarning | null {
  const { rules } = config.firewall;
  // Every tunnel protocol of the VIPs has ports and runs over UDP, so none is the operator's TCP.
  const list = new RuleList(ruleInputs(rules, config.vips, () => ({ ipProtocol: UDP, hasPorts: true })));
  const index = list.evaluate(...session.client, ...session.host, TCP, session.port);
  const denied = index < 0 ? config.firewall.default === 'deny' : list.denies(index);
  if (!denied) return null;
  const who = `this very session, TCP from ${formatWords(session.client)} to ${formatEndpoint(...session.host, session.port)}`;
  return { path: pathOf(index), message: `cuts ${who}, if it comes in on ${config.outside.name}: ${remedy(index)}` };
}

/** The first place that ends ordinary TCP to the host from everywhere, unless somebody was let through before it. */
function checkOrdinaryTcp(config: CompiledConfig): AccessWarning | null {
  const { rules } = config.firewall;
  const warning = (index: number): AccessWarning => ({
    path: pathOf(index),
    message: `cuts every TCP connection to this host that comes in on ${config.outside.name}, ssh too: ${remedy(index)}`,
  });
  for (let index = 0; index < rules.length; index++) {
    const rule = rules[index];
    if (isRequestRule(rule) || !coversTcp(rule) || !reachesHost(rule, config)) continue;
    if (rule.action === 'allow') return null;
    if (fromEverywhere(rule)) return warning(index);
  }
  return config.firewall.default === 'deny' ? warning(-1) : null;
}

function coversTcp(rule: CompiledRule): boolean {
  return rule.protocols.length === 0 || rule.protocols.some((protocol) => protocol.number === TCP);
}

/** Its destinations hold more than the VIPs, which are never addresses of the host. A denial must hold every address. */
function reachesHost(rule: CompiledRule, config: CompiledConfig): boolean {
  if (rule.vips.length > 0) return false;
  if (rule.to.length === 0 || rule.to.some(({ text }) => isDefaultRoute(text))) return true;
  if (rule.action === 'deny') return false;
  return !rule.to.every((prefix) => {
    const full = prefix.length === 128;
    return (
      full &&
      config.vips.some(
        (vip) => familyOf(prefix.words) === vip.family && vip.words.every((word, i) => word === prefix.words[i]),
      )
    );
  });
}

function fromEverywhere(rule: CompiledRule): boolean {
  return rule.from.length === 0 || rule.from.some(({ text }) => isDefaultRoute(text));
}

function isDefaultRoute(prefix: string): boolean {
  return prefix === '0.0.0.0/0' || prefix === '::/0';
}

function remedy(rule: number): string {
  const exception = 'an allow rule for the operator’s address before it keeps that open';
  return rule < 0 ? exception : `narrow it with to or protocol, or ${exception}`;
}

function pathOf(rule: number): AccessWarning['path'] {
  return rule < 0 ? ['firewall', 'default'] : ['firewall', 'rules', rule];
}
