/**
 * A group's answers on a real interface, in a network namespace: run by tests under `ip netns exec`. Arguments: the
 * interface, then the shared addresses. Who is chosen is what the test says; the rest is the real thing. Reads
 * `[method, …arguments]` as JSON lines, answers each with what the method returned; the end of its input stops it.
 */
import { createInterface } from 'node:readline';

const { Answers } = await import('../../dist/gateway/answers/answers.js');
const { ConflictDefence } = await import('../../dist/gateway/answers/defence.js');
const { RouterAdvertiser } = await import('../../dist/gateway/answers/router-advertiser.js');
const { macText } = await import('../../dist/gateway/mac.js');
const { LanSocket } = await import('../../dist/io/lan-socket.js');
const { native } = await import('../../dist/io/native.js');
const { formatAddress, parseAddress } = await import('../../dist/wire/address.js');

const [device, ...texts] = process.argv.slice(2);
const addresses = texts.map(parseAddress);
const group = { scheme: 'local', group: 7, addresses };
const answers = new Answers(group);
const defence = new ConflictDefence();
const now = () => native().monotonicSeconds();
const router = new RouterAdvertiser({
  ...group,
  source: addresses.find((words) => words[0] === 0xfe800000) ?? null,
  advertise: {
    interval: 60,
    lifetime: 1800,
    managed: false,
    other: false,
    mtu: 0,
    prefixes: [
      {
        prefix: parseAddress('fd00:7::'),
        length: 64,
        onLink: true,
        autonomous: true,
        validLifetime: 7200,
        preferredLifetime: 3600,
      },
    ],
    resolvers: [],
  },
  // No delay: nothing here waits for chance.
  random: (count) => new Uint8Array(count),
});

let forwarder = 1;
let defending = false;
const heardAll = [];
const hosts = new Map();
const send = (frames) => socket.send(frames);

function handle(frame) {
  const heard = answers.classify(frame);
  if (heard.kind === 'ignored' || heard.kind === 'own' || heard.kind === 'sighting') return;
  heardAll.push(`${heard.kind} ${heard.by ?? (heard.probe ? 'probe' : '')} ${heard.forwarder ?? ''}`.trim());
  if (heard.kind === 'router-solicitation') return router.solicited(heard.host, heard.address, now());
  if (heard.kind === 'claim') defence.heard(heard, defending, now());
  const ask = heard.kind === 'claim' ? heard.ask : heard;
  if (ask === null) return;
  send([answers.reply(ask, forwarder)]);
  if (ask.address === null) return;
  const known = hosts.get(ask.host) ?? { mac: ask.host, addresses: [], forwarder };
  known.forwarder = forwarder;
  const text = formatAddress(...ask.address);
  if (!known.addresses.some((words) => formatAddress(...words) === text)) known.addresses.push(ask.address);
  hosts.set(ask.host, known);
}

const socket = new LanSocket(native(), {
  device,
  mtu: 1500,
  addresses,
  groups: [],
  onFrames: (batch) => {
    for (let i = 0; i < batch.count; i++) handle(batch.frame(i));
  },
});
const ticking = setInterval(() => {
  send(router.tick(now()));
  for (const host of defence.turn(() => hosts.values(), now()))
    send(answers.tell(host.mac, host.addresses, host.forwarder));
}, 10);

const methods = {
  /** What was heard since the last call. */
  heard: () => heardAll.splice(0),
  /** From now on this one is chosen. */
  choose: (number) => {
    forwarder = number;
  },
  /** All known hosts are told to use it, now. */
  move: (number) => {
    forwarder = number;
    for (const host of hosts.values()) {
      host.forwarder = number;
      send(answers.tell(host.mac, host.addresses, number));
    }
  },
  teach: (number) => send([answers.teach(number)]),
  advertise: () => router.start(forwarder, now()),
  farewell: () => {
    send(router.farewell());
    router.stop();
  },
  defend: (on) => {
    defending = on;
  },
  hosts: () =>
    [...hosts.values()].map((host) => [macText(host.mac), ...host.addresses.map((a) => formatAddress(...a))]),
  counters: () => ({ ...defence.counters(), ...router.counters() }),
};

process.stdout.write('"ready"\n');
for await (const line of createInterface({ input: process.stdin })) {
  const [method, ...words] = JSON.parse(line);
  process.stdout.write(`${JSON.stringify(methods[method](...words) ?? null)}\n`);
}
clearInterval(ticking);
socket.close();
