/**
 * The data path of `designator lns` as a process in the contestant's namespace, its sessions written into the table
 * directly. Arguments: own address, address of the LAC, sessions, first address of the subscribers, workers. Writes a JSON line as lns-client-child.ts does, and stays.
 */
import { CALL_FLAG } from '#designator/flow/session-layout.js';
import type { Words } from '#designator/flow/session-table.js';
import { formatIpv4, parseAddress } from '#designator/wire/address.js';
import { TunnelPlane } from '#designator/workers/tunnel-plane.js';
import { L2TP_PORT } from './frames.js';
import type { LnsSession } from './lns-frames.js';

const [own, lac, count, first, workers] = process.argv.slice(2);
const words = (address: string): Words => parseAddress(address) as Words;
const plane = await TunnelPlane.open({
  workers: Number(workers),
  sessions: Number(count),
  tun: { name: 'tun0', mtu: 1500 },
  onFatal: (error) => {
    throw error;
  },
});
const socket = plane.addSocket(own, L2TP_PORT);
const sessions: LnsSession[] = [];
for (let id = 1; id <= Number(count); id++) {
  const ipv4 = (words(first)[3] + id) | 0;
  const slot = plane.table.add({
    kind: 'lns',
    state: 'forward',
    tunnel: {
      socket,
      address: words(lac),
      port: L2TP_PORT,
      localTunnelId: 1,
      localSessionId: id,
      peerTunnelId: 1,
      peerSessionId: id,
    },
    access: null,
    flags: CALL_FLAG.ipv4 | CALL_FLAG.checkPeer | CALL_FLAG.antiSpoof,
    ipv4,
    prefix: null,
    routes: [],
    mru: 1500,
    clampMss: 0,
  });
  if (slot < 0) throw new Error(plane.table.refusal);
  sessions.push({ tunnel: 1, session: id, ownTunnel: 1, ownSession: id, address: formatIpv4(ipv4) });
}
process.stdout.write(`${JSON.stringify(sessions)}\n`);
setInterval(() => {
  process.stderr.write(
    `${JSON.stringify({
      ...plane.statistics(),
      drops: plane
        .drops()
        .filter((d) => d.packets > 0)
        .map((d) => `${d.reason} ${d.packets}`),
    })}\n`,
  );
}, 5000);
