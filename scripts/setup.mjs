// Everything that a fresh clone needs. Node built-ins only: it runs before node_modules is there.
// node scripts/setup.mjs [--profile=core|lab] [--check] [--yes]      exit: 0 ready, 69 something is missing,
// 70 it does not compile, 78 wrong Node
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import readline from 'node:readline/promises';

process.chdir(path.resolve(import.meta.dirname, '..'));

const option = (name) => process.argv.find((arg) => arg === `--${name}` || arg.startsWith(`--${name}=`));
const profile = option('profile')?.split('=')[1] ?? 'core';
const check = option('check') !== undefined;
const yes = option('yes') !== undefined || process.env.CI === 'true' || process.env.TD_SETUP_YES === '1';
const terminal = Boolean(process.stdin.isTTY && process.stderr.isTTY && !process.env.CI);
const say = (message) => process.stderr.write(`setup: ${message}\n`);
const die = (status, message) => {
  say(message);
  process.exit(status);
};
if (!['core', 'lab'].includes(profile)) die(64, `--profile is core or lab, not ${profile}`);

const manifest = JSON.parse(fs.readFileSync('package.json', 'utf8'));
const atLeast = /(\d+)\.(\d+)/.exec(manifest.engines.node).slice(1).map(Number);
const current = process.versions.node.split('.').map(Number);
if (current[0] < atLeast[0] || (current[0] === atLeast[0] && current[1] < atLeast[1])) {
  die(78, `Node ${manifest.engines.node} is needed, this is ${process.version}.`);
}

