// Builds what is not up to date: the BPF programs, the addon, then src into dist, then bench into dist/bench.
// node scripts/build.mjs      exit: 0 built, 69 a tool is missing, 70 it does not compile
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

process.chdir(path.resolve(import.meta.dirname, '..'));

if (!fs.existsSync('node_modules/typescript/bin/tsc')) {
  process.stderr.write('build: node_modules is missing: run npm run setup\n');
  process.exit(69);
}

const run = (what, ...args) => {
  const { status } = spawnSync(process.execPath, args, { stdio: ['ignore', 2, 2] });
  if (status === 0) return;
  process.stderr.write(`build: ${what} failed (see above)\n`);
  process.exit(status === 69 ? 69 : 70);
};

run('the BPF programs', 'scripts/build-bpf.mjs');
run('the native addon', 'scripts/build-native.mjs');
run('src', 'node_modules/typescript/bin/tsc', '-p', '.');
// bench resolves the product through "#designator/*", that is through dist, so it comes after it.
if (fs.readdirSync('bench', { recursive: true }).some((name) => name.endsWith('.ts'))) {
  run('bench', 'node_modules/typescript/bin/tsc', '-p', 'bench');
}
