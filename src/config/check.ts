/**
 * What no single value can tell: names that are used twice, virtual addresses that overlap, rules that name nothing. It
 * reads the file as it is written, whatever the schema thinks of it, so that one run of `check` names every error.
 */
import { SERVER_LIMIT } from '../flow/layout.js';
import { formatEndpoint, formatWords } from '../wire/address.js';
import type { AddressWords, ConfigProblem, Protocol } from './compiled.js';
import { parseDuration } from './durations.js';
import { checkReplies } from './reply-check.js';
import { checkInactivation } from './inactivation.js';
import type { ConfigSource, Path } from './source.js';
import { suggestion } from './suggest.js';
import { BUILT_PROTOCOLS, DEFAULT_PORTS, familyOf, parseUnicast } from './values.js';

/** RFC 2661 §5.7 and §5.8: 1 + 2 + 4 + 8 + 8 + 8 seconds of retransmission. */
const RETRANSMISSION_CYCLE_SECONDS = 31;

interface Known {
  readonly name: string | null;
  readonly address: AddressWords | null;
  readonly port: number | null;
  readonly path: Path;
}
interface KnownVip extends Known {
  readonly protocols: readonly string[];
  readonly servers: readonly Known[];
  readonly weights: readonly unknown[];
}

/** Errors and warnings; without errors of the schema and from here, the file can be compiled. */
export function checkRelations(source: ConfigSource): ConfigProblem[] {
  const vips = surveyVips(source.data);
  const problems: ConfigProblem[] = [];
  const say = (severity: ConfigProblem['severity'], path: Path, message: string): void => {
    problems.push(source.problem(severity, path, message));
  };
  checkVips(vips, say);
  checkServers(vips, say);
  checkRules(source.data, vips, say);
  checkLimits(source.data, say);
  checkLoadStatus(source.data, say);
  checkHealth(source.data, say);
  checkTakeOver(source.data, say);
  checkReplies(source.data, say);
  checkInactivation(source.data, say);
  return problems;
}

type Say = (severity: ConfigProblem['severity'], path: Path, message: string) => void;

/** Order of the times, which no single one of them can tell. */
function checkHealth(data: unknown, say: Say): void {
  const health = (data as { health?: Record<string, unknown> } | null)?.health;
  if (typeof health !== 'object' || health === null) return;
  const value = (key: string, otherwise: string): number => parseDuration(String(health[key] ?? otherwise)) ?? 0;
  if (value('suspectAfter', '800ms') > value('downAfter', '2500ms'))
    say(
      'error',
      ['health', 'suspectAfter'],
      'a server is suspect before it is down: it must not be longer than downAfter',
    );
  if (value('downAfter', '2500ms') > value('downAfterAlone', '20s'))
    say('error', ['health', 'downAfter'], 'it must not be longer than downAfterAlone');
  if (value('lendFirst', '2s') > value('lendMost', '60s'))
    say('error', ['health', 'lendFirst'], 'it must not be longer than lendMost');
}

function checkVips(vips: readonly KnownVip[], say: Say): void {
  const names = new Map<string, Path>();
  const services = new Map<string, KnownVip>();
  for (const vip of vips) {
    sayIfTaken(names, vip, 'VIP', say);
    if (vip.address === null || vip.port === null) continue;
    for (const protocol of new Set(vip.protocols)) {
      const service = `${protocol} ${formatEndpoint(...vip.address, vip.port)}`;
      const other = services.get(service);
      if (other === undefined) services.set(service, vip);
      else
        say(
          'error',
          [...vip.path, 'address'],
          `${service} is already VIP ${other.name ?? other.path.join('.')}: two VIPs on one address need different ports`,
        );
    }
  }
}