// System packages: probe for the thing that is used, then name the Debian package that holds it.
const folders = [...new Set([...(process.env.PATH ?? '').split(':'), '/usr/local/sbin', '/usr/sbin', '/sbin'])];
const command = (name) =>
  folders.some((folder) => {
    try {
      fs.accessSync(path.join(folder, name), fs.constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
const fuzzerRuntime = () => {
  const versions = '/usr/lib/llvm-14/lib/clang';
  if (!fs.existsSync(versions)) return false;
  return fs.readdirSync(versions).some((version) => {
    const libraries = path.join(versions, version, 'lib/linux');
    return fs.existsSync(libraries) && fs.readdirSync(libraries).some((name) => name.includes('clang_rt.fuzzer'));
  });
};
const streamModule = () =>
  fs.existsSync('/usr/lib/nginx/modules/ngx_stream_module.so') ||
  fs.existsSync('/usr/lib/x86_64-linux-gnu/nginx/modules/ngx_stream_module.so');
const both = ['core', 'lab'];
const lab = ['lab'];
const needs = [
  {
    package: 'build-essential',
    found: () => command('g++') && command('make'),
    why: 'builds the native addon',
    in: both,
  },
  { package: 'python3', found: () => command('python3'), why: 'node-gyp', in: both },
  { package: 'iproute2', found: () => command('ip'), why: 'network namespaces', in: lab },
  { package: 'nftables', found: () => command('nft'), why: 'keeps the host out of tunnel traffic', in: lab },
  { package: 'ethtool', found: () => command('ethtool'), why: 'offloads of test interfaces', in: lab },
  { package: 'tcpdump', found: () => command('tcpdump'), why: 'tests look at frames', in: lab },
  { package: 'tshark', found: () => command('tshark'), why: 'reads captures in tests', in: lab },
  { package: 'iputils-ping', found: () => command('ping'), why: 'tests look through tunnels', in: lab },
  { package: 'iputils-arping', found: () => command('arping'), why: 'tests ask by ARP', in: lab },
  { package: 'ndisc6', found: () => command('ndisc6'), why: 'tests ask by Neighbour Discovery', in: lab },
  { package: 'procps', found: () => command('sysctl'), why: 'settings of test namespaces', in: lab },
  { package: 'xl2tpd', found: () => command('xl2tpd'), why: 'L2TP clients and servers', in: lab },
  { package: 'ppp', found: () => command('pppd'), why: 'PPP inside the tunnels', in: lab },
  { package: 'slirp', found: () => command('slirp'), why: 'PPP without kernel support', in: lab, optional: true },
  { package: 'user-mode-linux', found: () => command('linux'), why: 'guests with kernel PPP', in: lab, optional: true },
  { package: 'kmod', found: () => command('modprobe'), why: 'modules of the guests', in: lab, optional: true },
  { package: 'l2tpns', found: () => command('l2tpns'), why: 'a second kind of L2TP server', in: lab, optional: true },
  {
    package: 'freeradius',
    found: () => command('freeradius'),
    why: 'LNS, LAC and l2tpns ask it for users',
    in: lab,
    optional: true,
  },
  { package: 'keepalived', found: () => command('keepalived'), why: 'a peer in benchmarks', in: lab, optional: true },
  {
    package: 'nats-server',
    found: () => command('nats-server'),
    why: 'carries the messages of clusters in tests',
    in: lab,
    optional: true,
  },
  {
    package: 'bird2',
    found: () => command('bird'),
    why: 'routers of clusters in tests',
    in: lab,
    optional: true,
  },
  { package: 'ucarp', found: () => command('ucarp'), why: 'a peer in benchmarks', in: lab, optional: true },
  { package: 'nginx', found: () => command('nginx'), why: 'a peer in benchmarks', in: lab, optional: true },
  { package: 'libnginx-mod-stream', found: streamModule, why: 'a peer in benchmarks', in: lab, optional: true },
  {
    package: 'clang',
    found: () => command('clang'),
    why: 'builds the BPF programs, fuzzes the native core',
    in: lab,
    optional: true,
  },
  { package: 'libclang-rt-14-dev', found: fuzzerRuntime, why: 'fuzzes the native core', in: lab, optional: true },
  {
    package: 'clang-format',
    found: () => command('clang-format'),
    why: 'format of the native code',
    in: lab,
    optional: true,
  },
].filter((need) => need.in.includes(profile));

// Installing a daemon must not start it: a policy-rc.d that forbids it stands while apt-get runs. One that is there
// already belongs to somebody else and stays; our own is known by its mark, so that a killed run leaves nothing for ever.
// The lock keeps a second setup from taking the policy away under the first.
const INSTALL = `
set -eu
export DEBIAN_FRONTEND=noninteractive
exec 9</var/lib/dpkg
if command -v flock >/dev/null; then flock -w 900 9; fi
policy=/usr/sbin/policy-rc.d
mark='# put here by the setup of tunnel-designator while packages are installed'
trap 'exit 130' HUP INT TERM
if [ ! -e "$policy" ] || grep -qF "$mark" "$policy"; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\\n%s\\nexit 101\\n' "$mark" > "$policy"
  chmod 755 "$policy"
fi
apt() { apt-get -o DPkg::Lock::Timeout=180 -o Dpkg::Use-Pty=0 -q "$@" 9<&-; }
if apt install -y --no-install-recommends "$@"; then exit 0; fi
echo 'setup: package lists may be old: apt-get update, then once more' >&2
apt update
apt install -y --no-install-recommends "$@"
`;

const missing = () => needs.filter((need) => !need.found());
const names = (list) => list.map((need) => need.package);
if (missing().length > 0) {
  const wanted = missing();
  const list = wanted.map((need) => `${need.package}${need.optional ? ' (optional)' : ''}: ${need.why}`);
  say(`missing: ${list.join('; ')}`);
  const manual = `sudo apt-get update && sudo apt-get install -y --no-install-recommends ${names(wanted).join(' ')}`;
  const how = await privilege(wanted);
  if (how !== null) {
    const install = (packages) =>
      spawnSync([...how, 'sh'][0], [...how, 'sh', '-c', INSTALL, 'setup', ...packages].slice(1), {
        stdio: ['ignore', 2, 2],
      }).status === 0;
    const hard = wanted.filter((need) => !need.optional);
    if (hard.length > 0) install(names(hard));
    // Another release may lack one optional package; it must not cost the others.
    const optional = wanted.filter((need) => need.optional);
    if (optional.length > 0 && !install(names(optional))) for (const name of names(optional)) install([name]);
  }
  const stillMissing = missing();
  const hard = stillMissing.filter((need) => !need.optional);
  if (hard.length > 0) {
    die(
      69,
      `cannot go on without ${names(hard).join(', ')}. Run this once, then the same command again:\n    ${manual}`,
    );
  }
  if (stillMissing.length > 0) {
    say(`going on without ${names(stillMissing).join(', ')}: what uses them is left out`);
  }
}

/** How to run apt-get: words before the command, or null when it may not or cannot be run. */
async function privilege(wanted) {
  if (check || !command('apt-get')) return null;
  if (process.getuid?.() === 0) return [];
  if (!command('sudo')) return null;
  if (yes && spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0) return ['sudo', '-n'];
  if (!terminal) return null;
  if (!yes) {
    const prompt = readline.createInterface({ input: process.stdin, output: process.stderr });
    const answer = await prompt.question(`setup: install ${names(wanted).join(' ')} with sudo apt-get? [Y/n] `);
    prompt.close();
    if (!/^(y|yes|)$/i.test(answer.trim())) return null;
  }
  // sh runs without our standard input, so the password is asked for here.
  return spawnSync('sudo', ['-v'], { stdio: 'inherit' }).status === 0 ? ['sudo', '-n'] : null;
}

// node_modules, only when the lock file, Node or the platform changed.
const stampFile = path.join('node_modules', '.td-setup');
const stamp = createHash('sha256')
  .update(fs.readFileSync('package-lock.json'))
  .update([process.versions.modules, process.platform, process.arch].join(' '))
  .digest('hex');
const fresh = fs.existsSync(stampFile) && fs.readFileSync(stampFile, 'utf8') === stamp;
if (!fresh) {
  if (check) die(69, 'node_modules is not up to date: run npm run setup');
  say('npm ci');
  // Headers that lie beside this Node let every node-gyp build (ours and raw-socket's) work without a download.
  const env = { ...process.env };
  const prefix = path.resolve(fs.realpathSync(process.execPath), '../..');
  if (!env.npm_config_nodedir && fs.existsSync(path.join(prefix, 'include/node/node_api.h'))) {
    env.npm_config_nodedir = prefix;
  }
  const npm = process.env.npm_execpath ? [process.execPath, process.env.npm_execpath] : ['npm'];
  const ci = spawnSync(npm[0], [...npm.slice(1), 'ci', '--no-audit', '--no-fund'], { stdio: ['ignore', 2, 2], env });
  if (ci.status !== 0) die(69, 'npm ci failed (see above)');
  fs.writeFileSync(stampFile, stamp);
}

if (!check) {
  const build = spawnSync(process.execPath, ['scripts/build.mjs'], { stdio: ['ignore', 2, 2] });
  if (build.status !== 0) die(build.status ?? 70, 'the build failed (see above)');
}
say('ready');
