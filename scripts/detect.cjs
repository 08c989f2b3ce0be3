// Answers binding.gyp's questions about this machine and this tree, one word or list per call.
const fs = require('node:fs');
const path = require('node:path');

const root = path.resolve(__dirname, '..');

/** Every source of the addon: native/*.cc. The folders below hold tests and BPF programs. */
function sources() {
  const folder = path.join(root, 'native');
  return fs
    .readdirSync(folder)
    .filter((name) => name.endsWith('.cc'))
    .sort()
    .map((name) => `native/${name}`);
}

/** A baseline that every x86-64 server of the last fifteen years has; TD_MARCH=native for a build that stays here. */
function march() {
  if (process.env.TD_MARCH) return `-march=${process.env.TD_MARCH}`;
  return process.arch === 'x64' ? '-march=x86-64-v2' : '-fno-ident';
}

const answers = {
  sources: () => sources().join('\n'),
  march,
  version: () => JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8')).version,
  'addon-api': () => path.dirname(require.resolve('node-addon-api')),
};

if (require.main === module) {
  const answer = answers[process.argv[2]];
  if (answer === undefined) {
    process.stderr.write(`detect: one of ${Object.keys(answers).join(', ')}\n`);
    process.exit(64);
  }
  process.stdout.write(`${answer()}\n`);
}

module.exports = { sources, march };
