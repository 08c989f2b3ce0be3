/** What needs more than one value of an LNS's configuration to judge. */
import type { AddressWords, ConfigProblem } from './compiled.js';
import { parseListenAddress, seconds } from './endpoint-parts.js';
import type { LnsInput } from './lns.js';
import { checkOffload } from './lns-offload.js';
import { radiusProblems } from './radius.js';
import type { ConfigSource, Path } from './source.js';
import { suggestion } from './suggest.js';
import { checkTakeOver } from './take-over.js';
import { type AddressRange, familyOf, parseIpv4Range, parsePrefix, parseUnicast } from './values.js';

/** More would not be addresses of one LNS. Of larger IPv6 prefixes the first ones are given. */
export const POOL_SIZE_MAX = 1 << 20;

const WILDCARDS: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

type Say = (severity: 'error' | 'warning', path: Path, message: string) => void;

/** Problems between values, for an input whose shape is right. */
export function checkLnsRelations(source: ConfigSource, input: LnsInput): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const say: Say = (severity, path, message) => void problems.push(source.problem(severity, path, message));
  checkListen(input, say);
  checkSecrets(input, say);
  checkAuthentication(input, say);
  checkPools(input, say);
  if (input.radius !== undefined) problems.push(...radiusProblems(source, input.radius));
  for (const { key, message } of input.takeOver === undefined ? [] : checkTakeOver(input.takeOver))
    say('error', ['takeOver', key], message);
  for (const { key, message } of input.offload === undefined ? [] : checkOffload(input.offload))
    say('error', ['offload', key], message);
  if (input.takeOver !== undefined && input.offload === undefined)
    say('warning', ['takeOver'], 'without `offload` there is no peer whose tunnels could be taken over');
  if (seconds(input.tunnels.longestWait) < seconds(input.tunnels.firstWait))
    say('error', ['tunnels', 'longestWait'], 'it is shorter than firstWait');
  return problems;
}

function checkListen(input: LnsInput, say: Say): void {
  const seen = new Set<string>();
  const isList = Array.isArray(input.listen);
  for (const [index, text] of [input.listen].flat().entries()) {
    const path = isList ? ['listen', index] : ['listen'];
    const parsed = parseListenAddress(text);
    if ('error' in parsed) continue;
    const key = `${parsed.value.host} ${parsed.value.port}`;
    if (seen.has(key)) say('error', path, `${text} is written twice`);
    seen.add(key);
  }
  checkAnswers(input, seen, say);
}

/** `listening`: host and port of every item of `listen`. */
function checkAnswers(input: LnsInput, listening: ReadonlySet<string>, say: Say): void {
  const seen = new Set<string>();
  for (const [index, { listen, address }] of input.answerFrom.entries()) {
    const path = ['answerFrom', index];
    const at = parseListenAddress(listen);
    if ('error' in at) continue;
    const from = parseListenAddress(address, at.value.port);
    if ('error' in from) continue;
    const key = `${at.value.host} ${at.value.port}`;
    if (!listening.has(key)) say('error', [...path, 'listen'], `${listen} is not in \`listen\``);
    else if (seen.has(key)) say('error', [...path, 'listen'], `${listen} is written twice`);
    seen.add(key);
    if (at.value.host.includes(':') !== from.value.host.includes(':'))
      say('error', [...path, 'address'], `${address} is of another family than ${listen}`);
    else if (WILDCARDS.has(from.value.host)) say('error', [...path, 'address'], 'write one address of the host');
    else if (`${from.value.host} ${from.value.port}` === key)
      say('error', [...path, 'address'], 'it is the address of `listen`, which answers without this');
  }
}

function checkSecrets(input: LnsInput, say: Say): void {
  const one = (section: { secret?: string | undefined; secretFile?: string | undefined }, path: Path): boolean => {
    if (section.secret !== undefined && section.secretFile !== undefined)
      say('error', [...path, 'secret'], 'write either secret or secretFile');
    return section.secret !== undefined || section.secretFile !== undefined;
  };
  const common = one(input.tunnels, ['tunnels']);
  for (const [index, rule] of input.tunnels.peers.entries()) {
    const path = ['tunnels', 'peers', index];
    const own = one(rule, path);
    if (rule.hide && !own && !common) say('error', [...path, 'hide'], 'hiding needs a secret');
    if (rule.from === undefined && rule.hostName === undefined)
      say('error', path, 'write `from` or `hostName`: this item fits everybody');
  }
  if (input.tunnels.others === 'refuse' && input.tunnels.peers.length === 0)
    say('error', ['tunnels', 'others'], 'there are no `peers`: nobody could open a tunnel');
  const { loadStatus, cluster } = input;
  if (loadStatus !== undefined && !one(loadStatus, ['loadStatus']))
    say('error', ['loadStatus'], 'write secret or secretFile');
  if (loadStatus !== undefined && loadStatus.designators === undefined && cluster === undefined)
    say('error', ['loadStatus', 'designators'], 'nobody would be told: write designators or cluster');
  if (cluster !== undefined && loadStatus === undefined)
    say('error', ['cluster'], 'there is nothing to tell: write loadStatus');
}

