/** The section `gateway` of a designator: checked, and in the form of every gateway group. */
import type { z } from 'zod';
import { formatWords } from '../wire/address.js';
import type { CompiledVip, ConfigProblem } from './compiled.js';
import { compileGatewayGroup, type GatewayGroupConfig, type GatewayGroupInput } from './gateway.js';
import { checkGatewayGroup } from './gateway-check.js';
import type { designatorGroups } from './designator-group-schema.js';
import type { ConfigSource, Path } from './source.js';
import { familyOf, parseInterface, parseUnicast } from './values.js';

export type DesignatorGroupsInput = z.output<typeof designatorGroups>;

export interface DesignatorGroups {
  readonly outside: GatewayGroupConfig | null;
  readonly inside: GatewayGroupConfig | null;
}

type Side = keyof DesignatorGroups;
type SideInput = NonNullable<NonNullable<DesignatorGroupsInput>[Side]>;

/** Defaults of keys that a designator has not. */
const FIXED = {
  accept: false,
  compatibility: 'none',
  rebalance: false,
  advertise: undefined,
} as const;

function wholeInput(side: Side, input: SideInput, device: string, addresses: readonly string[]): GatewayGroupInput {
  const preempt = input.preempt ?? input.algorithm !== 'master';
  return {
    ...FIXED,
    ...input,
    preempt,
    name: side,
    interface: device,
    addresses: input.addresses ?? addresses,
  } as never;
}

/** `input` has passed the schema. `folder`: what relative paths of keys are relative to. */
export function compileDesignatorGroups(
  input: DesignatorGroupsInput,
  devices: Readonly<Record<Side, string>>,
  vips: readonly CompiledVip[],
  folder: string,
): DesignatorGroups | null {
  if (input === undefined || (input.outside === undefined && input.inside === undefined)) return null;
  const oneArm = devices.outside === devices.inside;
  const addresses = new Set<string>();
  for (const { address, natAddress, localAddress } of vips) {
    addresses.add(address);
    if (natAddress != null) addresses.add(natAddress.address);
    if (localAddress != null && oneArm) addresses.add(localAddress.address);
  }
  const compiled = (side: Side, of: SideInput | undefined): GatewayGroupConfig | null =>
    of === undefined ? null : compileGatewayGroup(wholeInput(side, of, devices[side], [...addresses]), folder);
  return { outside: compiled('outside', input.outside), inside: compiled('inside', input.inside) };
}

interface VipInput {
  readonly name: string;
  readonly address: string;
  readonly algorithm: string;
  readonly natAddress?: string | undefined;
  readonly localAddress?: string | undefined;
}

/** The file's shape is right. */
export function checkDesignatorGroups(
  source: ConfigSource,
  input: DesignatorGroupsInput,
  vips: readonly VipInput[],
  interfaces: Readonly<Record<Side, string>>,
): ConfigProblem[] {
  if (input === undefined) return [];
  const problems: ConfigProblem[] = [];
  const say = (severity: ConfigProblem['severity'], path: Path, message: string): void =>
    void problems.push(source.problem(severity, ['gateway', ...path], message));
  for (const side of ['outside', 'inside'] as const) {
    const of = input[side];
    if (of === undefined) continue;
    const device = nameOf(interfaces[side]);
    const addresses = [...new Set(vips.map(({ address }) => textOf(address)))];
    checkGatewayGroup(wholeInput(side, of, device, addresses), (severity, at, message) =>
      say(severity, [side, ...at], message),
    );
  }
  const { outside, inside } = input;
  if (outside !== undefined && outside.group === inside?.group)
    say(
      'error',
      ['inside', 'group'],
      'the group outside has this number: a virtual MAC must tell which group it is of',
    );
  if (outside === undefined) return problems;
  const listed = outside.addresses?.map(textOf);
  const oneArm = nameOf(interfaces.outside) === nameOf(interfaces.inside);
  const insideListed = inside?.addresses.map(textOf) ?? [];
  for (const { name, address, algorithm, natAddress, localAddress } of vips) {
    if (listed !== undefined && !listed.includes(textOf(address)))
      say('error', ['outside', 'addresses'], `VIP ${name} is missing: the group answers for all of them or for none`);
    if (listed !== undefined && natAddress !== undefined && !listed.includes(textOf(natAddress)))
      say(
        'error',
        ['outside', 'addresses'],
        `natAddress of VIP ${name} is missing: whoever has the VIP answers for it`,
      );
    if (localAddress !== undefined && oneArm && listed !== undefined && !listed.includes(textOf(localAddress)))
      say(
        'error',
        ['outside', 'addresses'],
        `localAddress of VIP ${name} is missing: whoever has the VIP answers for it`,
      );
    if (localAddress !== undefined && !oneArm && !insideListed.includes(textOf(localAddress)))
      say(
        'error',
        inside === undefined ? ['outside'] : ['inside', 'addresses'],
        `localAddress of VIP ${name} must be among gateway.inside.addresses: whoever has the VIP answers for it there`,
      );
    if (algorithm !== 'maglev')
      say(
        'warning',
        ['outside'],
        `VIP ${name} has the algorithm ${algorithm}: only with maglev do all designators choose the same server`,
      );
  }
  return problems;
}

function textOf(written: string): string {
  const parsed = parseUnicast(written);
  const words = 'value' in parsed ? parsed.value : null;
  return words === null ? written : `${familyOf(words)} ${formatWords(words)}`;
}

function nameOf(written: string): string {
  const parsed = parseInterface(written);
  return 'value' in parsed ? parsed.value.name : written;
}
