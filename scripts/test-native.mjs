// Tests of the native core without Node: native/test/*_test.cc with g++, then libFuzzer over native/test/*_fuzz.cc with
// clang, all under ASan and UBSan. The last line is 'N passed, N failed, N skipped'.
// node scripts/test-native.mjs [--fuzz[=SECONDS] | --addon] [NAME …]
//   --addon: instead, test/native (vitest) over the addon built with the sanitizers
//   NAME: only fuzz targets whose name contains it   --fuzz: no unit tests, 60 s for each target
//   TD_FUZZ_SECONDS: for each target, 10 by default  TD_REQUIRE_LAB=1: what cannot run is a failure
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';

process.chdir(path.resolve(import.meta.dirname, '..'));

const FUZZ_SECONDS = 60;
const SMOKE_SECONDS = 10;
const OUT = 'build/native-test';
const WARNINGS = ['-Wall', '-Wextra', '-Wshadow', '-Werror'];
const COMMON = ['-std=c++20', '-D_GNU_SOURCE', '-O1', '-g', '-fno-omit-frame-pointer', ...WARNINGS];
const SANITIZE = ['-fsanitize=address,undefined', '-fno-sanitize-recover=undefined'];

const fuzzOption = process.argv.find((arg) => arg === '--fuzz' || arg.startsWith('--fuzz='));
const wanted = process.argv.slice(2).filter((arg) => !arg.startsWith('--'));
const seconds = Number(
  fuzzOption?.split('=')[1] ?? process.env.TD_FUZZ_SECONDS ?? (fuzzOption === undefined ? SMOKE_SECONDS : FUZZ_SECONDS),
);
const count = { passed: 0, failed: 0, skipped: 0 };
const say = (message) => process.stdout.write(`native: ${message}\n`);

function cannot(message) {
  say(message);
  if (process.env.TD_REQUIRE_LAB === '1') count.failed++;
  else count.skipped++;
}

const list = (folder, pattern) =>
  fs
    .readdirSync(folder)
    .filter((name) => pattern.test(name))
    .sort()
    .map((name) => path.join(folder, name));
/** The plain core: everything that does not speak with Node. */
const core = list('native', /^(?!addon\.cc$|bind_).*\.cc$/);
const headers = createHash('sha256');
for (const file of [...list('native', /\.h$/), ...list('native/test', /\.h$/)]) headers.update(fs.readFileSync(file));
const headersHash = headers.digest('hex');

/** Compiles what has changed; the name of an object says what it was made of. Returns null when something does not compile. */
function compile(compiler, flags, sources) {
  const objects = [];
  for (const source of sources) {
    const hash = createHash('sha256')
      .update([compiler, ...flags, source, headersHash].join(' '))
      .update(fs.readFileSync(source))
      .digest('hex')
      .slice(0, 16);
    const object = path.join(OUT, `${path.basename(source, '.cc')}-${hash}.o`);
    objects.push(object);
    if (fs.existsSync(object)) continue;
    for (const old of list(OUT, new RegExp(`^${path.basename(source, '.cc')}-[0-9a-f]{16}\\.o$`))) {
      // Objects of the other compiler stay: they are younger than a day in a tree that is worked on.
      if (Date.now() - fs.statSync(old).mtimeMs > 86_400_000) fs.rmSync(old);
    }
    const part = `${object}.${process.pid}`;
    const { status } = spawnSync(compiler, [...flags, '-c', source, '-o', part], { stdio: ['ignore', 2, 2] });
    if (status !== 0) return null;
    fs.renameSync(part, object);
  }
  return objects;
}

function link(compiler, flags, objects, name) {
  const program = path.join(OUT, name);
  const { status } = spawnSync(compiler, [...flags, ...objects, '-lpthread', '-o', program], {
    stdio: ['ignore', 2, 2],
  });
  return status === 0 ? program : null;
}

const environment = { ...process.env, UBSAN_OPTIONS: 'print_stacktrace=1', ASAN_OPTIONS: 'detect_leaks=1' };

function unitTests() {
  const flags = [...COMMON, ...SANITIZE];
  const objects = compile('g++', flags, [...core, ...list('native/test', /(_test|^main)\.cc$/)]);
  const program = objects && link('g++', flags, objects, 'unit');
  if (!program) {
    count.failed++;
    return say('the unit tests do not compile');
  }
  const result = spawnSync(program, { encoding: 'utf8', stdio: ['ignore', 'pipe', 2], env: environment });
  process.stdout.write(result.stdout);
  const said = /(\d+) passed, (\d+) failed$/.exec(result.stdout.trimEnd());
  count.passed += Number(said?.[1] ?? 0);
  count.failed += Number(said?.[2] ?? 0);
  // Ended by the sanitizer or a signal: that is one more than the tests themselves found.
  if (result.status !== 0 && Number(said?.[2] ?? 0) === 0) count.failed++;
}

