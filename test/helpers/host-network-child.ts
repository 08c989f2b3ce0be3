/**
 * HostNetwork in a network namespace: run by tests under `ip netns exec`. Arguments: outside and inside, as in a
 * configuration. Writes what happens as JSON lines; reads `resolve PORT ADDRESS`, `neighbours`, `addresses`, `stop`.
 */
import { createInterface } from 'node:readline';
import { HostNetwork, type Neighbour } from '../../src/io/host-network.js';
import { formatWords, parseAddress } from '../../src/wire/address.js';

const tell = (what: string, facts: object): void => {
  process.stdout.write(`${JSON.stringify({ what, ...facts })}\n`);
};
const log = (level: string) => (_facts: object, message: string) => tell('log', { level, message });
const side = (name: string) => {
  const [device, vlan] = name.split('.');
  return { name, device, vlan: Number(vlan ?? 0) };
};
const readable = ({ port, words, mac }: Neighbour) => ({
  port,
  address: formatWords(words),
  mac: mac === null ? null : Buffer.from(mac).toString('hex'),
});

const network = new HostNetwork({
  outside: side(process.argv[2]),
  inside: side(process.argv[3]),
  logger: { info: log('info'), warn: log('warn'), error: log('error') },
});
network.on('routes', ({ prefixes, lengths, ports, gateways }) =>
  tell('routes', {
    rows: Array.from(lengths, (length, row) => ({
      prefix: `${formatWords(prefixes, row * 4)}/${length}`,
      port: ports[row],
      gateway: formatWords(gateways, row * 4),
    })),
  }),
);
network.on('neighbour', (neighbour) => tell('neighbour', readable(neighbour)));
network.on('link', (link) => tell('link', link));

createInterface({ input: process.stdin }).on('line', (line) => {
  const [command, port, address] = line.split(' ');
  const words = parseAddress(address ?? '');
  if (command === 'resolve' && words !== null) network.resolve(Number(port), [...words]);
  else if (command === 'neighbours') tell('neighbours', { rows: network.neighbours().map(readable) });
  else if (command === 'addresses')
    tell('addresses', { rows: network.addresses().map(({ port, words }) => `${port} ${formatWords(words)}`) });
  else if (command === 'stop') {
    network.stop();
    process.stdin.destroy();
  }
});
try {
  await network.start();
  tell('started', { own: [0, 1].map((port) => network.needsOwnResolution(port)) });
} catch (error) {
  const { code, message } = error as { code: string; message: string };
  tell('failed', { code, message });
  process.stdin.destroy();
}
