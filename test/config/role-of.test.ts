import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { register as check } from '../../src/cli/check.js';
import { socketOf } from '../../src/cli/client.js';
import { readRoleConfig, roleOfFile } from '../../src/config/role-file.js';
import { roleOf } from '../../src/config/role-of.js';
import { runCli } from '../cli/run.js';

const folder = mkdtempSync(join(tmpdir(), 'td-role-of-'));
afterAll(() => rmSync(folder, { recursive: true }));
const FILES = {
  designator: 'interfaces: { outside: wan0, inside: lan0 }\nvips: []\n',
  lns: 'name: lns1\nlisten: 10.10.1.1\nusers: { file: /u }\npools: [{ name: a, ipv4: 10.64.0.0/24 }]\n',
  lac: 'name: lac1\naccess: { pppoe: { interfaces: eth1 } }\nlns: []\n',
  gateway:
    'groups:\n  - { name: a, group: 1, interface: eth0, number: 1, addresses: [10.0.0.254], key: { text: sixteen letters! } }\n',
  agent: 'server: lns1\ndesignators: 10.0.0.1:7017\nsecret: sixteen letters!\n',
} as const;
const written = (name: string, text: string): string => {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
};

test.each([
  [null, 'designator'],
  ['text', 'designator'],
  [{}, 'designator'],
  [{ vips: [], pools: [] }, 'designator'],
  [{ pools: [] }, 'lns'],
  [{ lns: [] }, 'lac'],
  [{ designators: [] }, 'agent'],
  [{ groups: [] }, 'gateway'],
])('%j is the file of a role: %s', (data, role) => expect(roleOf(data)).toBe(role));

test.each([
  ['designator', '/run/designator/control.sock'],
  ['lns', '/run/designator/lns.sock'],
  ['lac', '/run/designator/lac.sock'],
  ['gateway', '/run/designator/gateway.sock'],
] as const)('commands find the default socket of a %s by its file', (role, socket) => {
  const file = written(`${role}.yaml`, FILES[role]);
  expect(socketOf({ config: file }, '/')).toBe(socket);
  const named = written('named.yaml', `${FILES[role]}control: { socket: /run/mine.sock }\n`);
  expect(socketOf({ config: named }, '/')).toBe('/run/mine.sock');
});

test('check judges a file by the rules of its role, and says whose it is', async () => {
  const run = (file: string) => runCli([check], ['check', '-c', file]);
  const fine = await run(written('lns.yaml', FILES.lns));
  expect([fine.status, fine.stdout]).toEqual([0, '']);
  expect(fine.stderr).toMatch(/lns\.yaml \(lns\): fine\n$/);
  const wrong = await run(written('wrong.yaml', `${FILES.lns}ipv4: { pool: b }\n`));
  expect(wrong.status).toBe(78);
  expect(wrong.stdout).toContain('5:15: ipv4.pool: there is no IPv4 pool b');
  const agent = await run(written('agent.yaml', FILES.agent.replace('secret: sixteen letters!', '')));
  expect(agent.status).toBe(78);
  expect(agent.stderr).toMatch(/\(agent\): 1 error\n$/);
});

test('a file that cannot be read is left to the designator’s reader; a LAC’s errors come as they are', () => {
  expect(roleOfFile(join(folder, 'nowhere.yaml'))).toBe('designator');
  expect(roleOfFile(written('broken.yaml', 'pools: ['))).toBe('designator');
  const problems = readRoleConfig('lac', written('lac2.yaml', FILES.lac), 'lac.yaml');
  expect(problems.some(({ file, path }) => file === 'lac.yaml' && path.startsWith('lns'))).toBe(true);
});
