// A child process in a network namespace that owns UDP sockets for its parent: messages in, messages out. It knows
// nothing of what it carries. Started by udp-agent.ts; ends when the parent goes.
import dgram from 'node:dgram';

const sockets = new Map();

process.on('message', (order) => {
  switch (order.type) {
    case 'bind': {
      const socket = dgram.createSocket({ type: order.address.includes(':') ? 'udp6' : 'udp4', reuseAddr: true });
      sockets.set(order.id, socket);
      socket.on('message', (data, { address, port }) =>
        process.send({ type: 'message', id: order.id, data, address, port }),
      );
      socket.on('error', (error) => process.send({ type: 'error', id: order.id, message: error.message }));
      socket.bind(order.port, order.address, () => {
        socket.setRecvBufferSize(4 * 1024 * 1024);
        process.send({ type: 'bound', id: order.id, port: socket.address().port });
      });
      break;
    }
    case 'send':
      for (const { data, address, port } of order.datagrams) sockets.get(order.id)?.send(data, port, address, () => {});
      break;
  }
});
process.on('disconnect', () => process.exit(0));
