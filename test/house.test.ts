/** The rules of the house, read from the source itself (docs/architecture.md says why they are as they are). */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describe, expect, test } from 'vitest';
import { codeOnly, filesBelow, importsOf, read, target } from './helpers/source-tree.js';

const SOURCES = filesBelow('src', ['.ts']);
const LINE_LIMIT = 500;
const MAIN_LINE_LIMIT = 80;

/** src/flow/hash.ts → flow; src/errors.ts → errors. */
const folderOf = (path: string): string => path.split('/')[1].replace(/\.ts$/, '');

/** Whose code a folder may import besides its own. `types`: only what is gone when the program runs. */
const ARROWS: Readonly<Record<string, { code: readonly string[]; types?: readonly string[] }>> = {
  errors: { code: [] },
  wire: { code: [] },
  flow: { code: [] },
  tunnels: { code: ['wire'] },
  designation: { code: ['flow'] },
  protocol: { code: ['wire', 'tunnels', 'flow'] },
  gateway: { code: ['wire', 'tunnels', 'flow'] },
  dataplane: { code: ['wire', 'flow', 'tunnels', 'designation'], types: ['io'] },
  io: { code: ['errors', 'wire', 'flow'] },
  config: { code: ['errors', 'wire', 'flow'] },
  ops: { code: ['errors', 'wire'], types: ['config'] },
  cluster: { code: ['errors', 'wire', 'flow'] },
  workers: { code: ['errors', 'wire', 'flow', 'tunnels', 'designation', 'dataplane', 'io'], types: ['config'] },
  roles: {
    code: [
      'errors',
      'wire',
      'flow',
      'tunnels',
      'designation',
      'dataplane',
      'io',
      'config',
      'ops',
      'cluster',
      'workers',
      'protocol',
      'gateway',
    ],
  },
  // The laboratory of `designator demo` and of the end-to-end tests: it starts programs, ours among them.
  demo: { code: ['errors', 'wire', 'tunnels'], types: ['ops'] },
  cli: { code: ['errors', 'config', 'ops', 'roles', 'demo'] },
  main: { code: ['cli'] },
  index: { code: ['errors', 'config', 'ops', 'roles'] },
};

/** The port is a contract: its constants may be read by those who may know io by its types only. */
const CONTRACT = 'src/io/port.ts';

function wrongArrows(file: string, source: string): string[] {
  const folder = folderOf(file);
  const arrows = ARROWS[folder];
  if (arrows === undefined) return [`${file}: the folder ${folder} is not in the house`];
  return importsOf(source).flatMap(({ specifier, typeOnly }) => {
    const imported = target(file, specifier);
    if (imported === null) return [];
    const to = folderOf(imported);
    if (to === folder || arrows.code.includes(to)) return [];
    if (arrows.types?.includes(to) && (typeOnly || imported === CONTRACT)) return [];
    return [`${file} → ${imported}`];
  });
}

describe('arrows', () => {
  test('every import goes where the house allows', () => {
    expect(SOURCES.length).toBeGreaterThan(50);
    expect(SOURCES.flatMap((file) => wrongArrows(file, read(file)))).toEqual([]);
  });

  test.each([
    ['src/flow/x.ts', "import { a } from '../wire/ipv4.js';"],
    ['src/dataplane/x.ts', "import { native } from '../io/native.js';"],
    ['src/dataplane/x.ts', "export * from '../ops/log.js';"],
    ['src/ops/x.ts', "import { load, type A } from '../config/load.js';"],
    ['src/config/x.ts', "const x = await import('../roles/designator/designator.js');"],
    ['src/colour/x.ts', ''],
  ])('%s with %j is noticed', (file, source) => expect(wrongArrows(file, source)).toHaveLength(1));

  test.each([
    ['src/dataplane/x.ts', "import type { Port } from '../io/native.js';\nimport { TURN } from '../io/port.js';"],
    ['src/ops/x.ts', "import {\n  type A,\n  type B,\n} from '../config/compiled.js';"],
    ['src/flow/x.ts', "// import { a } from '../wire/ipv4.js';\nimport { b } from './hash.js';"],
  ])('%s with %j is allowed', (file, source) => expect(wrongArrows(file, source)).toEqual([]));
});

