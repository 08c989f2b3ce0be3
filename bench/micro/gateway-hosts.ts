/**
 * Cost of the hosts of a gateway group: a choice for a known host and for a new one by each algorithm, with its change
 * made ready for the other members; a change taken over from the master; a whole table sent and received.
 */
import { Hosts } from '#designator/gateway/hosts/hosts.js';
import { ALGORITHMS } from '#designator/gateway/types.js';
import { type Options, type Row, row } from './row.js';

const MEMBERS = 16;
const HOSTS = 2000;
/** At 5,000 requests a second one hundredth of a core. */
const BAR_NS = 2_000;
const TABLE_BAR_MS = 20;
const macOf = (i: number): number => 0x020000000000 + i;
const asked = Array.from({ length: 65_536 }, (_, i) => ({
  address: [0, 0, 0xffff, (0x0a000000 + i) >>> 0] as [number, number, number, number],
  turn: true,
}));

function member(number: number, algorithm: (typeof ALGORITHMS)[number]): Hosts {
  const hosts = new Hosts({
    number,
    algorithm,
    sticky: true,
    hostLimit: 65_536,
    hostIdle: 14_400,
    return: 'gradual',
    rebalance: null,
  });
  hosts.setForwarders(
    Array.from({ length: MEMBERS }, (_, i) => ({
      number: i + 1,
      server: i + 1,
      givenOut: true,
      weight: 100,
      load: 0.1,
    })),
    0,
  );
  hosts.follow(1, 0);
  return hosts;
}

/** Median of the CPU time of some rounds, nanoseconds for each of `count`. */
function median(rounds: number, count: number, round: () => void): number {
  const times: number[] = [];
  for (let i = 0; i < rounds; i++) {
    const began = process.cpuUsage();
    round();
    const { user, system } = process.cpuUsage(began);
    times.push(((user + system) * 1000) / count);
  }
  return times.sort((a, b) => a - b)[times.length >> 1];
}

export function run(options: Options = {}): Row[] {
  const rounds = options.smoke ? 1 : 7;
  const fresh = options.smoke ? 500 : 20_000;
  const repeats = options.smoke ? 1000 : 400_000;
  const rows: Row[] = [];
  for (const algorithm of ALGORITHMS) {
    const cost = median(rounds, fresh, () => {
      const hosts = member(1, algorithm);
      for (let i = 0; i < fresh; i++) {
        if (hosts.choose(macOf(i), asked[i], i / 5000) === null) throw new Error('no gateway');
        if (i % 8 === 7) hosts.messages(i / 5000);
      }
    });
    rows.push(
      row('gateway hosts', `a new host, ${algorithm}, told to ${MEMBERS - 1} members`, fresh, cost, 'ns', BAR_NS * 2),
    );
  }
  const master = member(1, 'weighted');
  for (let i = 0; i < HOSTS; i++) master.choose(macOf(i), asked[i], 0);
  master.messages(0);
  let now = 1;
  const known = median(rounds, repeats, () => {
    for (let i = 0; i < repeats; i++) master.choose(macOf(i % HOSTS), asked[i % HOSTS], (now += 1 / 5000));
  });
  rows.push(row('gateway hosts', 'a known host', HOSTS, known, 'ns', BAR_NS));
  rows.push(
    row('gateway hosts', 'a change taken over from the master', fresh, changes(rounds, fresh), 'ns', BAR_NS * 2),
  );
  const whole = median(rounds, 1_000_000, () => transfer(HOSTS));
  rows.push(row('gateway hosts', 'a whole table asked for, sent and received', HOSTS, whole, 'ms', TABLE_BAR_MS));
  return rows;
}

function changes(rounds: number, count: number): number {
  const master = member(1, 'weighted');
  const bodies: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    master.choose(macOf(i), asked[i], 0);
    if (i % 8 === 7) bodies.push(...master.messages(0).map(({ body }) => body));
  }
  bodies.push(...master.messages(0).map(({ body }) => body));
  return median(rounds, count, () => {
    const replica = member(2, 'weighted');
    for (const body of bodies) replica.receive(1, body, 0);
    if (replica.size !== count) throw new Error(`${replica.size} of ${count} hosts`);
  });
}

function transfer(count: number): void {
  const master = member(1, 'weighted');
  const replica = member(2, 'weighted');
  for (let i = 0; i < count; i++) master.choose(macOf(i), asked[i], 0);
  master.messages(0);
  replica.heard(1, master.position(), 0);
  for (let now = 1; replica.size < count; now += 1) {
    for (const { body } of replica.messages(now)) master.receive(2, body, now);
    for (const { body } of master.messages(now)) replica.receive(1, body, now);
    if (now > 100) throw new Error('the table does not come');
  }
}
