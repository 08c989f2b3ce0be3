// Builds the addon with node-gyp; does nothing when the sources are those of the last build.
// node scripts/build-native.mjs [--force] [--sanitize=address] [--nodedir=PREFIX]
// Node's headers: --nodedir, npm_config_nodedir, or beside this Node; only where all lack them node-gyp downloads.
// exit: 0 built, 69 a tool is missing, 70 it does not compile
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';

process.chdir(path.resolve(import.meta.dirname, '..'));
const require = createRequire(import.meta.url);
const root = process.cwd();
const LOCK_WAIT_MS = 10 * 60_000;

const option = (name) => process.argv.find((arg) => arg.startsWith(`--${name}=`))?.slice(name.length + 3);
const force = process.argv.includes('--force');
const sanitize = option('sanitize') ?? '';
if (!['', 'address'].includes(sanitize)) fail(64, `--sanitize=address is the only one, not ${sanitize}`);

const target = sanitize === 'address' ? 'tdnative_asan' : 'tdnative';
const product = `build/Release/${target}.node`;
const stampFile = `build/.stamp-${target}`;

function fail(status, message) {
  process.stderr.write(`native addon: ${message}\n`);
  process.exit(status);
}

/** Node's headers that need no download, or undefined. */
const nodedir = [
  option('nodedir'),
  process.env.npm_config_nodedir,
  path.resolve(fs.realpathSync(process.execPath), '../..'),
].find((prefix) => prefix && fs.existsSync(path.join(prefix, 'include/node/node_api.h')));

/** Changes with everything that the product depends on. */
function stamp() {
  const hash = createHash('sha256');
  const files = fs
    .readdirSync('native', { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(cc|h|c)$/.test(entry.name))
    .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name))
    .filter((file) => !file.startsWith('native/test/'))
    .sort();
  for (const file of ['binding.gyp', 'scripts/detect.cjs', ...files]) {
    hash.update(`${file}\0`).update(fs.readFileSync(file)).update('\0');
  }
  const { version } = JSON.parse(fs.readFileSync('package.json', 'utf8'));
  const api = require('node-addon-api/package.json').version;
  hash.update(
    [version, api, process.versions.modules, process.arch, process.env.TD_MARCH ?? '', nodedir ?? ''].join(' '),
  );
  return hash.digest('hex');
}

const upToDate = () =>
  !force && fs.existsSync(product) && fs.existsSync(stampFile) && fs.readFileSync(stampFile, 'utf8') === stamp();

/** Two builds at once would tread on each other's makefile. A lock whose owner has died is taken over. */
async function lock() {
  fs.mkdirSync('build', { recursive: true });
  const until = Date.now() + LOCK_WAIT_MS;
  for (;;) {
    try {
      fs.writeFileSync('build/.lock', String(process.pid), { flag: 'wx' });
      process.on('exit', () => fs.rmSync('build/.lock', { force: true }));
      return;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    if (!ownerLives()) fs.rmSync('build/.lock', { force: true });
    else if (Date.now() > until) fail(70, 'another build holds build/.lock');
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

function ownerLives() {
  try {
    process.kill(Number(fs.readFileSync('build/.lock', 'utf8')) || 0, 0);
    return true;
  } catch (error) {
    // No such process, or the lock went in the meantime. An empty file is one that is being written.
    return error.code === 'EPERM';
  }
}

if (upToDate()) process.exit(0);

const has = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;
const missing = ['g++', 'make', 'python3'].filter((command) => !has(command));
if (missing.length > 0) {
  const how = 'sudo apt-get install -y --no-install-recommends build-essential python3';
  fail(69, `${missing.join(', ')} not found. Debian and Ubuntu:\n    ${how}`);
}

await lock();
if (upToDate()) process.exit(0); // somebody else has built it while we waited

// Taken before the build: a source that changes meanwhile makes the next run build again.
const before = stamp();
fs.rmSync(stampFile, { force: true });
if (force) fs.rmSync(`build/Release/obj.target/${target}`, { recursive: true, force: true });
const nodeGyp = require.resolve('node-gyp/bin/node-gyp.js');
const common = ['--loglevel=warn', '--release', ...(nodedir ? [`--nodedir=${nodedir}`] : [])];
const steps = [
  ['configure', ...common, '--', `-Dsanitize=${sanitize}`],
  ['build', ...common, `-j${os.availableParallelism()}`],
];
const started = Date.now();
for (const step of steps) {
  const { status } = spawnSync(process.execPath, [nodeGyp, ...step], {
    stdio: ['ignore', 'ignore', 'inherit'],
    cwd: root,
  });
  if (status !== 0) fail(70, `node-gyp ${step[0]} failed (exit ${status})`);
}
fs.writeFileSync(stampFile, before);
process.stdout.write(`native addon: ${product} built in ${((Date.now() - started) / 1000).toFixed(1)} s\n`);