function checkServers(vips: readonly KnownVip[], say: Say): void {
  const names = new Map<string, Path>();
  const vipAddresses = new Map(vips.flatMap((vip) => (vip.address === null ? [] : [[formatWords(vip.address), vip]])));
  let count = 0;
  for (const vip of vips) {
    const taken = new Map<string, Known>();
    for (const server of vip.servers) {
      if (++count === SERVER_LIMIT + 1)
        say('error', server.path, `there may be at most ${SERVER_LIMIT} servers in all`);
      sayIfTaken(names, server, 'server', say);
      if (server.address === null) continue;
      const path = [...server.path, 'address'];
      const text = formatWords(server.address);
      const clash = vipAddresses.get(text);
      if (clash !== undefined)
        say(
          'error',
          path,
          `${text} is the address of VIP ${clash.name ?? clash.path.join('.')}: its packets would come back for ever`,
        );
      if (vip.address !== null && familyOf(server.address) !== familyOf(vip.address)) {
        say(
          'error',
          path,
          `${text} is not of the family of the VIP ${formatWords(vip.address)}: tunnels are not translated between IPv4 and IPv6`,
        );
      }
      if (server.port === null) continue;
      const endpoint = formatEndpoint(...server.address, server.port);
      const other = taken.get(endpoint);
      if (other === undefined) taken.set(endpoint, server);
      else say('error', path, `${endpoint} is already server ${other.name ?? other.path.join('.')} of this VIP`);
    }
    if (vip.weights.length > 0 && vip.weights.every((weight) => weight === 0)) {
      say('warning', [...vip.path, 'servers'], 'every server has weight 0: no new tunnel will be designated');
    }
  }
}

function sayIfTaken(names: Map<string, Path>, { name, path }: Known, what: string, say: Say): void {
  if (name === null) return;
  const first = names.get(name);
  if (first === undefined) names.set(name, path);
  else say('error', [...path, 'name'], `the name ${name} is already that of the ${what} at ${first.join('.')}`);
}

function checkRules(data: unknown, vips: readonly KnownVip[], say: Say): void {
  const names = vips.flatMap((vip) => (vip.name === null ? [] : [vip.name]));
  const rules = list(at(data, 'firewall', 'rules'));
  rules.forEach((rule, index) => {
    const path: Path = ['firewall', 'rules', index];
    for (const action of ['allow', 'deny', 'limit'] as const) {
      const match = at(rule, action);
      if (!isRecord(match)) continue;
      each(match.vip, [...path, action, 'vip'], (name, place) => {
        if (typeof name === 'string' && !names.includes(name))
          say('error', place, `no VIP is called ${name}${suggestion(name, names)}`);
      });
    }
  });
}

function checkLimits(data: unknown, say: Say): void {
  const rate = at(data, 'firewall', 'tunnelRequestRate');
  if (isRecord(rate) && rate.burst !== undefined && rate.perSource === undefined) {
    say('error', ['firewall', 'tunnelRequestRate', 'burst'], 'burst means nothing without perSource');
  }
  if (isRecord(rate) && rate.totalBurst !== undefined && rate.total === undefined) {
    say('error', ['firewall', 'tunnelRequestRate', 'totalBurst'], 'totalBurst means nothing without total');
  }
  const closing = at(data, 'timeouts', 'closing');
  const seconds = typeof closing === 'string' ? parseDuration(closing) : null;
  if (seconds !== null && seconds < RETRANSMISSION_CYCLE_SECONDS) {
    say(
      'warning',
      ['timeouts', 'closing'],
      `shorter than a cycle of retransmissions (${RETRANSMISSION_CYCLE_SECONDS}s): the last of them may find its tunnel forgotten`,
    );
  }
}

