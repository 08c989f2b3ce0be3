/**
 * The host's part of a gateway group in a network namespace: run by tests under `ip netns exec`. One argument, JSON:
 * { device, group, addresses, accept, forwarding, lockFolder }. Writes what happens as JSON lines; reads commands, one a line:
 * `send HEX…`, `hold N…`, `let-go N…`, `traffic`, `statistics`, `addresses ACCEPT ADDRESS…`, `stop`.
 */
import { createInterface } from 'node:readline';
import { macBytes, messagesMac, virtualMac } from '../../src/gateway/mac.js';
import { gatewayProblems } from '../../src/io/gateway-checks.js';
import { openGatewayPort } from '../../src/io/gateway-port.js';
import type { LinkState } from '../../src/io/gateway-types.js';
import { native } from '../../src/io/native.js';
import { type AddressWords, parseAddress } from '../../src/wire/address.js';

export interface HostChildOptions {
  readonly device: string;
  readonly group: number;
  readonly addresses: readonly string[];
  readonly accept?: boolean;
  readonly forwarding?: 'macvlan' | 'none';
  readonly glbp?: boolean;
  readonly lockFolder: string;
}

const tell = (what: string, facts: object): void => {
  process.stdout.write(`${JSON.stringify({ what, ...facts })}\n`);
};
const words = (texts: readonly string[]): AddressWords[] => texts.map((text) => parseAddress(text) as AddressWords);
const linkFacts = ({ present, up, index, mtu, mac }: LinkState) => ({
  present,
  up,
  index,
  mtu,
  mac: Buffer.from(mac).toString('hex'),
});

const options = JSON.parse(process.argv[2]) as HostChildOptions;
const { device, group, forwarding = 'macvlan' } = options;
const addresses = words(options.addresses);
const addon = native();

async function serve(): Promise<void> {
  const port = await openGatewayPort(addon, {
    device,
    group,
    addresses,
    messages: macBytes(messagesMac(group)),
    virtualMac: macBytes(virtualMac('local', group, 0)),
    accept: options.accept ?? true,
    forwarding,
    glbp: options.glbp,
    lockFolder: options.lockFolder,
    onFrames: (frames) => {
      for (let i = 0; i < frames.count; i++) {
        const age = frames.now - frames.arrived(i);
        tell('frame', { hex: Buffer.from(frames.frame(i)).toString('hex'), age, batch: frames.count });
      }
    },
    onLink: (link) => tell('link', linkFacts(link)),
    onTrouble: (trouble) => tell('trouble', { trouble }),
  });
  tell('open', linkFacts(port.link));
  const actions = (kind: 'hold' | 'let-go', numbers: readonly string[]) =>
    port.apply(
      numbers.map((text) => ({ kind, number: Number(text), mac: macBytes(virtualMac('local', group, Number(text))) })),
    );
  const commands: Record<string, (rest: string[]) => unknown> = {
    send: (frames) => ({ sent: port.send(frames.map((hex) => Buffer.from(hex, 'hex'))) }),
    hold: (numbers) => {
      const before = addon.monotonicSeconds();
      actions('hold', numbers);
      return { seconds: addon.monotonicSeconds() - before };
    },
    'let-go': (numbers) => actions('let-go', numbers),
    traffic: () => ({ rows: Object.fromEntries(port.traffic()) }),
    statistics: () => ({ counts: port.statistics() }),
    addresses: ([accept, ...texts]) => port.setAddresses(words(texts), accept === 'true'),
    stop: () => port.close(),
  };
  for await (const line of createInterface({ input: process.stdin })) {
    const [command, ...rest] = line.split(' ');
    tell('done', { command, ...((await commands[command]?.(rest)) as object | undefined) });
    if (command === 'stop') break;
  }
  process.stdin.destroy();
}

const problems = gatewayProblems(addon, { device, forwarding, addresses });
tell('problems', { problems });
try {
  await serve();
} catch (error) {
  const { code, message, exitStatus } = error as { code: string; message: string; exitStatus: number };
  tell('failed', { code, message, exitStatus });
  process.stdin.destroy();
}
