/** The section `announce`: checked, and with addresses and prefixes read. */
import type { z } from 'zod';
import type { announceSection } from './cluster-schema.js';
import type { CompiledVip, ConfigProblem, Prefix } from './compiled.js';
import { parseDuration } from './durations.js';
import type { ConfigSource, Path } from './source.js';
import type { ConfigInput } from './schema.js';
import { parsePrefix } from './values.js';

export type AnnounceInput = z.output<typeof announceSection>;

export interface AnnounceConfig {
  /** Whole addresses: /32 or /128. */
  readonly addresses: readonly Prefix[];
  readonly inside: readonly Prefix[];
  readonly table: number;
  readonly insideTable: number;
  readonly device: string;
  /** Seconds. */
  readonly settle: number;
  readonly linger: number;
}

/** Tables that the kernel itself looks into: a route there would be the host's own. */
const HOST_TABLES: Readonly<Record<number, string>> = { 253: 'default', 254: 'main', 255: 'local' };

/** The file's shape is right. */
export function checkAnnounce(
  source: ConfigSource,
  whole: Pick<ConfigInput, 'announce' | 'vips' | 'part'>,
): ConfigProblem[] {
  const { announce: input, part } = whole;
  if (input === undefined) return [];
  const problems: ConfigProblem[] = [];
  const say = (path: Path, message: string): void =>
    void problems.push(source.problem('error', ['announce', ...path], message));
  for (const key of ['table', 'insideTable'] as const) {
    const host = HOST_TABLES[input[key]];
    if (host !== undefined) say([key], `table ${input[key]} is the host’s own (${host}): take another`);
  }
  if (input.table === input.insideTable) say(['insideTable'], 'it must not be the table of the addresses');
  const known = new Set(
    whole.vips.flatMap(({ address, natAddress }) => [
      ...(part === 'nat' ? [] : [textOf(address)]),
      ...(part === 'master' || natAddress === undefined ? [] : [textOf(natAddress)]),
    ]),
  );
  if (Array.isArray(input.addresses))
    input.addresses.forEach((address, index) => {
      if (!known.has(textOf(address)))
        say(['addresses', index], `${address} is no address of this process: no VIP, no natAddress`);
    });
  if (input.addresses.length === 0 && input.inside === undefined) say([], 'it announces nothing');
  return problems;
}

/** `addresses`: VIPs and NAT addresses that this process answers for. */
export function compileAnnounce(input: AnnounceInput, addresses: readonly string[]): AnnounceConfig | null {
  if (input === undefined) return null;
  const wanted = input.addresses === 'vips' ? addresses : input.addresses;
  return {
    addresses: [...new Map(wanted.map((text) => [textOf(text), prefixOf(text)])).values()],
    inside: [input.inside ?? []].flat().map(prefixOf),
    table: input.table,
    insideTable: input.insideTable,
    device: input.device,
    settle: parseDuration(input.settle) as number,
    linger: parseDuration(input.linger) as number,
  };
}

/** Addresses that a process with these VIPs answers for. A NAT server's VIPs are at their NAT addresses already. */
export function announcedAddresses(
  vips: readonly Pick<CompiledVip, 'address' | 'natAddress'>[],
  part: 'all' | 'master' | 'nat',
): string[] {
  return vips.flatMap(({ address, natAddress }) => [
    address,
    ...(part === 'master' || natAddress === null || natAddress === undefined ? [] : [natAddress.address]),
  ]);
}

function prefixOf(text: string): Prefix {
  const parsed = parsePrefix(text);
  if ('error' in parsed) throw new TypeError(`${text} has passed the schema and is no prefix`);
  return parsed.value;
}

function textOf(written: string): string {
  const parsed = parsePrefix(written);
  return 'value' in parsed ? parsed.value.text : written;
}
