/** FreeRADIUS: the users that it knows, and what it was told by accounting. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Daemon } from './daemon.js';
import type { Lab } from './lab.js';
import type { Namespace } from './namespace.js';
import { waitFor } from './wait.js';

const START_MS = 15_000;

export interface RadiusUser {
  readonly name: string;
  readonly password: string;
  /** Attributes of the Access-Accept, as FreeRADIUS writes them: `Framed-IP-Address = 10.0.0.9`, `Tunnel-Type:1 = L2TP`. */
  readonly reply?: readonly string[];
}

export interface FreeRadiusOptions {
  /** That it listens on. Default 127.0.0.1. */
  readonly address?: string;
  /** Who may ask. Default: everybody. */
  readonly clients?: string;
  readonly secret: string;
  readonly users: readonly RadiusUser[];
  readonly authenticationPort?: number;
  readonly accountingPort?: number;
}

/** One accounting record: attribute → value, as the detail file has it. */
export type DetailRecord = Readonly<Record<string, string>>;

export class FreeRadius {
  readonly daemon: Daemon;
  readonly #folder: string;

  constructor(lab: Lab, namespace: Namespace, label: string, options: FreeRadiusOptions) {
    this.#folder = join(lab.folder, label);
    mkdirSync(this.#folder, { recursive: true });
    const file = (name: string): string => join(this.#folder, name);
    writeFileSync(file('dictionary'), '$INCLUDE /usr/share/freeradius/dictionary\n');
    writeFileSync(file('users'), options.users.map(userText).join('\n'));
    writeFileSync(file('radiusd.conf'), configText(this.#folder, options));
    // `-l` alone decides where it logs; a console gets every request.
    const words = ['-f', '-l', file('log'), '-d', this.#folder, '-n', 'radiusd'];
    this.daemon = namespace.start(label, 'freeradius', words);
  }

  /** Resolves when it answers requests. */
  async ready(): Promise<void> {
    await waitFor(
      `${this.daemon.label} to be ready`,
      () => this.log().includes('Ready to process requests'),
      START_MS,
      () => `${this.log()}\n${this.daemon.tail()}`,
    );
  }

  log(): string {
    return this.#read('log');
  }

  /** What it was told, in order. */
  accounting(): DetailRecord[] {
    const blocks = this.#read('detail')
      .split(/\n\s*\n/)
      .filter((block) => block.trim() !== '');
    return blocks.map((block) =>
      Object.fromEntries(
        [...block.matchAll(/^\t(\S+) = (.*)$/gm)].map(([, name, value]) => [name, value.replace(/^"(.*)"$/, '$1')]),
      ),
    );
  }

  #read(name: string): string {
    const path = join(this.#folder, name);
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  }
}

function userText({ name, password, reply = [] }: RadiusUser): string {
  const lines = reply.map((line, i) => `\t${line}${i < reply.length - 1 ? ',' : ''}\n`);
  return `${name} Cleartext-Password := "${password}"\n${lines.join('')}`;
}

function configText(
  folder: string,
  {
    address = '127.0.0.1',
    clients = address.includes(':') ? '::/0' : '0.0.0.0/0',
    secret,
    authenticationPort = 1812,
    accountingPort = 1813,
  }: FreeRadiusOptions,
): string {
  const v6 = address.includes(':');
  const where = v6 ? 'ipv6addr' : 'ipaddr';
  const listen = (type: string, port: number): string =>
    ` listen {\n  type = ${type}\n  ${where} = ${address}\n  port = ${port}\n }\n`;
  return `prefix = /usr
name = radiusd
libdir = /usr/lib/freeradius
logdir = ${folder}
raddbdir = ${folder}
pidfile = ${folder}/pid
max_requests = 16384
security { allow_core_dumps = no }
thread pool { start_servers = 2
 max_servers = 4 }
client all { ${clients.includes(':') ? 'ipv6addr' : 'ipaddr'} = ${clients}
 secret = "${secret}" }
modules {
 pap { }
 chap { }
 mschap { use_mppe = no }
 files { usersfile = ${folder}/users }
 detail { filename = ${folder}/detail
  permissions = 0644 }
}
server default {
${listen('auth', authenticationPort)}${listen('acct', accountingPort)}
 authorize {
  chap
  mschap
  files
  pap
 }
 authenticate {
  Auth-Type PAP {
   pap
  }
  Auth-Type CHAP {
   chap
  }
  Auth-Type MS-CHAP {
   mschap
  }
 }
 accounting {
  detail
 }
}
`;
}
