import { EventEmitter } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { CliContext } from '../../src/cli/context.js';
import { type RoleProcess, runRole } from '../../src/cli/role.js';
import { register } from '../../src/cli/show.js';
import { DesignatorError } from '../../src/errors.js';
import { FakeEndpoint } from '../helpers/fake-endpoint.js';
import { runCli } from './run.js';

let folder: string;
let socket: string;
let calls: string[];
let endpoint: FakeEndpoint;
const signals = new EventEmitter();

const role = (values: Partial<RoleProcess> = {}): RoleProcess => ({
  endpoint,
  start: async () => {
    calls.push('start');
    return {};
  },
  stop: async () => void calls.push('stop'),
  ...values,
});

/** The role in this process until `run` has resolved; a fake context stands for main.ts. */
async function during(process: RoleProcess, run: () => Promise<void>): Promise<void> {
  const context = {
    version: '1.2.3',
    nodeVersion: '20.0.0',
    onSignal: (signal: string, listener: () => void) => {
      signals.on(signal, listener);
      return () => signals.off(signal, listener);
    },
  } as unknown as CliContext;
  const settings = { logLevel: 'error', control: { socket, http: null }, warnings: [] } as const;
  const done = runRole(context, settings, () => process);
  const ready = (async () => {
    while (!calls.includes('start')) await new Promise((next) => setImmediate(next));
  })();
  await Promise.race([ready, done]);
  await run();
  signals.emit('SIGTERM');
  await done;
}

const show = (args: string) => runCli([register], ['show', ...args.split(' '), '--socket', socket]);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'td-role-'));
  socket = join(folder, 'control.sock');
  calls = [];
  endpoint = new FakeEndpoint();
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('a role in the foreground', () => {
  test('starts, answers, and ends in order at SIGTERM', async () => {
    await during(role(), async () => {
      expect((await show('tunnels --json')).status).toBe(0);
    });
    expect(calls).toEqual(['start', 'stop']);
    expect(signals.listenerCount('SIGTERM') + signals.listenerCount('SIGHUP')).toBe(0);
    expect((await show('tunnels')).status).toBe(69);
  });

  test('a start that fails frees what was taken and keeps its error', async () => {
    const failing = role({
      start: async () => {
        throw new DesignatorError('TD_NO_PERMISSION', 'no CAP_NET_ADMIN');
      },
    });
    await expect(during(failing, async () => {})).rejects.toMatchObject({ code: 'TD_NO_PERMISSION' });
    expect(calls).toEqual(['stop']);
  });

  test('SIGHUP reloads once the role takes calls', async () => {
    let reloads = 0;
    endpoint.reload = async () => {
      reloads++;
      return endpoint.reloadResult;
    };
    await during(role(), async () => {
      signals.emit('SIGHUP');
      endpoint.isReady = false;
      signals.emit('SIGHUP');
    });
    expect(reloads).toBe(1);
  });
});

describe('show at an LNS', () => {
  test('tunnels for people have the columns of the role', async () => {
    await during(role(), async () => {
      expect((await show('tunnels --limit 1')).stdout).toBe(
        [
          'peer            host name  tunnel  peer tunnel  local           state        sessions  Ns  Nr  age',
          '192.0.2.9:1701  lac1            7        40505  10.10.1.1:1701  established         2  12   9  61s',
          '',
        ].join('\n'),
      );
      expect((await show('drops')).stdout).toContain('spoofed        3  a source that is not the subscriber’s\n');
    });
  });

  test('a table that the role has not is no crash', async () => {
    await during(role(), async () => {
      expect((await show('pools')).status).toBe(69);
      expect((await show('tunnels --vip access')).status).toBe(64);
    });
  });
});