function checkLoadStatus(data: unknown, say: Say): void {
  const common = at(data, 'loadStatus');
  const hasSecret = (from: unknown): boolean =>
    isRecord(from) && (from.secret !== undefined || from.secretFile !== undefined);
  const checkSecret = (from: unknown, path: Path): void => {
    if (isRecord(from) && from.secret !== undefined && from.secretFile !== undefined)
      say('error', [...path, 'secretFile'], 'either secret or secretFile, not both');
  };
  checkSecret(common, ['loadStatus']);
  const listens = at(common, 'listen') !== undefined;
  // Other members, and servers themselves, tell it over the cluster's bus.
  const hears = listens || at(data, 'cluster') !== undefined;
  let own = 0;
  list(at(data, 'vips')).forEach((vip, v) => {
    const algorithm = at(vip, 'algorithm');
    if (algorithm === 'least-load' && !hears)
      say(
        'warning',
        ['vips', v, 'algorithm'],
        'no load will be known: loadStatus.listen is absent, so its fallback decides',
      );
    if (at(vip, 'leakyBucket') !== undefined && algorithm !== 'leaky-bucket')
      say('error', ['vips', v, 'leakyBucket'], 'leakyBucket belongs to algorithm: leaky-bucket');
    list(at(vip, 'servers')).forEach((server, s) => {
      const settings = at(server, 'loadStatus');
      const path: Path = ['vips', v, 'servers', s, 'loadStatus'];
      checkSecret(settings, path);
      if (hasSecret(settings)) own++;
      if (settings !== undefined && !hears) say('warning', path, 'means nothing without loadStatus.listen');
    });
  });
  if (listens && !hasSecret(common) && own === 0)
    say(
      'error',
      ['loadStatus', 'listen'],
      'load status messages are authenticated: write secret or secretFile, here or for servers',
    );
  const formula = at(common, 'formula');
  const terms = ['traffic', 'cpu', 'memory', 'tunnels', 'sessions'];
  if (isRecord(formula) && !terms.some((term) => typeof formula[term] === 'number' && formula[term] > 0))
    say('error', ['loadStatus', 'formula'], `nothing would count: one of ${terms.join(', ')} needs a number above 0`);
}

/** Who takes over whose tunnels, and that somebody listens to those who say so. */
function checkTakeOver(data: unknown, say: Say): void {
  const common = at(data, 'takeOver');
  const has = (key: string): boolean => at(common, key) !== undefined;
  if (has('secret') && has('secretFile'))
    say('error', ['takeOver', 'secretFile'], 'either secret or secretFile, not both');
  if (has('listen') && !has('secret') && !has('secretFile'))
    say('error', ['takeOver', 'listen'], 'take-over messages are authenticated: write secret or secretFile');
  list(at(data, 'vips')).forEach((vip, v) => {
    const names = list(at(vip, 'servers')).map((server) => at(server, 'name'));
    list(at(vip, 'servers')).forEach((server, s) => {
      const peer = at(server, 'peer');
      if (typeof peer !== 'string') return;
      const path: Path = ['vips', v, 'servers', s, 'peer'];
      if (peer === at(server, 'name')) say('error', path, 'a server cannot be its own peer');
      else if (!names.includes(peer))
        say('error', path, `no server of this VIP is called ${peer}${suggestion(peer, names.filter(isText))}`);
      else if (!has('listen')) say('warning', path, 'means nothing without takeOver.listen');
    });
  });
}

const isText = (value: unknown): value is string => typeof value === 'string';

function surveyVips(data: unknown): KnownVip[] {
  return list(at(data, 'vips')).map((vip, index) => {
    const path: Path = ['vips', index];
    const protocols =
      at(vip, 'protocols') === undefined ? ['l2tp'] : list(at(vip, 'protocols')).filter((p) => typeof p === 'string');
    const ownPort = protocols.some((protocol) => BUILT_PROTOCOLS.includes(protocol))
      ? DEFAULT_PORTS[protocols[0] as Protocol]
      : null;
    const servers = list(at(vip, 'servers'));
    return {
      ...survey(vip, path, ownPort),
      protocols,
      servers: servers.map((server, i) => survey(server, [...path, 'servers', i], ownPort)),
      weights: servers.map((server) => at(server, 'weight') ?? 1),
    };
  });
}

function survey(item: unknown, path: Path, ownPort: number | null): Known {
  const name = at(item, 'name');
  const address = at(item, 'address');
  const parsed = typeof address === 'string' ? parseUnicast(address) : null;
  const port = at(item, 'port') ?? ownPort;
  return {
    name: typeof name === 'string' ? name : null,
    address: parsed !== null && 'value' in parsed ? parsed.value : null,
    port: typeof port === 'number' ? port : null,
    path,
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function at(value: unknown, ...keys: string[]): unknown {
  return keys.reduce<unknown>((inner, key) => (isRecord(inner) ? inner[key] : undefined), value);
}

/** A value alone is a list of one; what is absent is an empty one. */
function list(value: unknown): unknown[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? value : [value];
}

function each(value: unknown, path: Path, visit: (item: unknown, path: Path) => void): void {
  list(value).forEach((item, index) => visit(item, Array.isArray(value) ? [...path, index] : path));
}
