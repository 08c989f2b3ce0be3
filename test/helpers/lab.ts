/** Labs in tests: one lab a file, skipped with a reason where it cannot be, and logs when a test fails. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { afterAll, afterEach, describe, test } from 'vitest';
import { LabAppliance, type ReadyLine } from '../../src/demo/lab/appliance.js';
import { type EndpointOptions, type LabEndpoint, startEndpoint } from '../../src/demo/lab/endpoint.js';
import { Lab, labProblem } from '../../src/demo/lab/lab.js';
import type { Namespace } from '../../src/demo/lab/namespace.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import type { TunnelRow } from '../../src/ops/appliance.js';
import { BASE, missingPackages, type Program } from '../../src/demo/lab/packages.js';
import { ScriptedClient, ScriptedServer, type ServerScript } from './l2tp-peer.js';
import { UdpAgent } from './udp-agent.js';

const MAIN = resolve(import.meta.dirname, '../../dist/main.js');
/** The words that start the product. */
export const SELF: readonly [string, string] = [process.execPath, MAIN];

/** Why the lab tests cannot run here, or null. */
function problem(programs: readonly Program[]): string | null {
  const rights = labProblem();
  if (rights !== null) return rights;
  const missing = missingPackages(process.env, [...BASE, ...programs]);
  if (missing.length > 0) return `needs these packages: apt-get install ${missing.join(' ')}`;
  return existsSync(MAIN) ? null : 'needs dist: npm run build';
}

/**
 * A group of tests that need a lab. Where there can be none they are skipped, and the reason stands in the title; with
 * TD_REQUIRE_LAB=1 that is a failure. `open` makes a lab that is closed after the group.
 */
export function describeLab(
  title: string,
  programs: readonly Program[],
  define: (open: () => Promise<Lab>) => void,
): void {
  const reason = problem(programs);
  if (reason !== null && process.env.TD_REQUIRE_LAB === '1') {
    describe(title, () => {
      test('the lab can be made', () => {
        throw new Error(reason);
      });
    });
    return;
  }
  describe.skipIf(reason !== null)(reason === null ? title : `${title} (${reason})`, () => {
    const labs: Lab[] = [];
    afterEach(({ task }) => {
      if (task.result?.state !== 'fail') return;
      for (const daemon of labs.flatMap(({ daemons }) => daemons))
        process.stderr.write(`--- ${daemon.label}\n${daemon.tail(40)}\n`);
    });
    afterAll(async () => {
      for (const lab of labs) await lab.close();
    });
    define(async () => {
      const lab = await Lab.open({ pid: process.pid, env: process.env });
      labs.push(lab);
      return lab;
    });
  });
}

/** The product, running, in a namespace. */
export async function startAppliance(
  lab: Lab,
  namespace: Namespace,
  config: Readonly<Record<string, unknown>>,
  name?: string,
): Promise<LabAppliance & { readyLine: ReadyLine }> {
  const appliance = new LabAppliance(lab, namespace, { self: SELF, config, name });
  const readyLine = await appliance.start();
  return Object.assign(appliance, { readyLine });
}

/** Our LNS, running, in a namespace. `users`: subscribers in a file that the configuration then names. */
export function startLns(
  lab: Lab,
  namespace: Namespace,
  config: Readonly<Record<string, unknown>>,
  options: Pick<EndpointOptions, 'users' | 'name' | 'env'> = {},
): Promise<LabEndpoint> {
  return startEndpoint(lab, namespace, { role: 'lns', self: SELF, config, ...options });
}

/** Our LAC, running, in a namespace. */
export function startLac(
  lab: Lab,
  namespace: Namespace,
  config: Readonly<Record<string, unknown>>,
  options: Pick<EndpointOptions, 'name' | 'env'> = {},
): Promise<LabEndpoint> {
  return startEndpoint(lab, namespace, { role: 'lac', self: SELF, config, ...options });
}

export async function scriptedServer(
  namespace: Namespace,
  address: string,
  script: ServerScript & { readonly port?: number; readonly floatTo?: number } = {},
): Promise<ScriptedServer> {
  const agent = new UdpAgent(namespace);
  const socket = await agent.bind(address, script.port ?? 1701);
  const answerFrom = script.floatTo === undefined ? undefined : await agent.bind(address, script.floatTo);
  return new ScriptedServer(socket, { ...script, answerFrom });
}

/** From `address`, port 1701 unless told otherwise. */
export async function scriptedClient(
  namespace: Namespace,
  address: string,
  vip: string,
  port = 1701,
  vipPort = 1701,
  secret = '',
): Promise<ScriptedClient> {
  return new ScriptedClient(await new UdpAgent(namespace).bind(address, port), vip, vipPort, secret);
}

/** With XDP: waits until so many tunnels are forwarded by the kernel. With another adapter there is nothing to wait for. */
export async function untilForwarded(appliance: LabAppliance, tunnels: number): Promise<void> {
  if (process.env.TD_TEST_IO !== 'xdp') return;
  const rows = async (): Promise<TunnelRow[]> => (await appliance.established()).filter((row) => row.offloaded);
  const words = async (): Promise<string> => JSON.stringify(await appliance.tunnels());
  await waitFor(`${tunnels} tunnels in the kernel`, async () => (await rows()).length === tunnels, 10_000, words);
}
