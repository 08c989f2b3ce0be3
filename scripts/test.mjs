// npm test: everything, in the order in which a failure is cheapest to find. The last line is always
// 'N passed, N failed, N skipped'; the exit status is 1 when anything failed.
// npm test -- test/flow …      hands its arguments to vitest and runs nothing else
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

process.chdir(path.resolve(import.meta.dirname, '..'));

if (!fs.existsSync('node_modules/vitest/vitest.mjs') || !fs.existsSync('dist')) {
  process.stderr.write('test: node_modules or dist is missing: run npm run setup\n');
  process.exit(69);
}

const total = { passed: 0, failed: 0, skipped: 0 };
const failedSteps = [];
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'designator-test-'));
process.on('exit', () => fs.rmSync(scratch, { recursive: true, force: true }));

/** Runs Node with `args`, shows what it prints; resolves to its status and the last line that it printed. */
function run(args, env = {}) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...env },
    });
    // Ctrl-C reaches the child through the terminal as well: stay, so that its clean-up is seen to its end.
    const wait = () => child.kill('SIGTERM');
    process.on('SIGTERM', wait);
    process.on('SIGINT', () => {});
    let tail = '';
    child.stdout.on('data', (chunk) => {
      process.stdout.write(chunk);
      tail = (tail + chunk).slice(-4096);
    });
    child.on('close', (status) => {
      process.off('SIGTERM', wait);
      resolve({ status: status ?? 1, lastLine: tail.trimEnd().split('\n').at(-1) ?? '' });
    });
  });
}

function add(step, counts, status) {
  // A step that ends badly without naming a failed test (a crash, an unhandled error) still is a failure.
  const failed = status !== 0 && counts.failed === 0 ? 1 : counts.failed;
  total.passed += counts.passed;
  total.failed += failed;
  total.skipped += counts.skipped;
  if (failed > 0) failedSteps.push(step);
}

async function vitest(step, args) {
  const file = path.join(scratch, `${step}.json`);
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
  // The pipe in between hides the terminal from vitest; NO_COLOR must be absent, not empty, to allow colours.
  const color = process.stdout.isTTY && !process.env.NO_COLOR ? { FORCE_COLOR: '1' } : { NO_COLOR: '1' };
  const { status } = await run(['node_modules/vitest/vitest.mjs', 'run', ...reporters, ...args], color);
  const counts = { passed: 0, failed: 0, skipped: 0 };
  if (fs.existsSync(file)) {
    const report = JSON.parse(fs.readFileSync(file, 'utf8'));
    counts.passed = report.numPassedTests;
    counts.failed = report.numFailedTests;
    counts.skipped = report.numPendingTests + report.numTodoTests;
    // A file that does not even load has no tests to fail.
    counts.failed += report.testResults.filter(
      (suite) => suite.status === 'failed' && !suite.assertionResults.some((test) => test.status === 'failed'),
    ).length;
  }
  add(step, counts, status);
}

/** A script that says 'N passed, N failed, N skipped' in its last line; without that it counts as one test. */
async function script(step, args) {
  const { status, lastLine } = await run(args);
  const said = /(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/.exec(lastLine);
  const counts = said
    ? { passed: Number(said[1]), failed: Number(said[2]), skipped: Number(said[3] ?? 0) }
    : { passed: status === 0 ? 1 : 0, failed: 0, skipped: 0 };
  add(step, counts, status);
}

const args = process.argv.slice(2);
if (args.length > 0) {
  await vitest('chosen', args);
} else {
  await script('check', ['scripts/check.mjs']);
  await vitest('unit', ['--project', 'unit']);
  await script('native', ['scripts/test-native.mjs']);
  await vitest('e2e', ['--project', 'e2e', '--passWithNoTests']);
  await vitest('e2e-xdp', ['--project', 'e2e-xdp', '--passWithNoTests']);
  if (fs.existsSync('dist/bench/smoke.js')) await script('bench', ['dist/bench/smoke.js']);
}

if (failedSteps.length > 0) process.stdout.write(`failed: ${failedSteps.join(', ')}\n`);
process.stdout.write(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
process.exit(total.failed > 0 ? 1 : 0);