function fuzzerRuntime() {
  const probe = path.join(OUT, 'probe.cc');
  const program = path.join(OUT, `probe.${process.pid}`);
  fs.writeFileSync(probe, 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }\n');
  const { status } = spawnSync('clang++', ['-fsanitize=fuzzer,address,undefined', probe, '-o', program], {
    stdio: 'ignore',
  });
  fs.rmSync(program, { force: true });
  return status === 0;
}

function fuzz() {
  const targets = list('native/test', /_fuzz\.cc$/).filter(
    (file) => wanted.length === 0 || wanted.some((name) => path.basename(file).includes(name)),
  );
  if (targets.length === 0) return cannot(`no fuzz target is named like ${wanted.join(' or ')}`);
  if (!fuzzerRuntime()) {
    return cannot('not fuzzed: clang or its fuzzer runtime is missing (Debian: clang libclang-rt-14-dev)');
  }
  const flags = [...COMMON, ...SANITIZE, '-fsanitize=fuzzer-no-link'];
  const shared = compile('clang++', flags, core);
  for (const source of targets) {
    const name = path.basename(source, '.cc');
    const own = shared && compile('clang++', flags, [source]);
    const program = own && link('clang++', [...flags, '-fsanitize=fuzzer'], [...own, ...shared], name);
    if (!program) {
      count.failed++;
      say(`${name} does not compile`);
      continue;
    }
    // What earlier runs found interesting stays, so that fuzzing goes on where it ended. Inputs that failed are tried first.
    const corpus = path.join(OUT, `${name}.corpus`);
    fs.mkdirSync(corpus, { recursive: true });
    const crashes = `native/test/${name}.crashes`;
    const known = fs.existsSync(crashes) ? list(crashes, /./) : [];
    const replay =
      known.length > 0 ? spawnSync(program, known, { stdio: ['ignore', 2, 2], env: environment }) : { status: 0 };
    const run = spawnSync(
      program,
      [
        `-max_total_time=${seconds}`,
        '-max_len=512',
        '-print_final_stats=1',
        `-artifact_prefix=${path.resolve(OUT)}/${name}-`,
        `-seed=${process.env.TD_FUZZ_SEED ?? (Date.now() % 0x7fffffff) + 1}`,
        corpus,
      ],
      { encoding: 'utf8', stdio: ['ignore', 2, 'pipe'], env: environment, maxBuffer: 1 << 28 },
    );
    const units = /number_of_executed_units:\s*(\d+)/.exec(run.stderr)?.[1] ?? '?';
    const coverage = [...run.stderr.matchAll(/cov: (\d+)/g)].at(-1)?.[1] ?? '?';
    if (replay.status === 0 && run.status === 0) {
      count.passed++;
      say(`${name}: ${units} inputs in ${seconds} s, ${coverage} edges`);
    } else {
      count.failed++;
      process.stderr.write(run.stderr.slice(-6000));
      say(`${name}: failed; the input lies in ${OUT}`);
    }
  }
}

/** The addon's own tests with its sanitised variant in a Node that has the sanitizer's runtime loaded first. */
function addonTests() {
  const build = spawnSync(process.execPath, ['scripts/build-native.mjs', '--sanitize=address'], {
    stdio: ['ignore', 2, 2],
  });
  const library = (name) => spawnSync('gcc', [`-print-file-name=${name}`], { encoding: 'utf8' }).stdout.trim();
  const report = path.join(OUT, `addon.${process.pid}.json`);
  const run =
    build.status === 0
      ? spawnSync(
          process.execPath,
          [
            'node_modules/vitest/vitest.mjs',
            'run',
            'test/native',
            '--reporter=default',
            '--reporter=json',
            `--outputFile.json=${report}`,
          ],
          {
            stdio: ['ignore', 2, 2],
            env: {
              ...environment,
              TD_NATIVE_VARIANT: 'asan',
              // libstdc++ goes with it, so that the sanitizer finds the __cxa_throw that it wraps.
              LD_PRELOAD: `${library('libasan.so')} ${library('libstdc++.so')}`,
              ASAN_OPTIONS: 'detect_leaks=0:exitcode=99:handle_segv=0:allow_user_segv_handler=1',
            },
          },
        )
      : build;
  const said = fs.existsSync(report)
    ? JSON.parse(fs.readFileSync(report, 'utf8'))
    : { numPassedTests: 0, numFailedTests: 0 };
  fs.rmSync(report, { force: true });
  count.passed += said.numPassedTests;
  count.failed += said.numFailedTests > 0 || run.status === 0 ? said.numFailedTests : 1;
}

fs.mkdirSync(OUT, { recursive: true });
if (spawnSync('g++', ['--version'], { stdio: 'ignore' }).status !== 0) {
  cannot('not tested: g++ is missing (Debian: build-essential)');
} else if (process.argv.includes('--addon')) {
  addonTests();
} else {
  if (fuzzOption === undefined) unitTests();
  fuzz();
}
process.stdout.write(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped\n`);
process.exit(count.failed > 0 ? 1 : 0);
