/** The section `master` of a tunnel endpoint, and what is wrong with the file that it names. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseAgentConfig } from '../../src/config/agent.js';
import { candidateProblems, checkedCandidate } from '../../src/config/candidate.js';
import { diffLns } from '../../src/config/lns-diff.js';
import { type LnsConfig, parseLnsConfig } from '../../src/config/lns.js';
import { parseConfig } from '../../src/config/load.js';
import { formatProblem } from '../../src/config/problem.js';
import { readRoleConfig } from '../../src/config/role-file.js';
import { DesignatorError } from '../../src/errors.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'candidate-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const file = (name: string, content: string): string => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};

const GROUP = `gateway:
  outside: { group: 7, number: 1, key: { text: sixteen letters! }, algorithm: master }
`;
const designator = (more = GROUP): string => `interfaces: { outside: lan0, inside: lan0 }
vips:
  - name: access
    address: 10.10.1.100
    algorithm: maglev
    servers: [{ name: lns1, address: 10.10.1.1 }]
${more}`;
const lns = (more: string): string => `name: lns1
listen: 10.10.1.1
pools: [{ name: a, ipv4: 10.64.0.0/24 }]
ipv4: { pool: a }
ppp: { authentication: none }
${more}`;
const agent = (more: string): string => `server: lns3
designators: 10.10.1.100:1800
secret: sixteen letters!
${more}`;

test('an LNS and an agent may name the file; without the section they carry nothing', () => {
  expect(parseLnsConfig('f', lns('master: { config: /etc/master.yaml }')).config?.master).toEqual({
    file: '/etc/master.yaml',
  });
  expect(parseLnsConfig('f', lns('')).config?.master).toBeNull();
  expect(parseAgentConfig('f', agent('master: { config: /etc/master.yaml }')).config?.master).toEqual({
    file: '/etc/master.yaml',
  });
  expect(parseAgentConfig('f', agent('')).config?.master).toBeNull();
});

test('what is no absolute path, or no key of the section, is an error with its line', () => {
  const said = (content: string) => parseLnsConfig('f', content).problems.map(formatProblem).join('\n');
  expect(said(lns('master: { config: master.yaml }'))).toContain('f:6:19: master.config: "master.yaml" is no absolute');
  expect(said(lns('master: { config: /a, port: 1 }'))).toContain('master.port: unknown key');
  expect(said(lns('master: {}'))).toContain('master.config');
});

test('a running LNS cannot change it', () => {
  const of = (more: string) => parseLnsConfig('f', lns(more)).config as LnsConfig;
  expect(diffLns(of(''), of('master: { config: /a }')).refused).toMatchObject([{ path: 'master' }]);
});

describe('`check` of the endpoint’s file reads the other one as well', () => {
  test('and finds nothing', () => {
    const master = file('master.yaml', designator());
    expect(readRoleConfig('lns', file('lns.yaml', lns(`master: { config: ${master} }`)))).toEqual([]);
    expect(readRoleConfig('agent', file('agent.yaml', agent(`master: { config: ${master} }`)))).toEqual([]);
  });

  test('and tells its errors under its name', () => {
    const master = file('master.yaml', designator(`${GROUP}workers: -1\n`));
    const [problem] = readRoleConfig('lns', file('lns.yaml', lns(`master: { config: ${master} }`)));
    expect(formatProblem(problem)).toMatch(new RegExp(`^${master}:9:10: workers: `));
    expect(() => checkedCandidate({ file: master })).toThrow(DesignatorError);
  });

  test('and says when it is not there', () => {
    const missing = join(folder, 'missing.yaml');
    const problems = readRoleConfig('agent', file('agent.yaml', agent(`master: { config: ${missing} }`)));
    expect(problems.map(formatProblem).join()).toContain(missing);
    expect(problems).toMatchObject([{ severity: 'error' }]);
  });

  test('and warns of a candidate without a group', () => {
    const master = file('master.yaml', designator(''));
    expect(candidateProblems({ file: master })).toMatchObject([{ severity: 'warning', path: 'gateway' }]);
    expect(checkedCandidate({ file: master })).toHaveLength(1);
    expect(checkedCandidate(null)).toEqual([]);
  });
});

describe('a group in which all hosts have the master', () => {
  const outside = (keys: string) =>
    parseConfig('f', designator(GROUP.replace('algorithm: master', keys))).config?.gateway?.outside;

  test('leaves the office where it is, unless told otherwise', () => {
    expect(outside('algorithm: master')).toMatchObject({
      algorithm: 'master',
      preemptDelaySeconds: null,
      return: 'stay',
    });
    expect(outside('algorithm: master, preempt: true')).toMatchObject({ preemptDelaySeconds: 5 });
    expect(outside('algorithm: weighted')).toMatchObject({ preemptDelaySeconds: 5 });
    expect(outside('algorithm: weighted, preempt: false')).toMatchObject({ preemptDelaySeconds: null });
  });
});

describe('the files that an operator begins with', () => {
  const example = (name: string): string => readFileSync(join('docs/examples/candidate', name), 'utf8');

  test('are without a problem', () => {
    expect(parseLnsConfig('lns1.yaml', example('lns1.yaml'))).toMatchObject({
      problems: [],
      config: { master: { file: '/etc/designator/master.yaml' } },
    });
    expect(parseAgentConfig('agent3.yaml', example('agent3.yaml'))).toMatchObject({ problems: [] });
    expect(parseConfig('master.yaml', example('master.yaml'))).toMatchObject({
      problems: [],
      config: { gateway: { outside: { algorithm: 'master' } } },
    });
  });

  test('are those of docs/master.md', () => {
    const blocks = [...readFileSync('docs/master.md', 'utf8').matchAll(/```yaml\n(.*?)```/gs)].map(
      ([, block]) => block,
    );
    expect(blocks).toHaveLength(2);
    expect(parseLnsConfig('page', blocks[0])).toMatchObject({ problems: [] });
    expect(parseConfig('page', blocks[1])).toMatchObject({ problems: [] });
  });
});
