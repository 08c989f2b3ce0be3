/**
 * xl2tpd as client (LAC) and server (LNS) in plain namespaces. Where the kernel has no L2TP, xl2tpd passes PPP frames
 * through a pty to `pppd`; a stand-in is mounted over pppd, because pppd itself needs PPP in the kernel: slirp, a whole
 * PPP implementation, on both ends. The client's stand-in also asks for an echo (LCP Echo-Request) five times a second,
 * so that data crosses for as long as the session lasts.
 */
import { closeSync, constants, existsSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { LabError } from './command.js';
import type { Daemon } from './daemon.js';
import { hdlcFrame, octalText } from './hdlc.js';
import type { Lab } from './lab.js';
import type { Namespace } from './namespace.js';

import { waitFor } from './wait.js';

const PPPD = '/usr/sbin/pppd';
/** LCP (RFC 1661 §5.1): Configure-Request without options, and Echo-Request with magic number 0. */
const CONFIGURE_REQUEST = [0xff, 0x03, 0xc0, 0x21, 0x01, 0x01, 0x00, 0x04];
const ECHO_REQUEST = [0xff, 0x03, 0xc0, 0x21, 0x09, 0x42, 0x00, 0x08, 0, 0, 0, 0];
const ECHO_SECONDS = 0.2;

/** A tunnel as xl2tpd logs it: `local` is the id that this side assigned. */
export interface LoggedTunnel {
  readonly address: string;
  readonly port: number;
  readonly local: number;
  readonly remote: number;
}

const ESTABLISHED = /Connection established to ([\d.]+), (\d+)\. +Local: (\d+), Remote: (\d+)/;

class Xl2tpd {
  readonly daemon: Daemon;
  protected readonly control: string;

  constructor(lab: Lab, namespace: Namespace, label: string, config: string, standIn: string) {
    const file = join(lab.folder, `${label}.conf`);
    const pppd = join(lab.folder, `${label}.pppd`);
    this.control = join(lab.folder, `${label}.control`);
    writeFileSync(file, config);
    writeFileSync(join(lab.folder, 'ppp-options'), '');
    writeFileSync(pppd, standIn, { mode: 0o755 });
    const words = ['-D', '-c', file, '-p', join(lab.folder, `${label}.pid`), '-C', this.control];
    this.daemon = namespace.start(label, 'xl2tpd', words, { binds: [[pppd, PPPD]] });
  }

  async ready(): Promise<void> {
    await this.daemon.waitForLine(/Listening on IP address/);
    await waitFor(`the control pipe of ${this.daemon.label}`, () => existsSync(this.control));
  }

  /** Tunnels that were established so far, in order, those that have ended included. */
  established(): LoggedTunnel[] {
    return this.daemon.lines.flatMap((line) => {
      const found = ESTABLISHED.exec(line);
      if (found === null) return [];
      return [{ address: found[1], port: Number(found[2]), local: Number(found[3]), remote: Number(found[4]) }];
    });
  }

  /** Calls (sessions) that were established so far. */
  calls(): number {
    return this.daemon.count(/Call established with/);
  }

  /** A word for the control pipe. The open fails rather than waits when nobody reads it. */
  protected command(text: string): void {
    let fd: number;
    try {
      fd = openSync(this.control, constants.O_WRONLY | constants.O_NONBLOCK);
    } catch (error) {
      throw new LabError(
        `${this.daemon.label} does not read its control pipe (${(error as Error).message})\n${this.daemon.tail()}`,
      );
    }
    writeSync(fd, `${text}\n`);
    closeSync(fd);
  }
}

export interface ClientOptions {
  /** The address to dial: the VIP. */
  readonly lns: string;
  /** Tunnels that can be dialled, `t1` … Default 8. */
  readonly tunnels?: number;
  /** The client's own UDP port. Default 1701. */
  readonly port?: number;
  /** No PPP frame at all: the sessions stay silent. */
  readonly silent?: boolean;
  /** A tunnel that has ended is dialled again after so many seconds; never when absent. */
  readonly redialSeconds?: number;
}

export class Xl2tpdClient extends Xl2tpd {
  constructor(
    lab: Lab,
    namespace: Namespace,
    label: string,
    { lns, tunnels = 8, port = 1701, silent = false, redialSeconds }: ClientOptions,
  ) {
    const options = join(lab.folder, 'ppp-options');
    const redial = redialSeconds === undefined ? '' : `redial = yes\nredial timeout = ${redialSeconds}\n`;
    const sections = Array.from(
      { length: tunnels },
      (_, index) =>
        `[lac t${index + 1}]\nlns = ${lns}\npppoptfile = ${options}\nlength bit = yes\nhostname = ${label}\n${redial}`,
    );
    super(lab, namespace, label, `[global]\nport = ${port}\n${sections.join('')}`, silent ? SILENT : TALKING);
  }

  /** Dials tunnel `number` (1 …) and its one session; resolves when the session is established. */
  async connect(number: number, timeoutMs = 12_000): Promise<LoggedTunnel> {
    const { daemon } = this;
    const [calls, tunnels] = [this.calls(), this.established().length];
    this.command(`c t${number}`);
    await waitFor(
      `${daemon.label}: session of tunnel t${number}`,
      () => this.calls() > calls,
      timeoutMs,
      () => daemon.tail(),
    );
    return this.established()[tunnels];
  }

  /** Asks for a tunnel and does not wait. */
  dial(number: number): void {
    this.command(`c t${number}`);
  }

  /** Ends a tunnel: CDN, StopCCN. */
  disconnect(number: number): void {
    this.command(`d t${number}`);
  }
}

export interface ServerOptions {
  /** Where clients' addresses come from: `10.50.1` makes 10.50.1.100 to 10.50.1.250, this end is 10.50.1.1. */
  readonly pool?: string;
  readonly port?: number;
  readonly silent?: boolean;
}

export class Xl2tpdServer extends Xl2tpd {
  constructor(
    lab: Lab,
    namespace: Namespace,
    label: string,
    { pool = '10.50.0', port = 1701, silent = false }: ServerOptions = {},
  ) {
    const options = join(lab.folder, 'ppp-options');
    const text = `[global]\nport = ${port}\n[lns default]\nip range = ${pool}.100-${pool}.250\nlocal ip = ${pool}.1\npppoptfile = ${options}\nlength bit = yes\nhostname = ${label}\n`;
    super(lab, namespace, label, text, silent ? SILENT : ANSWERING);
  }
}

/**
 * The server then answers from another port, and takes packets on both, as RFC 2661 §8.1 allows: stateless rewriting in
 * its own namespace. With `only` it hears no more than requests at the port that it was dialled at: tunnel id 0.
 */
export function floatPort(namespace: Namespace, port: number, { only = false } = {}): Promise<string> {
  return namespace.nft(`table ip floating {
  chain out {
    type filter hook output priority raw;
    udp sport 1701 notrack
    udp sport 1701 udp sport set ${port} udp checksum set 0
  }
  chain in {
    type filter hook prerouting priority raw;
    udp dport { 1701, ${port} } notrack
    ${only ? 'udp dport 1701 @th,96,16 != 0 drop' : ''}
    udp dport ${port} udp dport set 1701 udp checksum set 0
  }
}
`);
}

const SILENT = '#!/bin/sh\nexec sleep 3600\n';
const ANSWERING = '#!/bin/sh\nexec slirp-fullbolt -P 2>/dev/null\n';
// slirp waits for the other end to begin. The loop ends with the session, which sends the whole group SIGHUP or SIGTERM,
// and at the latest when the pty is gone.
const TALKING = `#!/bin/sh
sleep 0.3
printf '${octalText(hdlcFrame(CONFIGURE_REQUEST))}'
( while sleep ${ECHO_SECONDS} && [ -d /proc/$$ ]; do printf '${octalText(hdlcFrame(ECHO_REQUEST))}' || exit; done ) &
exec slirp-fullbolt -P 2>/dev/null
`;
