#!/usr/bin/env node
// A new version on every designator of a cluster, one after the other, without losing a tunnel.
//
//   node scripts/rolling-upgrade.mjs [options] MEMBER…
//
// It runs on any machine that reaches the members (ssh by default) and needs nothing but Node there. A member is restarted
// only while every other one holds all tunnels, and the next one only when this one holds them again. It stops at the first
// thing that is not as it should be, names it, and leaves the rest of the cluster as it was: docs/operations.md.
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

const EXIT = { usage: 64, unavailable: 69, config: 78 };
const USAGE = `usage: rolling-upgrade [options] MEMBER…
  --via COMMAND        reaches a member; {member} is its name, the shell line is one more word (ssh -o BatchMode=yes {member})
  --config FILE        configuration at the members (/etc/designator/designator.yaml)
  --designator COMMAND the program at the members (designator)
  --install COMMAND    puts the new version there, while the old one runs; absent: it is there already
  --restart COMMAND    ends the old process and starts the new one (systemctl restart designator);
                       {member} is the member's name in both
  --patience SECONDS   for each thing that is waited for (120)
  --gone PERCENT       so many tunnels may be missing, since clients hang up meanwhile (1)
  --dry-run            only look whether the cluster is fit for it
  --verbose            say what is waited for
`;
/** Each question is a program at every member. */
const POLL_MS = 1000;
/** One command at a member. */
const COMMAND_MS = 300_000;

class Refusal extends Error {
  constructor(message, status = EXIT.unavailable) {
    super(message);
    this.status = status;
  }
}

function options() {
  try {
    const text = (fallback) => ({ type: 'string', default: fallback });
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        via: text('ssh -o BatchMode=yes {member}'),
        config: text('/etc/designator/designator.yaml'),
        designator: text('designator'),
        install: { type: 'string' },
        restart: text('systemctl restart designator'),
        patience: text('120'),
        gone: text('1'),
        'dry-run': { type: 'boolean', default: false },
        verbose: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    if (values.help) {
      process.stdout.write(USAGE);
      process.exit(0);
    }
    const [patience, gone] = [Number(values.patience), Number(values.gone)];
    if (!(patience > 0) || !(gone >= 0 && gone <= 100)) throw new Error('--patience and --gone are numbers');
    if (new Set(positionals).size < 2 || new Set(positionals).size !== positionals.length)
      throw new Error('name two members or more, each once');
    return { ...values, patience, gone, dryRun: values['dry-run'], members: positionals };
  } catch (error) {
    process.stderr.write(`rolling-upgrade: ${error.message}\n${USAGE}`);
    process.exit(EXIT.usage);
  }
}

const o = options();
const say = (text) => process.stdout.write(`${text}\n`);

/** A line for the shell of a member: { status, stdout, stderr }. Never throws for what it says. */
function at(member, line) {
  const words = o.via
    .split(' ')
    .filter(Boolean)
    .map((word) => named(word, member));
  return new Promise((resolve) => {
    const child = spawn(words[0], [...words.slice(1), line], {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: COMMAND_MS,
    });
    const [stdout, stderr] = [[], []];
    child.stdout.on('data', (chunk) => stdout.push(chunk));
    child.stderr.on('data', (chunk) => stderr.push(chunk));
    child.on('error', (error) => resolve({ status: -1, stdout: '', stderr: error.message }));
    child.on('close', (status) =>
      resolve({
        status: status ?? -1,
        stdout: Buffer.concat(stdout).toString('utf8'),
        stderr: Buffer.concat(stderr).toString('utf8'),
      }),
    );
  });
}

const product = (words) => `${o.designator} ${words} -c ${o.config}`;
const named = (text, member) => text.replaceAll('{member}', member);
const lastLine = ({ status, stdout, stderr }) =>
  (stderr.trim() || stdout.trim()).split('\n').at(-1) || `status ${status}`;

/** Rows of `show TABLE --json` at a member, or a string: why there are none. */
async function table(member, name) {
  const result = await at(member, product(`show ${name} --json`));
  if (result.status !== 0) return lastLine(result);
  try {
    return JSON.parse(result.stdout);
  } catch {
    return `show ${name} --json: no JSON`;
  }
}

/**
 * What a member says of the cluster: { problems, version, incarnation, tunnels }. Problems are sentences; none means that it could
 * go on with every tunnel of the others.
 */
