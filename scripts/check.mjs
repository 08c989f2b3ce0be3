// npm run check: lint and format (biome), types (tsc of src, bench and test), format of the native code (clang-format).
// Prints the tool's own words only where it finds something; the last line is 'N passed, N failed, N skipped'.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

process.chdir(path.resolve(import.meta.dirname, '..'));

const count = { passed: 0, failed: 0, skipped: 0 };
const step = (name, file, args) => {
  const result = spawnSync(file, args, { encoding: 'utf8', maxBuffer: 1 << 26 });
  if (result.error?.code === 'ENOENT') {
    count.skipped++;
    process.stdout.write(`check: ${name}: skipped, ${file} is not installed\n`);
  } else if (result.status === 0) {
    count.passed++;
    process.stdout.write(`check: ${name}: fine\n`);
  } else {
    count.failed++;
    process.stdout.write(`${result.stdout}${result.stderr}check: ${name}: failed\n`);
  }
};

const typescript = 'node_modules/typescript/bin/tsc';
step('lint and format', process.execPath, ['node_modules/@biomejs/biome/bin/biome', 'check']);
step('types of src', process.execPath, [typescript, '-p', '.', '--noEmit']);
step('types of tests', process.execPath, [typescript, '-p', 'test', '--noEmit']);
const benches = fs.readdirSync('bench', { recursive: true }).some((name) => name.endsWith('.ts'));
if (benches && fs.existsSync('dist/errors.d.ts')) {
  step('types of bench', process.execPath, [typescript, '-p', 'bench', '--noEmit']);
}

const native = fs
  .readdirSync('native', { recursive: true })
  .filter((name) => /\.(cc|h|c)$/.test(name) && !name.endsWith('.skel.h'))
  .map((name) => path.join('native', name));
if (native.length > 0) step('format of native', 'clang-format', ['--dry-run', '--Werror', ...native]);

process.stdout.write(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped\n`);
process.exit(count.failed > 0 ? 1 : 0);
