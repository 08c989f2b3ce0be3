/** Which part of a cluster, which way of answering and which addresses fit together (document 001, FIG. 2 and 4). */
import { formatWords } from '../wire/address.js';
import type { AddressWords, ConfigProblem } from './compiled.js';
import type { Path } from './source.js';
import { familyOf, parseUnicast } from './values.js';

type Say = (severity: ConfigProblem['severity'], path: Path, message: string) => void;

interface Place {
  readonly text: string;
  readonly what: string;
  readonly path: Path;
}

/** `data`: the file as it is written. */
export function checkReplies(data: unknown, say: Say): void {
  const part = at(data, 'part') ?? 'all';
  const vips = list(at(data, 'vips'));
  const addresses = new Map<string, Place>();
  // VIPs and servers first: they are what further addresses collide with.
  for (const { words, what, path } of [...vips.flatMap(mainAddresses), ...vips.flatMap(ownAddresses)]) {
    const text = formatWords(words);
    if (!addresses.has(text)) addresses.set(text, { text, what, path });
  }
  checkServers(vips, part, say);
  vips.forEach((vip, v) => {
    const path: Path = ['vips', v];
    const reply = at(vip, 'reply') ?? 'vip';
    const oneWay = isOneWay(reply, part);
    if (part === 'master' && reply === 'vip')
      say(
        'error',
        [...path, 'reply'],
        'reply: vip needs both directions to cross one process: with part: master write nat or direct',
      );
    if (part === 'nat' && reply !== 'nat')
      say('error', [...path, 'reply'], `a process with part: nat has nothing to do for reply: ${String(reply)}`);
    if (reply === 'nat' && at(vip, 'natAddress') === undefined)
      say('error', [...path, 'reply'], 'reply: nat needs natAddress, the address that clients see answers come from');
    if (reply !== 'nat' && at(vip, 'natAddress') !== undefined)
      say('error', [...path, 'natAddress'], 'natAddress belongs to reply: nat');
    if (!oneWay && at(vip, 'localAddress') !== undefined)
      say(
        'error',
        [...path, 'localAddress'],
        'localAddress belongs to VIPs whose answers do not cross this process: reply: direct, or reply: nat with part: master',
      );
    if (oneWay && at(vip, 'clientPort') === 'distinct')
      say(
        'error',
        [...path, 'clientPort'],
        'clientPort: distinct changes the client’s port, and answers that do not cross this process would go to that one',
      );
    if (oneWay && at(vip, 'hiddenIds') === 'port')
      say('error', [...path, 'hiddenIds'], 'hiddenIds: port changes answers, and this VIP’s do not cross this process');
    for (const key of ['natAddress', 'localAddress'] as const) checkOwn(vip, [...path, key], addresses, say);
    list(at(vip, 'servers')).forEach((server, s) => {
      const place: Path = [...path, 'servers', s, 'globalAddress'];
      const words = parsed(at(server, 'globalAddress'));
      if (at(server, 'globalAddress') !== undefined && reply !== 'direct')
        say('error', place, 'globalAddress belongs to reply: direct');
      if (words === null) return;
      checkFamily(vip, words, place, say);
      const clash = addresses.get(formatWords(words));
      if (clash !== undefined && clash.what !== 'server')
        say('error', place, `${clash.text} is the ${clash.what} at ${clash.path.join('.')}`);
    });
  });
}

/** What comes from a server's address is either this process's to translate or nobody's but the client's. */
function checkServers(vips: readonly unknown[], part: unknown, say: Say): void {
  const kinds = new Map<string, { oneWay: boolean; path: Path }>();
  vips.forEach((vip, v) => {
    const oneWay = isOneWay(at(vip, 'reply'), part);
    list(at(vip, 'servers')).forEach((server, s) => {
      const words = parsed(at(server, 'address'));
      if (words === null) return;
      const path: Path = ['vips', v, 'servers', s, 'address'];
      const first = kinds.get(formatWords(words));
      if (first === undefined) kinds.set(formatWords(words), { oneWay, path });
      else if (first.oneWay !== oneWay)
        say(
          'error',
          path,
          `${formatWords(words)} is the server at ${first.path.join('.')} too, and answers of only one of the two cross this process: its packets could not be told apart`,
        );
    });
  });
}

const isOneWay = (reply: unknown, part: unknown): boolean =>
  reply === 'direct' || (reply === 'nat' && part === 'master');

/** An address of the designator's own: of the VIP's family and nobody else's. */
function checkOwn(vip: unknown, path: Path, addresses: ReadonlyMap<string, Place>, say: Say): void {
  const words = parsed(at(vip, String(path[path.length - 1])));
  if (words === null) return;
  checkFamily(vip, words, path, say);
  const text = formatWords(words);
  const clash = addresses.get(text);
  if (clash === undefined || clash.path.join('.') === path.join('.')) return;
  // Several VIPs may be answered from one NAT server's address, and ask from one local address.
  if (clash.what === path[path.length - 1]) return;
  say('error', path, `${text} is the ${clash.what} at ${clash.path.join('.')}`);
}

function checkFamily(vip: unknown, words: AddressWords, path: Path, say: Say): void {
  const own = parsed(at(vip, 'address'));
  if (own !== null && familyOf(own) !== familyOf(words))
    say('error', path, `${formatWords(words)} is not of the family of the VIP ${formatWords(own)}`);
}

interface Written {
  readonly words: AddressWords;
  readonly what: string;
  readonly path: Path;
}

function mainAddresses(vip: unknown, v: number): Written[] {
  const servers = list(at(vip, 'servers')).flatMap((server, s) =>
    written(server, 'address', 'server', ['vips', v, 'servers', s, 'address']),
  );
  return [...written(vip, 'address', 'VIP', ['vips', v, 'address']), ...servers];
}

function ownAddresses(vip: unknown, v: number): Written[] {
  return ['natAddress', 'localAddress'].flatMap((key) => written(vip, key, key, ['vips', v, key]));
}

function written(item: unknown, key: string, what: string, path: Path): Written[] {
  const words = parsed(at(item, key));
  return words === null ? [] : [{ words, what, path }];
}

function parsed(value: unknown): AddressWords | null {
  const result = typeof value === 'string' ? parseUnicast(value) : null;
  return result !== null && 'value' in result ? result.value : null;
}

function at(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)[key]
    : undefined;
}

function list(value: unknown): unknown[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? value : [value];
}