async function viewOf(member) {
  const rows = await table(member, 'cluster');
  if (typeof rows === 'string') return { member, problems: [rows], version: null, incarnation: null, tunnels: 0 };
  const of = (kind) => rows.filter((row) => row.kind === kind);
  // LNSs and agents may be on the bus as well; one that has said nothing is not known to be none of ours.
  const designators = of('member').filter(({ role }) => role === 'designator' || role === null);
  const self = designators.find((row) => row.self);
  const problems = [];
  for (const bus of of('bus')) if (bus.state !== 'up') problems.push(`bus ${bus.state}: ${bus.reason}`);
  for (const row of designators) if (row.state !== 'ready') problems.push(`member ${row.number} is ${row.state}`);
  if (designators.length !== o.members.length)
    problems.push(`${designators.length} members in the cluster, ${o.members.length} named`);
  for (const row of of('stream'))
    if (!row.self && row.state !== 'current') problems.push(`stream ${row.origin}/${row.shard} is ${row.state}`);
  const { version = null, incarnation = null, tunnels = 0 } = self ?? {};
  return { member, problems, version, incarnation, tunnels };
}

/** What keeps the cluster from going on without any one of its members; [] is nothing. */
function problemsOf(views) {
  const problems = views.flatMap(({ member, problems: own }) => own.map((text) => `${member}: ${text}`));
  if (problems.length > 0) return problems;
  const most = Math.max(...views.map(({ tunnels }) => tunnels));
  // Those that came or went while members were asked one by one.
  const allowed = 10 + (most * o.gone) / 100;
  return views
    .filter(({ tunnels }) => tunnels < most - allowed)
    .map(({ member, tunnels }) => `${member}: ${tunnels} tunnels of ${most}`);
}

const allViews = () => Promise.all(o.members.map(viewOf));

/** Waits until a member is another process than `before` and nothing is wrong anywhere. Refusal with what still is. */
async function untilWhole(member, before) {
  const began = Date.now();
  let told = '';
  for (;;) {
    const views = await allViews();
    const problems = problemsOf(views);
    if (views.some((view) => view.member === member && view.incarnation === before.incarnation))
      problems.unshift(`${member}: the old process still runs`);
    if (problems.length === 0) return views;
    const waited = (Date.now() - began) / 1000;
    if (o.verbose && told !== problems.join('; ')) {
      told = problems.join('; ');
      say(`  ${waited.toFixed(1)} s: ${told}`);
    }
    if (waited > o.patience) throw new Refusal(`after the restart of ${member}: ${problems.join('; ')}`);
    await sleep(POLL_MS);
  }
}

async function must(member, line, what, status) {
  const result = await at(member, line);
  if (result.status !== 0) throw new Refusal(`${member}: ${what}: ${lastLine(result)}`, status);
}

/** The master of a gateway group gives its office away first: its heir answers at once. A member without a group has none. */
async function resign(member) {
  const result = await at(member, product('show groups --json'));
  // A table that a designator has not ends with this status: it is in no group.
  if (result.status === EXIT.unavailable) return;
  if (result.status !== 0) throw new Refusal(`${member}: show groups: ${lastLine(result)}`);
  for (const { group, state } of JSON.parse(result.stdout))
    if (state === 'master') await must(member, product(`gateway resign --group ${group}`), `resign ${group}`);
}

async function upgrade(member, before) {
  const began = Date.now();
  if (o.install !== undefined) await must(member, named(o.install, member), 'install');
  // The new version reads the old file before anything ends.
  await must(member, product('check'), 'check', EXIT.config);
  await resign(member);
  await must(member, named(o.restart, member), 'restart');
  if (o.verbose) say(`  ${member}: restarted after ${((Date.now() - began) / 1000).toFixed(1)} s`);
  const views = await untilWhole(member, before);
  const now = views.find((view) => view.member === member);
  const seconds = ((Date.now() - began) / 1000).toFixed(1);
  say(`${member}: ${before.version} → ${now.version}, ${now.tunnels} tunnels, ${seconds} s`);
  return views;
}

async function main() {
  let views = await allViews();
  const problems = problemsOf(views);
  if (problems.length > 0) throw new Refusal(`the cluster is not whole, nothing was done: ${problems.join('; ')}`);
  const tunnels = Math.max(...views.map((view) => view.tunnels));
  say(`${views.length} members, ${tunnels} tunnels; each member has all of them`);
  if (o.dryRun) return;
  for (const member of o.members)
    views = await upgrade(
      member,
      views.find((view) => view.member === member),
    );
  const left = Math.max(...views.map((view) => view.tunnels));
  say(`done: ${left} tunnels, ${tunnels} at the beginning`);
}

main().catch((error) => {
  process.stderr.write(`rolling-upgrade: ${error.message}\n`);
  process.exitCode = error instanceof Refusal ? error.status : 70;
});
