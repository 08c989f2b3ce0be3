/** pppd with its PPPoE plugin in a guest whose kernel does PPPoE: a customer's router, as far as the LAC can tell. */
import { LabError } from './command.js';
import type { Guest } from './uml.js';
import { waitFor } from './wait.js';

/** Discovery, LCP, authentication and IPCP over a loaded machine. */
const PPP_MS = 30_000;
/** RFC 2516 §7: what fits beside the PPPoE header. */
const MTU = 1492;

export interface PppoeOptions {
  readonly user: string;
  readonly password: string;
  /** Ethernet interface of the guest. Default eth0. */
  readonly device?: string;
  /** Service-Name that is asked for. Default: any. */
  readonly service?: string;
  /** Access concentrator that is asked for by name. Default: any. */
  readonly concentrator?: string;
  /** Number of the PPP interface: `ppp0`. Default 0. */
  readonly unit?: number;
  /** More lines for pppd: `refuse-pap`, `ipv6 ::1,::2`, `mtu 1400` … */
  readonly options?: readonly string[];
}

export interface PppAddresses {
  readonly local: string;
  readonly peer: string;
}

/** Loads what a guest needs to be a PPPoE client; once for each guest. */
export async function preparePppoe(guest: Guest): Promise<void> {
  await guest.ready();
  await guest.run('modprobe pppoe && ip link set eth0 up && mkdir -p /etc/ppp/peers /run/pppd');
}

export class PppoeClient {
  readonly device: string;
  readonly #log: string;
  readonly #pid: string;

  private constructor(
    private readonly guest: Guest,
    unit: number,
  ) {
    this.device = `ppp${unit}`;
    this.#log = `pppoe.${unit}.log`;
    this.#pid = `/run/${this.device}.pid`;
  }

  /** Starts pppd, which dials at once; `connected` says when there is an address. */
  static async dial(
    guest: Guest,
    { user, password, device = 'eth0', service, concentrator, unit = 0, options = [] }: PppoeOptions,
  ): Promise<PppoeClient> {
    const client = new PppoeClient(guest, unit);
    const lines = [
      'plugin rp-pppoe.so',
      ...(service === undefined ? [] : [`rp_pppoe_service "${service}"`]),
      ...(concentrator === undefined ? [] : [`rp_pppoe_ac "${concentrator}"`]),
      `nic-${device}`,
      `user "${user}"`,
      `password "${password}"`,
      `unit ${unit}`,
      `mtu ${MTU}`,
      `mru ${MTU}`,
      'noauth',
      'noccp',
      'nodetach',
      'nodefaultroute',
      'noipdefault',
      'maxfail 1',
      'lcp-echo-interval 5',
      'lcp-echo-failure 4',
      'debug',
      ...options,
    ];
    await guest.put(`/etc/ppp/peers/pppoe${unit}`, `${lines.join('\n')}\n`);
    await guest.run(`setsid pppd call pppoe${unit} >/lab/${client.#log} 2>&1 </dev/null & echo $! >/run/pppoe.${unit}`);
    return client;
  }

  /** Resolves when the interface has its address and is up. LabError with pppd's log when it ends before. */
  connected(timeoutMs = PPP_MS): Promise<PppAddresses> {
    return waitFor(
      `${this.device} in guest ${this.guest.name}`,
      () => {
        // pppd says so when it has set up the interface altogether; an address alone is there earlier.
        const found = /^local  IP address ([\d.]+)\nremote IP address ([\d.]+)\n/m.exec(this.log());
        if (found !== null) return { local: found[1], peer: found[2] };
        if (/^(Modem hangup|Connection terminated|Unable to complete PPPoE|Connect script failed)/m.test(this.log()))
          throw new LabError(`pppd in guest ${this.guest.name} gave up\n${this.tail()}`);
        return null;
      },
      timeoutMs,
      () => this.tail(),
    );
  }

  /** What pppd has said, with every control message that it sent and got. */
  log(): string {
    return this.guest.output(this.#log);
  }

  tail(lines = 25): string {
    return this.log().split('\n').slice(-lines).join('\n');
  }

  /** LCP Configure-Requests that came so far: more of them later means that somebody has negotiated anew. */
  lcpRequests(): number {
    return (this.log().match(/^rcvd \[LCP ConfReq/gm) ?? []).length;
  }

  /** Replies of `count` echo requests with `size` bytes. */
  async ping(address: string, count = 5, size = 56): Promise<number> {
    return this.guest.ping(address, { count, size, device: this.device });
  }

  /** Ends the link as a customer does: LCP Terminate-Request, then PADT. Resolves when pppd has ended. */
  async hangUp(): Promise<void> {
    await this.guest.tryRun(`kill -TERM $(cat ${this.#pid})`);
    await waitFor(
      `pppd of ${this.device} to end`,
      async () => (await this.guest.tryRun(`[ ! -e ${this.#pid} ]`)).status === 0,
      PPP_MS,
      () => this.tail(),
    );
  }
}
