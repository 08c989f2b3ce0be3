/** What needs more than one value of gateway groups to judge. */
import { isAbsolute } from 'node:path';
import { formatWords } from '../wire/address.js';
import type { ConfigProblem } from './compiled.js';
import { seconds, valid } from './endpoint-parts.js';
import type { GatewayGroupInput } from './gateway.js';
import { CISCO_GROUP_ID_MAX } from './gateway-schema.js';
import { SECRET_LENGTH } from './schema.js';
import type { ConfigSource, Path } from './source.js';
import { familyOf, parseSharedAddress } from './values.js';

type Say = (severity: 'error' | 'warning', path: Path, message: string) => void;
type Input = GatewayGroupInput;

/** Bytes of a key that GLBP's MD5 has room for. */
const GLBP_KEY_LIMIT = 55;
const LINK_LOCAL = 0xfe80 >>> 6;
/** Addresses that hosts make themselves have an interface identifier of 64 bits (RFC 4862 §5.5.3). */
const AUTONOMOUS_LENGTH = 64;
const KINDS = ['interface', 'route', 'script', 'load'] as const;

/** Problems between values, for groups whose shape is right; `above` is where the list stands in the file. */
export function checkGatewayRelations(
  source: ConfigSource,
  groups: readonly Input[],
  above: Path = ['groups'],
): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const say: Say = (severity, path, message) => void problems.push(source.problem(severity, path, message));
  const seen = new Map<string, string>();
  for (const [index, group] of groups.entries()) {
    const path = [...above, index];
    const once = (key: string, at: Path, message: string): void => {
      const other = seen.get(key);
      if (other !== undefined) say('error', [...path, ...at], `${message} group "${other}"`);
      else seen.set(key, group.name);
    };
    once(`name ${group.name}`, ['name'], `the name ${group.name} is already that of`);
    once(`id ${group.group} ${group.interface}`, ['group'], `on ${group.interface} this number is already that of`);
    for (const [n, written] of group.addresses.entries())
      once(
        `address ${textOf(written)} ${group.interface}`,
        ['addresses', n],
        `on ${group.interface} ${written} is already an address of`,
      );
    checkGatewayGroup(group, (severity, at, message) => say(severity, [...path, ...at], message));
  }
  return problems;
}

/** The same for one group; paths are below it. */
export function checkGatewayGroup(group: Input, say: Say): void {
  checkKey(group, say);
  if (group.mac === 'cisco' && group.group > CISCO_GROUP_ID_MAX)
    say('error', ['group'], `with \`mac: cisco\` it is at most ${CISCO_GROUP_ID_MAX}`);
  if (group.compatibility === 'glbp') checkGlbp(group, say);
  if (seconds(group.timeout) <= seconds(group.redirect))
    say('error', ['timeout'], 'it must be longer than redirect: what is still given out must be served');
  if (group.algorithm === 'host' && group.rebalance !== false)
    say(
      'warning',
      ['rebalance'],
      'with `algorithm: host` a host has the gateway that follows from it; nothing is moved',
    );
  if (group.algorithm === 'master' && group.rebalance !== false)
    say('warning', ['rebalance'], 'with `algorithm: master` all hosts have the master; nothing is moved');
  checkTracks(group.track, say);
  checkAdvertise(group, say);
}

function checkKey({ key, compatibility, glbp }: Input, say: Say): void {
  const isGlbp = compatibility === 'glbp';
  if (key === undefined) {
    if (!isGlbp || glbp.authentication !== 'none') say('error', ['key'], 'is missing');
    return;
  }
  if ((key.file === undefined) === (key.text === undefined)) say('error', ['key'], 'write either file or text');
  else if (!isGlbp && key.text !== undefined && key.text.length < SECRET_LENGTH.min)
    say('error', ['key', 'text'], `it needs at least ${SECRET_LENGTH.min} characters`);
  else if (isGlbp && glbp.authentication.startsWith('md5') && (key.text?.length ?? 0) > GLBP_KEY_LIMIT)
    say('error', ['key', 'text'], `a key of GLBP has at most ${GLBP_KEY_LIMIT} characters`);
}

function checkGlbp({ group, algorithm, addresses, glbp, replies }: Input, say: Say): void {
  if (algorithm === 'master') say('error', ['algorithm'], 'GLBP gives hosts to all its gateways');
  if (group > CISCO_GROUP_ID_MAX)
    say('error', ['group'], `with \`compatibility: glbp\` it is at most ${CISCO_GROUP_ID_MAX}`);
  if (addresses.length > 1) say('error', ['addresses', 1], 'GLBP has one shared address a group');
  if (seconds(glbp.hold) <= seconds(glbp.hello)) say('error', ['glbp', 'hold'], 'it must be longer than hello');
  if (replies === 'forwarder') say('error', ['replies'], 'GLBP has no message by which another gateway could answer');
}

function checkTracks(tracks: Input['track'], say: Say): void {
  const names = new Set<string>();
  for (const [index, track] of tracks.entries()) {
    const kinds = KINDS.filter((kind) => track[kind] !== undefined);
    if (kinds.length !== 1) say('error', ['track', index], `write one of ${KINDS.join(', ')}`);
    else if (track.forward && track.priority === undefined && track.weight === undefined)
      say('error', ['track', index], 'write what a failure costs: priority, weight or `forward: false`');
    const program = track.script?.[0];
    if (program !== undefined && !isAbsolute(program))
      say('error', ['track', index, 'script', 0], `${JSON.stringify(program)} is no absolute path`);
    if (track.name === undefined) continue;
    if (names.has(track.name)) say('error', ['track', index, 'name'], `the name ${track.name} is written twice`);
    names.add(track.name);
  }
}

function checkAdvertise({ advertise, addresses }: Input, say: Say): void {
  if (advertise === undefined) return;
  if (!addresses.some((written) => valid(parseSharedAddress(written))[0] >>> 22 === LINK_LOCAL))
    say('error', ['advertise'], 'router advertisements come from a link-local address: write one under addresses');
  const [interval, lifetime] = [seconds(advertise.interval), seconds(advertise.lifetime)];
  if (lifetime !== 0 && lifetime < interval)
    say('error', ['advertise', 'lifetime'], 'it is shorter than interval (RFC 4861 §6.2.1)');
  for (const [index, prefix] of advertise.prefixes.entries()) {
    const path = ['advertise', 'prefixes', index];
    if (seconds(prefix.preferred) > seconds(prefix.valid))
      say('error', [...path, 'preferred'], 'it is longer than valid (RFC 4861 §4.6.2)');
    if (prefix.autonomous && !prefix.prefix.endsWith(`/${AUTONOMOUS_LENGTH}`))
      say('warning', [...path, 'prefix'], `hosts make addresses only of prefixes of length ${AUTONOMOUS_LENGTH}`);
  }
}

/** One text an address, however it is written. */
function textOf(written: string): string {
  const words = valid(parseSharedAddress(written));
  return `${familyOf(words)} ${formatWords(words)}`;
}
