// Builds the BPF programs: native/bpf/x.bpf.c → build/bpf/x.o, native/bpf/bench/x.bpf.c → build/bpf/bench-x.o. Where there is
// no clang the objects that come with the sources (native/bpf/prebuilt) are taken instead. Does nothing when all is up to date.
// node scripts/build-bpf.mjs [--force] [--update-prebuilt]      exit: 0 built, 69 clang is missing (only with
// --update-prebuilt), 70 it does not compile
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';

process.chdir(path.resolve(import.meta.dirname, '..'));

const SOURCES = 'native/bpf';
const PREBUILT = 'native/bpf/prebuilt';
const OUT = 'build/bpf';
/** What the shipped objects were made of. */
const SHIPPED_STAMP = `${PREBUILT}/SOURCES`;
const STAMP = `${OUT}/.stamp`;
const FLAGS = ['-O2', '-g0', '-target', 'bpf', '-mcpu=v3', '-Wall', '-Wextra', '-Werror'];

const say = (message) => process.stderr.write(`bpf: ${message}\n`);

const filesOf = (folder) =>
  fs
    .readdirSync(folder)
    .filter((name) => /\.[ch]$/.test(name))
    .map((name) => path.join(folder, name))
    .sort();

/** Changes with everything that a program may be made of: its folder, and the headers that all native code shares. */
function hashOf(source) {
  const folder = path.dirname(source);
  const headers = filesOf(folder).filter((file) => file.endsWith('.h'));
  const hash = createHash('sha256').update(FLAGS.join(' '));
  for (const file of [source, ...headers, 'native/hash.h', 'native/layout.h']) {
    hash.update(`\0${path.basename(file)}\0`).update(fs.readFileSync(file));
  }
  return hash.digest('hex');
}

const programs = fs
  .readdirSync(SOURCES, { recursive: true })
  .filter((name) => name.endsWith('.bpf.c'))
  .map((name) => path.join(SOURCES, name))
  .sort();
const objectOf = (source) =>
  `${path
    .relative(SOURCES, source)
    .replaceAll('/', '-')
    .replace(/\.bpf\.c$/, '')}.o`;

/** Where Debian and its kin keep asm/types.h, which clang does not look for when it compiles for another machine. */
function includes() {
  return fs
    .readdirSync('/usr/include')
    .filter((name) => fs.existsSync(`/usr/include/${name}/asm/types.h`))
    .map((name) => `-I/usr/include/${name}`);
}

/** Compiles all programs into `folder`; false when one does not compile. */
function compile(folder) {
  fs.mkdirSync(folder, { recursive: true });
  for (const source of programs) {
    const object = path.join(folder, objectOf(source));
    const part = `${object}.${process.pid}`;
    // Run where the source is, so that no path of this machine gets into the object.
    const { status } = spawnSync(
      'clang',
      [...FLAGS, ...includes(), '-c', path.basename(source), '-o', path.resolve(part)],
      {
        stdio: ['ignore', 2, 2],
        cwd: path.dirname(source),
      },
    );
    if (status !== 0) {
      fs.rmSync(part, { force: true });
      say(`${source} does not compile`);
      return false;
    }
    fs.renameSync(part, object);
  }
  return true;
}

const read = (file) => (fs.existsSync(file) ? fs.readFileSync(file, 'utf8').trim() : '');
const hasClang = spawnSync('clang', ['--version'], { stdio: 'ignore' }).status === 0;
const stampOf = () => programs.map((source) => `${objectOf(source)} ${hashOf(source)}`).join('\n');
const hashes = stampOf();

if (process.argv.includes('--update-prebuilt')) {
  if (!hasClang) {
    say('clang is missing (Debian: clang)');
    process.exit(69);
  }
  fs.rmSync(PREBUILT, { recursive: true, force: true });
  if (!compile(PREBUILT)) process.exit(70);
  fs.writeFileSync(SHIPPED_STAMP, `${hashes}\n`);
}

// A shipped object that replaced a compiled one, or the other way round, is another product of the same sources.
const stamp = `${hashes}\n${hasClang ? 'clang' : 'shipped'}`;
const complete = programs.every((source) => fs.existsSync(path.join(OUT, objectOf(source))));
if (complete && read(STAMP) === stamp && !process.argv.includes('--force')) process.exit(0);
fs.mkdirSync(OUT, { recursive: true });
if (hasClang) {
  if (!compile(OUT)) process.exit(70);
} else {
  const missing = programs.filter((source) => !fs.existsSync(path.join(PREBUILT, objectOf(source))));
  if (missing.length > 0 || read(SHIPPED_STAMP) !== hashes) {
    say('the shipped objects are not those of these sources, and there is no clang (Debian: clang) to build them');
    process.exit(69);
  }
  for (const source of programs) {
    const object = objectOf(source);
    fs.copyFileSync(path.join(PREBUILT, object), `${path.join(OUT, object)}.${process.pid}`);
    fs.renameSync(`${path.join(OUT, object)}.${process.pid}`, path.join(OUT, object));
  }
}
fs.writeFileSync(STAMP, stamp);