/** Members that only the global has: a variable may well be called process. */
const GLOBAL_PROCESS =
  /(?<![.\w])process\s*\.\s*(env|argv|execPath|execArgv|exit|exitCode|abort|stdout|stderr|stdin|on|once|off|emit\w*|kill|pid|ppid|cwd|chdir|umask|hrtime|uptime|memoryUsage|resourceUsage|cpuUsage|versions?|platform|arch|nextTick|title|[gs]ete?[ug]id|binding|report)\b/;

describe('who may do what', () => {
  const users = (matches: (specifier: string) => boolean): string[] =>
    SOURCES.filter((file) => importsOf(read(file)).some(({ specifier, typeOnly }) => !typeOnly && matches(specifier)));
  const usersOfCode = (pattern: RegExp): string[] => SOURCES.filter((file) => pattern.test(codeOnly(read(file))));

  test('only io loads native code', () => {
    expect(users((name) => ['raw-socket', 'node-gyp-build'].includes(name)).map(folderOf)).not.toContainEqual(
      expect.not.stringMatching(/^io$/),
    );
    const loaders = SOURCES.filter((file) => /\.node\b['"`]|createRequire/.test(read(file))).map(folderOf);
    expect(new Set(loaders)).toEqual(new Set(['io']));
  });

  test('only workers uses threads', () => {
    const threads = users((name) => ['node:worker_threads', 'piscina'].includes(name)).map(folderOf);
    expect(new Set(threads)).toEqual(new Set(['workers']));
  });

  test('only main touches the process', () => {
    const allowed = [
      'src/main.ts',
      // Which build of the addon to load is decided once a process, before there is any context to ask.
      'src/io/native.ts',
    ];
    const touching = [...usersOfCode(GLOBAL_PROCESS), ...users((name) => name === 'node:process')];
    expect([...new Set(touching)].filter((file) => !allowed.includes(file))).toEqual([]);
  });

  test('engines and codecs read no clock, start no timer and throw no dice', () => {
    const pure = SOURCES.filter(
      (file) =>
        ['protocol', 'gateway', 'wire', 'tunnels', 'flow', 'designation', 'dataplane'].includes(folderOf(file)) ||
        (folderOf(file) === 'cluster' && !file.startsWith('src/cluster/drivers/')),
    );
    const impure = /\b(setTimeout|setInterval|setImmediate|Math\.random|Date\.now|performance\.now|new Date)\b/;
    expect(pure.length).toBeGreaterThan(20);
    expect(pure.filter((file) => impure.test(codeOnly(read(file))))).toEqual([]);
  });

  test('the hot path has no BigInt', () => {
    const hot = SOURCES.filter((file) => ['flow', 'dataplane', 'designation'].includes(folderOf(file)));
    expect(hot.filter((file) => /\bBigInt\b|\b\d+n\b|BigUint64Array|BigInt64Array/.test(codeOnly(read(file))))).toEqual(
      [],
    );
  });
});

describe('sizes and words', () => {
  const written = [
    ...['src', 'test', 'bench', 'scripts', 'native', 'docs', '.ci']
      .filter((folder) => existsSync(folder))
      .flatMap((folder) => filesBelow(folder, [''])),
    ...[
      'README.md',
      'CHANGELOG.md',
      'CONTRIBUTING.md',
      'package.json',
      'package-lock.json',
      'binding.gyp',
      'tsconfig.json',
      'biome.json',
      'vitest.config.ts',
      '.npmrc',
      '.gitignore',
    ].filter((file) => existsSync(file)),
  ].filter((file) => !file.startsWith('test/fixtures/') && !/\.(pcap|png|bin|node|o)$/.test(file));

  test(`main.ts has fewer than ${MAIN_LINE_LIMIT} lines`, () => {
    expect(read('src/main.ts').split('\n').length).toBeLessThan(MAIN_LINE_LIMIT);
  });

  test(`no source file has more than ${LINE_LIMIT} lines`, () => {
    const code = written.filter((file) => /\.(ts|mjs|cc|h|c)$/.test(file));
    expect(code.filter((file) => read(file).trimEnd().split('\n').length > LINE_LIMIT)).toEqual([]);
  });

  test('nothing is put off, nothing names one machine or one registry', () => {
    // Taken apart, so that this file does not hold what it looks for.
    const words = [
      'TO' + 'DO',
      'FIX' + 'ME',
      ' X' + 'XX', // a template of mkstemp has more of them
      '/wo' + 'rk/',
      'registry.np' + 'mjs',
      'regis' + 'try.yarnpkg',
      '/ro' + 'ot/',
      '/ho' + 'me/',
    ];
    const found = written.flatMap((file) =>
      words.filter((word) => read(file).includes(word)).map((word) => `${file}: ${word}`),
    );
    expect(written.length).toBeGreaterThan(100);
    expect(found).toEqual([]);
  });

  test('text files end with a newline and have no carriage returns', () => {
    expect(
      written.filter((file) => read(file) !== '' && (!read(file).endsWith('\n') || read(file).includes('\r'))),
    ).toEqual([]);
  });
});

describe('packages', () => {
  interface Locked {
    readonly version?: string;
    readonly resolved?: string;
    readonly engines?: { readonly node?: string };
    readonly link?: boolean;
  }
  const lock = JSON.parse(read('package-lock.json')) as { packages: Record<string, Locked> };
  const manifest = JSON.parse(read('package.json')) as Record<string, Record<string, string>>;
  const semver = createRequire(import.meta.url)('semver') as { satisfies(version: string, range: string): boolean };

  test('the lock file names no download addresses', () => {
    expect(Object.keys(lock.packages).length).toBeGreaterThan(50);
    expect(Object.entries(lock.packages).filter(([, { resolved }]) => resolved?.includes('://'))).toEqual([]);
  });

  test('every locked package supports Node 20.20', () => {
    const refusing = Object.entries(lock.packages).filter(
      ([path, { engines }]) => path !== '' && engines?.node !== undefined && !semver.satisfies('20.20.2', engines.node),
    );
    expect(refusing.map(([path, { version, engines }]) => `${path} ${version} wants ${engines?.node}`)).toEqual([]);
  });

  test('versions are pinned, and the lock file holds just these', () => {
    for (const kind of ['dependencies', 'devDependencies']) {
      for (const [name, version] of Object.entries(manifest[kind])) {
        expect(version, name).toMatch(/^\d+\.\d+\.\d+$/);
        expect(lock.packages[`node_modules/${name}`]?.version, name).toBe(version);
      }
    }
  });

  test('whatever the source imports at run time is a dependency', () => {
    const packageOf = (specifier: string): string =>
      specifier
        .split('/')
        .slice(0, specifier.startsWith('@') ? 2 : 1)
        .join('/');
    const used = SOURCES.flatMap((file) => importsOf(read(file)))
      .filter(({ specifier, typeOnly }) => !typeOnly && !specifier.startsWith('.') && !specifier.startsWith('node:'))
      .map(({ specifier }) => packageOf(specifier));
    expect([...new Set(used)].filter((name) => manifest.dependencies[name] === undefined)).toEqual([]);
  });
});

describe('tests', () => {
  const TESTS = filesBelow('test', ['.ts']);
  /** Run as a whole, in a process of their own. */
  const ELSEWHERE: readonly (readonly [path: string, how: string])[] = [
    ['src/main.ts', 'test/cli/main.test.ts starts it'],
    ['src/roles/', 'composition; test/e2e starts the appliance'],
    ['src/workers/', 'threads of the appliance; test/e2e starts it'],
    ['src/demo/', 'programs in namespaces; test/e2e uses the laboratory and runs the demo'],
    ['src/io/packet.ts', 'needs rights; every end-to-end test sends its packets through it'],
  ];

  test('every module with code is imported by a test, or by a neighbour that is', () => {
    const reached = new Set(
      TESTS.flatMap((file) => importsOf(read(file)).map(({ specifier }) => target(file, specifier))),
    );
    const pending = SOURCES.filter((file) => reached.has(file));
    for (let file = pending.pop(); file !== undefined; file = pending.pop()) {
      for (const { specifier } of importsOf(read(file))) {
        const path = target(file, specifier);
        if (path === null || reached.has(path) || folderOf(path) !== folderOf(file)) continue;
        reached.add(path);
        pending.push(path);
      }
    }
    const hasCode = (file: string): boolean =>
      /^(export )?(default |async |abstract )*(const|function|class|let|await) /m.test(codeOnly(read(file)));
    const untested = SOURCES.filter(
      (file) => hasCode(file) && !reached.has(file) && !ELSEWHERE.some(([path]) => file.startsWith(path)),
    );
    expect(untested).toEqual([]);
  });

  test('no test is skipped without a condition, none runs alone', () => {
    const bad = /\b(?:test|it|describe)\.(?:only|todo)\b|\b(?:test|it|describe)\.skip\(/;
    expect(TESTS.filter((file) => bad.test(codeOnly(read(file))))).toEqual([]);
  });
});
