/** The real host of gateway groups: the addon, netlink, the clock and programs. */
import { readFileSync } from 'node:fs';
import { native } from '../../io/native.js';
import { gatewayProblems } from '../../io/gateway-checks.js';
import { openGatewayPort } from '../../io/gateway-port.js';
import { HostWatch } from '../../io/host-watch.js';
import { keepHeapsQuiet, makeUrgent } from '../../workers/urgency.js';
import { randomSource } from '../endpoint/random.js';
import { keyOf } from '../secret.js';
import { ProcessorLoad } from './load.js';
import type { GatewayWorld } from './gateway.js';
import { runScript } from './tracking.js';

const THIS_THREAD = 0;
const GLBP_KEY = { min: 1, max: 251 } as const;

/** `onChange`: links, addresses or routes of the host have changed. */
export function realWorld(onChange: () => void): GatewayWorld {
  const addon = native();
  const watch = new HostWatch(addon, onChange);
  const processor = new ProcessorLoad();
  const random = randomSource();
  return {
    openPort: (options) => openGatewayPort(addon, options),
    problems: (device, addresses, forwarding) => gatewayProblems(addon, { device, addresses, forwarding }),
    addressesOf: (index) => watch.addressesOf(index),
    now: () => addon.monotonicSeconds(),
    random,
    processor: () => processor.share,
    keyOf: ({ key, glbp }) => (key === null ? new Uint8Array() : keyOf(key, glbp === null ? undefined : GLBP_KEY)),
    interfaceUp: (device) => watch.interfaceUp(device),
    routesTo: (prefixes) => watch.routesTo(prefixes),
    run: runScript,
    load: () => processor.share,
    after: (seconds, act) => {
      const timer = setTimeout(act, seconds * 1000);
      return () => clearTimeout(timer);
    },
    measure: () => processor.look(text('/proc/stat')),
    hurry: () => {
      keepHeapsQuiet();
      return makeUrgent(THIS_THREAD);
    },
    close: () => watch.close(),
  };
}

function text(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
