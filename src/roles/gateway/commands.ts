/** What an operator may ask of gateway groups: `POST /v1/command/<name>`; for every role that runs groups. */
import { DesignatorError } from '../../errors.js';
import { type Mac, readMac } from '../../gateway/mac.js';
import type { CommandResult } from '../../gateway/types.js';
import type { EndpointCommand } from '../../ops/endpoint.js';
import { formatWords, parseAddress, parseMac } from '../../wire/address.js';
import type { GroupRunner } from './runner.js';
import { type GroupsHost, hasAddress } from './tables.js';

export function groupCommands(host: GroupsHost): Map<string, EndpointCommand> {
  const group = { type: 'string', minLength: 1, maxLength: 63 } as const;
  const gateway = { type: 'integer', minimum: 1, maximum: 255 } as const;
  const body = (properties: Record<string, unknown>, required: string[]) => ({
    type: 'object',
    additionalProperties: false,
    properties: { group, ...properties },
    required,
  });
  return new Map<string, EndpointCommand>([
    [
      'resign',
      {
        description: 'give up the office of master',
        body: body({}, []),
        run: (written) => {
          const runner = runnerOf(host, written);
          outcome(runner, runner.resign());
          return { group: runner.name };
        },
      },
    ],
    [
      'move',
      {
        description: 'give a host, or all hosts, to a gateway',
        body: body({ host: { type: 'string', minLength: 1, maxLength: 45 }, gateway }, ['host', 'gateway']),
        run: (written) => {
          const runner = runnerOf(host, written);
          const mac = macOf(host, runner, String(written.host));
          return outcome(runner, runner.move(mac, Number(written.gateway)));
        },
      },
    ],
    [
      'redistribute',
      {
        description: 'take a dead gateway for failed for good: its hosts are given to others now',
        body: body({ gateway }, ['gateway']),
        run: (written) => {
          const runner = runnerOf(host, written);
          return outcome(runner, runner.declareDead(Number(written.gateway)));
        },
      },
    ],
  ]);
}

/** The group that a command names, or the only one. Errors: TD_CONFLICT, TD_NOT_FOUND, TD_USAGE. */
function runnerOf(host: GroupsHost, { group }: Readonly<Record<string, unknown>>): GroupRunner {
  const runners = host.runners().filter(({ running }) => running);
  if (runners.length === 0) throw new DesignatorError('TD_CONFLICT', 'the gateway does not run yet, or not any more');
  const names = runners.map(({ name }) => name).join(', ');
  if (group === undefined) {
    if (runners.length === 1) return runners[0];
    throw new DesignatorError('TD_USAGE', `say which group: ${names}`);
  }
  const found = runners.find(({ name }) => name === group);
  if (found === undefined) throw new DesignatorError('TD_NOT_FOUND', `no group "${group}"; there are ${names}`);
  return found;
}

/** null: all. Errors: TD_NOT_FOUND, TD_USAGE. */
function macOf(host: GroupsHost, runner: GroupRunner, written: string): Mac | null {
  if (written === 'all') return null;
  const mac = parseMac(written);
  if (mac !== null) return readMac(mac);
  const words = parseAddress(written);
  if (words === null)
    throw new DesignatorError('TD_USAGE', `"${written}" is no MAC address, IP address or "all"`, { host: written });
  const row = runner.group.hosts(host.now()).find((entry) => hasAddress(entry, formatWords(words)));
  if (row === undefined) throw new DesignatorError('TD_NOT_FOUND', `no host has the address ${written}`);
  return row.mac;
}

function outcome(runner: GroupRunner, result: CommandResult): object {
  if (!result.ok) throw new DesignatorError('TD_CONFLICT', `group ${runner.name}: ${result.why}`);
  return { group: runner.name, hosts: result.hosts };
}
