/** A thread that turns a packet ring until it is terminated. */
import { parentPort } from 'node:worker_threads';
import { HandMadeTable, macOf, openPort } from './packet-wire.js';

const { port } = openPort(new HandMadeTable(), {
  devices: [
    { name: 'd0', role: 'outside' },
    { name: 'd1', role: 'inside' },
  ],
  ports: [{ device: 0, vlan: 0, mac: macOf('d0') }],
  fanout: { group: 4243, shards: 2 },
});
parentPort?.postMessage('open');
for (;;) port.turn(0, 0, 10);