function checkAuthentication(input: LnsInput, say: Say): void {
  const methods = [input.ppp.authentication].flat();
  if (methods.includes('none') && methods.length > 1)
    say('error', ['ppp', 'authentication'], 'none stands alone, or subscribers could choose it');
  if (new Set(methods).size < methods.length) say('error', ['ppp', 'authentication'], 'a method is written twice');
  const asked = [input.authenticate ?? []].flat();
  const has = { users: input.users !== undefined, radius: input.radius !== undefined };
  for (const who of asked) {
    if (!has[who]) say('error', ['authenticate'], `there is no section ${who}`);
  }
  if (methods[0] !== 'none' && !has.users && !has.radius)
    say('error', ['ppp', 'authentication'], 'nobody could be let in: write `users`, `radius`, or authentication: none');
}

function checkPools(input: LnsInput, say: Say): void {
  const names = new Map<string, 4 | 6>();
  const ranges: { range: AddressRange; path: Path }[] = [];
  for (const [index, pool] of input.pools.entries()) {
    const path = ['pools', index];
    if (names.has(pool.name)) say('error', [...path, 'name'], `another pool is called ${pool.name}`);
    names.set(pool.name, pool.ipv4 === undefined ? 6 : 4);
    if ((pool.ipv4 === undefined) === (pool.ipv6 === undefined)) say('error', path, 'write either ipv4 or ipv6');
    let size = 0;
    for (const [item, text] of [pool.ipv4 ?? []].flat().entries()) {
      const at = Array.isArray(pool.ipv4) ? [...path, 'ipv4', item] : [...path, 'ipv4'];
      const parsed = parseIpv4Range(text);
      if ('error' in parsed) continue;
      size += parsed.value.last[3] - parsed.value.first[3] + 1;
      const other = ranges.find(({ range }) => overlap(range, parsed.value));
      if (other !== undefined) say('error', at, `it has addresses of ${other.range.text}, which is in a pool already`);
      ranges.push({ range: parsed.value, path: at });
    }
    for (const [item, text] of [pool.ipv6 ?? []].flat().entries()) {
      const at = Array.isArray(pool.ipv6) ? [...path, 'ipv6', item] : [...path, 'ipv6'];
      const parsed = parsePrefix(text);
      if ('error' in parsed) continue;
      const bits = pool.length - parsed.value.length;
      if (bits < 0) say('error', at, `a prefix of length ${pool.length} does not fit into ${text}`);
    }
    if (size > POOL_SIZE_MAX) say('error', path, `a pool has at most ${POOL_SIZE_MAX} addresses, not ${size}`);
  }
  const known = (family: 4 | 6, wanted: string | undefined, path: Path): void => {
    if (wanted === undefined || names.get(wanted) === family) return;
    const fitting = [...names].filter(([, its]) => its === family).map(([pool]) => pool);
    say('error', path, `there is no IPv${family} pool ${wanted}${suggestion(wanted, fitting)}`);
  };
  known(4, input.ipv4.pool, ['ipv4', 'pool']);
  known(6, input.ipv6.pool, ['ipv6', 'pool']);
  family(4, input.ipv4.local, ['ipv4', 'local'], say);
  for (const [index, dns] of input.ipv4.dns.entries()) family(4, dns, ['ipv4', 'dns', index], say);
  for (const [index, dns] of input.ipv6.dns.entries()) family(6, dns, ['ipv6', 'dns', index], say);
}

function family(wanted: 4 | 6, text: string | undefined, path: Path, say: Say): void {
  if (text === undefined) return;
  const parsed = parseUnicast(text);
  if ('value' in parsed && familyOf(parsed.value) !== wanted) say('error', path, `${text} is no IPv${wanted} address`);
}

function overlap(a: AddressRange, b: AddressRange): boolean {
  return key(a.first) <= key(b.last) && key(b.first) <= key(a.last);
}

/** IPv4 alone: the last word orders. */
function key(words: AddressWords): number {
  return words[3];
}
