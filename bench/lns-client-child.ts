/**
 * Sets up sessions with an LNS, as a LAC with one tunnel does whose customers come in by PPP: our own engines on a plain
 * UDP socket. Arguments: own address, address of the LNS, sessions, user, password. Writes one JSON line: a list of
 * { tunnel, session, ownTunnel, ownSession, address }, ids as the LNS and as this end assigned them; then it ends without a word to the LNS.
 */
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { setTimeout as sleep } from 'node:timers/promises';
import { L2tpEndpoint } from '#designator/protocol/l2tp/endpoint.js';
import type { L2tpSession } from '#designator/protocol/l2tp/session.js';
import { PppLink } from '#designator/protocol/ppp/link.js';
import type { PppOptions } from '#designator/protocol/ppp/options.js';
import { formatIpv4 } from '#designator/wire/address.js';
import type { LnsSession } from './lns-frames.js';

const [own, lns, count, user, password] = process.argv.slice(2);
const SESSIONS = Number(count);
/** Calls under way at a time. */
const ABREAST = 10;
const PORT = 1701;
const PATIENCE_SECONDS = 60;
const DATA_HEADER = 6;

const now = (): number => performance.now() / 1000;
const random = (length: number): Uint8Array => randomBytes(length);
const to = { address: lns, port: PORT, socket: 0 };
const endpoint = new L2tpEndpoint({ hostName: 'bench-lac', random, profile: () => null });
const options: PppOptions = {
  random,
  hostName: user,
  authenticate: [],
  credentials: { name: user, password, methods: ['chap-md5', 'pap'] },
  network: 'client',
};
const links = new Map<L2tpSession, PppLink>();
const done: LnsSession[] = [];
const socket = createSocket({ type: 'udp4', recvBufferSize: 8 << 20 });
let calls = 0;

socket.on('message', (message) => {
  if ((message[0] & 0x80) !== 0) endpoint.receive(message, to, now());
  else {
    const long = (message[0] & 0x40) !== 0 ? 2 : 0;
    const session = tunnel?.sessions.get(message.readUInt16BE(4 + long));
    const sequenced = (message[0] & 0x08) !== 0 ? 4 : 0;
    if (session !== undefined) links.get(session)?.receive(message.subarray(DATA_HEADER + long + sequenced), now());
  }
  turn();
});
await new Promise<void>((resolve) => socket.bind(PORT, own, resolve));
const tunnel = endpoint.open(to, {}, now());

function turn(): void {
  for (let again = true; again; ) {
    again = false;
    for (const event of endpoint.events()) {
      again = true;
      if (event.type === 'tunnel-up') for (let i = 0; i < ABREAST; i++) call();
      if (event.type === 'call-answered') event.session.connect({ txSpeed: 1_000_000_000, framing: 1 });
      if (event.type === 'session-up') {
        const link = new PppLink(options);
        links.set(event.session, link);
        link.start(now());
      }
      if (event.type === 'session-down' || event.type === 'tunnel-down')
        throw new Error(JSON.stringify({ ...event, session: 0, tunnel: 0 }));
    }
  }
  for (const { bytes } of endpoint.output(now())) socket.send(bytes, PORT, lns);
  for (const [session, link] of links) serve(session, link);
}

function call(): void {
  if (calls >= SESSIONS || tunnel === null) return;
  calls++;
  tunnel.call('incoming', { called: '1', calling: String(calls) });
}

function serve(session: L2tpSession, link: PppLink): void {
  for (const event of link.events()) {
    if (event.type === 'down') throw new Error(`PPP of session ${session.localId} is down: ${event.reason}`);
    if (event.type !== 'network-up' || event.protocol !== 'ipv4') continue;
    const word = new DataView(event.local.buffer, event.local.byteOffset).getUint32(0);
    done.push({
      tunnel: session.tunnel.peerId,
      session: session.peerId,
      ownTunnel: session.tunnel.localId,
      ownSession: session.localId,
      address: formatIpv4(word),
    });
    links.delete(session);
    call();
  }
  for (const frame of link.output(now())) {
    const message = new Uint8Array(DATA_HEADER + frame.length);
    const view = new DataView(message.buffer);
    view.setUint16(0, 2);
    view.setUint16(2, session.tunnel.peerId);
    view.setUint16(4, session.peerId);
    message.set(frame, DATA_HEADER);
    socket.send(message, PORT, lns);
  }
}

for (const until = now() + PATIENCE_SECONDS; done.length < SESSIONS; await sleep(10)) {
  turn();
  if (now() > until) throw new Error(`${done.length} of ${SESSIONS} sessions after ${PATIENCE_SECONDS} s`);
}
process.stdout.write(`${JSON.stringify(done)}\n`, () => process.exit(0));
