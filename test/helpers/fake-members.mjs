// Members of a cluster that exist only as files: `fake-members.mjs FOLDER MEMBER LINE` does what the line asks for and answers as
// the product would. Used by the tests of scripts/rolling-upgrade.mjs; every line that it gets stands in FOLDER/log.
import { appendFileSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [folder, name, line] = process.argv.slice(2);
appendFileSync(join(folder, 'log'), `${name}: ${line}\n`);
const read = (file) => JSON.parse(readFileSync(join(folder, file), 'utf8'));
const me = read(`${name}.json`);
/** Members are asked at the same time: a file is whole at any moment. */
const keep = () => {
  const made = join(folder, `${name}.${process.pid}`);
  writeFileSync(made, JSON.stringify(me));
  renameSync(made, join(folder, `${name}.json`));
};
const answer = (value) => process.stdout.write(JSON.stringify(value));
const fail = (text) => {
  process.stderr.write(`designator: ${text}\n`);
  process.exit(69);
};

/** Each question brings what a restarted member still lacks nearer. */
function cluster() {
  if (me.catchingUp > 0) {
    me.catchingUp--;
    keep();
  }
  const rows = readdirSync(folder)
    .filter((file) => file.endsWith('.json'))
    .map(read);
  return [
    { kind: 'bus', driver: 'udp', state: me.bus ?? 'up', reason: me.bus === undefined ? null : 'no answer' },
    ...rows.map(({ number, version, incarnation, tunnels, state: its = 'ready' }) => ({
      kind: 'member',
      role: 'designator',
      number,
      self: number === me.number,
      state: its,
      version,
      incarnation,
      tunnels,
    })),
    {
      kind: 'member',
      role: 'lns',
      number: 200,
      self: false,
      state: 'ready',
      version: '1.0',
      incarnation: 1,
      tunnels: 3,
    },
    ...rows.map(({ number }) => ({
      kind: 'stream',
      origin: number,
      shard: 0,
      self: number === me.number,
      state: number !== me.number && me.catchingUp > 0 ? 'catching-up' : 'current',
    })),
  ];
}

const words = line.split(' ');
if (words[0] === 'install') {
  me.installed = '2.0';
  keep();
} else if (words[0] === 'restart') {
  if (me.stuck === true) process.exit(0);
  me.version = me.installed ?? me.version;
  me.incarnation++;
  me.catchingUp = me.slow ?? 2;
  me.master = false;
  if (me.forgets === true) me.tunnels = 0;
  keep();
} else if (words[1] === 'check') {
  if (me.broken === true) {
    process.stderr.write('designator.yaml:3:1: vips: this version knows no such key\n');
    process.exit(78);
  }
} else if (words[1] === 'gateway') {
  me.master = false;
  keep();
} else if (words[2] === 'cluster') {
  if (me.silent === true) fail('nobody answers on the socket');
  answer(cluster());
} else if (words[2] === 'groups') {
  answer([{ group: 'outside', state: me.master ? 'master' : 'backup' }]);
} else {
  fail(`unknown: ${line}`);
}
