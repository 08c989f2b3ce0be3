/**
 * A user-mode-linux guest: a whole kernel (PPP, L2TP, VLANs) as a process. Its root is this machine's own file tree, read
 * only, under an overlay in the guest's memory: every program that is here runs there, and nothing it writes stays.
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LabError } from './command.js';
import type { Daemon } from './daemon.js';
import type { Bridge, Lab } from './lab.js';
import { patientPing, repliesOf } from './patient-ping.js';
import { waitFor } from './wait.js';

const BOOT_MS = 40_000;

export interface GuestOptions {
  readonly mac: string;
  readonly memory?: string;
}

export interface GuestPing {
  readonly count?: number;
  /** Bytes behind the ICMP header. */
  readonly size?: number;
  readonly device?: string;
}

export class Guest {
  readonly daemon: Daemon;
  /** /lab in the guest. */
  readonly share: string;
  #calls = 0;

  private constructor(
    readonly name: string,
    daemon: Daemon,
    share: string,
  ) {
    this.daemon = daemon;
    this.share = share;
  }

  /** Starts a guest with one interface, eth0, on the bridge; `ready` says when it has booted. */
  static async start(lab: Lab, bridge: Bridge, name: string, { mac, memory = '160M' }: GuestOptions): Promise<Guest> {
    const folder = join(lab.folder, `guest-${name}`);
    const share = join(folder, 'share');
    mkdirSync(share, { recursive: true });
    const tap = `t${name}`;
    await bridge.namespace.ip(`tuntap add ${tap} mode tap`, `link set ${tap} master ${bridge.name} up`);
    const second = join(folder, 'init2');
    const first = join(folder, 'init');
    writeFileSync(second, secondInit(name, share));
    writeFileSync(first, firstInit(second), { mode: 0o755 });
    const words = [
      `umid=${name}`,
      `uml_dir=${folder}`,
      `mem=${memory}`,
      'root=none',
      'rootfstype=hostfs',
      'rootflags=/',
      'ro',
      'quiet',
      `init=${first}`,
      'con=null',
      'con0=fd:0,fd:1',
      `vec0:transport=tap,ifname=${tap},mac=${mac},depth=128`,
    ];
    // The guest's memory is a file that must be executable, which /tmp often forbids.
    const env = { TMPDIR: '/dev/shm' };
    return new Guest(name, bridge.namespace.start(`guest ${name}`, 'linux.uml', words, { stdin: 'pipe', env }), share);
  }

  async ready(): Promise<void> {
    await this.daemon.waitForLine(/GUEST-READY/, BOOT_MS);
  }

  /** What these shell commands print; LabError with it when the last of them fails. */
  async run(script: string, timeoutMs = 30_000): Promise<string> {
    const { status, output } = await this.tryRun(script, timeoutMs);
    if (status !== 0) throw new LabError(`guest ${this.name}: status ${status} of: ${script}\n${output}`);
    return output;
  }

  async tryRun(script: string, timeoutMs = 30_000): Promise<{ status: number; output: string }> {
    const id = `${++this.#calls}`;
    const result = join(this.share, `r.${id}`);
    this.daemon.child.stdin?.write(
      `( ${script}\n) >/lab/o.${id} 2>&1 </dev/null; echo $? >/lab/t.${id}; mv /lab/t.${id} /lab/r.${id}\n`,
    );
    await waitFor(
      `guest ${this.name}: ${script}`,
      () => {
        if (!this.daemon.running) throw new LabError(`guest ${this.name} ended\n${this.daemon.tail()}`);
        return existsSync(result);
      },
      timeoutMs,
      () => this.output(`o.${id}`),
    );
    return { status: Number(readFileSync(result, 'utf8')), output: this.output(`o.${id}`) };
  }

  /** Replies of `count` echo requests with `size` bytes. LabError when they cannot be sent. */
  async ping(address: string, { count = 5, size = 56, device }: GuestPing = {}): Promise<number> {
    const words = [
      ...patientPing(count, 0.2),
      '-s',
      `${size}`,
      ...(device === undefined ? [] : ['-I', device]),
      address,
    ];
    const { output } = await this.tryRun(`ping ${words.join(' ')}`, count * 400 + 30_000);
    if (!output.includes(' received')) throw new LabError(`ping in guest ${this.name}: ${output}`);
    return repliesOf(output, count);
  }

  /** A file in the guest. */
  async put(path: string, text: string): Promise<void> {
    const name = `f.${++this.#calls}`;
    writeFileSync(join(this.share, name), text);
    await this.run(`mkdir -p $(dirname ${path}) && cp /lab/${name} ${path}`);
  }

  /** A file that the guest wrote to /lab. */
  output(name: string): string {
    const path = join(this.share, name);
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  }

  /** Copies a file of this machine's to where the guest sees it: /lab/NAME. */
  give(path: string, name: string): void {
    copyFileSync(path, join(this.share, name));
  }
}

function firstInit(second: string): string {
  return `#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/ TERM=dumb
mount -t proc proc /proc; mount -t sysfs sys /sys
mount -t tmpfs tmpfs /mnt; mkdir -p /mnt/u /mnt/w /mnt/n /mnt/x/lib
ln -s /usr/lib/uml/modules /mnt/x/lib/modules
modprobe -d /mnt/x overlay
mount -t overlay ov -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w /mnt/n
cd /mnt/n; mount --move /proc /mnt/n/proc; mount --move /sys /mnt/n/sys; mount --move /dev /mnt/n/dev
mkdir -p /mnt/n/lib/modules /mnt/n/lab
cp ${second} /mnt/n/lab-init2; exec chroot /mnt/n /bin/sh /lab-init2
`;
}

function secondInit(name: string, share: string): string {
  return `mkdir -p /lib/modules /dev/pts /dev/net /lab
mount --bind /usr/lib/uml/modules /lib/modules 2>/dev/null || ln -s /usr/lib/uml/modules/* /lib/modules/
mount -t tmpfs t /run; mount -t tmpfs t /tmp; mount -t devpts d /dev/pts -o ptmxmode=666; mkdir -p /run/lock
mount -t hostfs none /lab -o ${share}
hostname ${name}; ip link set lo up; ip link set vec0 name eth0; ip link set eth0 up
cd /; echo GUEST-READY $(cat /proc/uptime)
PS1= exec sh
`;
}
