// A child process in a network namespace that owns UDP sockets for its parent: messages in, messages out. It knows
// nothing of what it carries. Started by udp-agent.ts; ends when the parent goes.
import dgram from 'node:dgram';
import { createRequire } from 'node:module';

const sockets = new Map();
/** Those that are connected: the kernel lets nobody but their peer speak to them, and answers others with an ICMP error. */
const connected = new Set();
const raw = new Map();

/** Sends whole IP packets (IPPROTO_RAW). */
function rawSocket(v6) {
  if (!raw.has(v6)) {
    const { createSocket } = createRequire(import.meta.url)('raw-socket');
    raw.set(v6, createSocket({ protocol: 255, addressFamily: v6 ? 2 : 1 }));
  }
  return raw.get(v6);
}

process.on('message', (order) => {
  switch (order.type) {
    case 'bind': {
      const socket = dgram.createSocket({ type: order.address.includes(':') ? 'udp6' : 'udp4', reuseAddr: true });
      sockets.set(order.id, socket);
      socket.on('message', (data, { address, port }) =>
        process.send({ type: 'message', id: order.id, data, address, port }),
      );
      socket.on('error', (error) => process.send({ type: 'error', id: order.id, message: error.message }));
      const bound = () => process.send({ type: 'bound', id: order.id, port: socket.address().port });
      socket.bind(order.port, order.address, () => {
        socket.setRecvBufferSize(4 * 1024 * 1024);
        if (order.peer === undefined) return bound();
        connected.add(order.id);
        socket.connect(order.peer.port, order.peer.address, bound);
      });
      break;
    }
    case 'raw':
      for (const { packet, address } of order.packets)
        rawSocket(address.includes(':')).send(Buffer.from(packet), 0, packet.length, address, () => {});
      break;
    case 'send':
      for (const { data, address, port } of order.datagrams) {
        const socket = sockets.get(order.id);
        // A connected socket speaks to its peer and nobody else, whatever it is told.
        if (connected.has(order.id)) socket.send(data, () => {});
        else socket?.send(data, port, address, () => {});
      }
      break;
  }
});
process.on('disconnect', () => process.exit(0));
