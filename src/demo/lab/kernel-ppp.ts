/** xl2tpd in guests, whose kernels do PPP and L2TP data themselves: addresses are agreed on, and a ping crosses. */
import type { Guest } from './uml.js';
import { waitFor } from './wait.js';

const USER = 'alice';
/** Whoever comes has this password. */
const SECRETS = '* * s3cret *\n';
/** Of CHAP (RFC 1994) and IPCP over a loaded machine. */
const PPP_MS = 30_000;

/** Starts xl2tpd on a port and waits for its control pipe. */
const start = (port: number): string => `mkdir -p /run/xl2tpd
setsid xl2tpd -D -c /etc/xl2tpd/${port}.conf -p /run/x.${port} -C ${pipe(port)} >/lab/xl2tpd.${port} 2>&1 </dev/null &
for i in $(seq 50); do [ -p ${pipe(port)} ] && exit 0; sleep 0.1; done; exit 1`;
const pipe = (port: number): string => `/run/xl2tpd/${port}`;

/** `ip`-batch lines for a guest's network: `addr add 192.0.2.1/24 dev eth0`. */
async function prepare(guest: Guest, network: readonly string[]): Promise<void> {
  await guest.ready();
  await guest.run(['modprobe l2tp_ppp', 'modprobe ppp_async', ...network.map((line) => `ip ${line}`)].join(' && '));
  await guest.put('/etc/ppp/chap-secrets', SECRETS);
}

export interface KernelServerOptions {
  readonly network: readonly string[];
  /** This end is `<pool>.1`, clients get `<pool>.100` and following. */
  readonly pool: string;
}

export async function startKernelServer(guest: Guest, { network, pool }: KernelServerOptions): Promise<void> {
  await prepare(guest, network);
  await guest.put('/etc/ppp/l2tp', 'noccp\nauth\nmtu 1400\nmru 1400\n');
  await guest.put(
    '/etc/xl2tpd/1701.conf',
    `[global]
port = 1701
[lns default]
ip range = ${pool}.100-${pool}.200
local ip = ${pool}.1
require chap = yes
refuse pap = yes
name = lns
hostname = ${guest.name}
pppoptfile = /etc/ppp/l2tp
length bit = yes
`,
  );
  await guest.run(start(1701));
}

export interface KernelClientOptions {
  readonly network: readonly string[];
  readonly vip: string;
  /** The client's own UDP port. Default 1701. */
  readonly port?: number;
  readonly tunnels?: number;
  /** More options of pppd. */
  readonly pppOptions?: readonly string[];
}

/**
 * One kernel holds one tunnel for each pair of sockets, so tunnels that shall live at the same time to one address need
 * client ports of their own: `port`.
 */

export class KernelClient {
  readonly #guest: Guest;
  readonly #port: number;

  private constructor(guest: Guest, port: number) {
    this.#guest = guest;
    this.#port = port;
  }

  static async start(guest: Guest, { network, ...options }: KernelClientOptions): Promise<KernelClient> {
    await prepare(guest, network);
    return KernelClient.another(guest, options);
  }

  /** In a guest whose network is there already. */
  static async another(
    guest: Guest,
    { vip, tunnels = 4, port = 1701, pppOptions = [] }: Omit<KernelClientOptions, 'network'>,
  ): Promise<KernelClient> {
    const options = ['noccp', 'noauth', `name ${USER}`, 'mtu 1400', 'mru 1400', 'nodefaultroute', ...pppOptions];
    const file = `/etc/ppp/l2tp.${port}`;
    await guest.put(file, options.map((option) => `${option}\n`).join(''));
    const sections = Array.from(
      { length: tunnels },
      (_, index) =>
        `[lac t${index + 1}]\nlns = ${vip}\nhostname = ${guest.name}\nname = ${USER}\npppoptfile = ${file}\nlength bit = yes\n`,
    );
    await guest.put(`/etc/xl2tpd/${port}.conf`, `[global]\nport = ${port}\n${sections.join('')}`);
    await guest.run(start(port));
    return new KernelClient(guest, port);
  }

  /** Dials tunnel `number`, whatever comes of it. */
  dial(number: number): Promise<void> {
    return this.#command(`c t${number}`);
  }

  /** Dials tunnel `number` and waits for its PPP interface: ppp0 is the first that came up. */
  async connect(number: number, device: string): Promise<{ local: string; peer: string }> {
    await this.dial(number);
    return waitFor(
      `${device} in guest ${this.#guest.name}`,
      async () => {
        const { output } = await this.#guest.tryRun(`ip -4 -o addr show up dev ${device}`);
        const found = /inet ([\d.]+) peer ([\d.]+)/.exec(output);
        return found === null ? null : { local: found[1], peer: found[2] };
      },
      PPP_MS,
      () => this.#guest.output(`xl2tpd.${this.#port}`).split('\n').slice(-15).join('\n'),
    );
  }

  /** Replies of `count` echo requests with `size` bytes through a tunnel. */
  async ping(peer: string, device: string, count = 5, size = 56): Promise<number> {
    return this.#guest.ping(peer, { count, size, device });
  }

  async disconnect(number: number): Promise<void> {
    await this.#command(`d t${number}`);
  }

  async #command(text: string): Promise<void> {
    await this.#guest.run(`timeout 5 sh -c 'echo "${text}" > ${pipe(this.#port)}'`);
  }
}
