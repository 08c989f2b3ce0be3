/** What programs and the kernel print, read into numbers. Pure: text in, facts out; what is not there is null. */

export interface TunnelCounts {
  readonly tunnels: number | null;
  readonly sessions: number | null;
  /** The program itself takes no new tunnels; absent: it does not say. */
  readonly accepting?: boolean;
}

/** `show tunnels` of l2tpns: TID, Hostname, IP, State, Sessions, and what kind of tunnel it is. */
export function readL2tpnsTunnels(text: string): TunnelCounts | null {
  const lines = text.split(/\r?\n/);
  const head = lines.findIndex((line) => /^\s*TID\s+Hostname\s+IP\s+State\s+Sessions\s*$/.test(line));
  if (head < 0) return null;
  let tunnels = 0;
  let sessions = 0;
  for (const line of lines.slice(head + 1)) {
    const row = /^\s*\d+\s.*\s(\w+)\s+(\d+)(?:\s+Tunnel\b.*)?\s*$/.exec(line);
    if (row === null || !/^open/i.test(row[1])) continue;
    tunnels++;
    sessions += Number(row[2]);
  }
  return { tunnels, sessions };
}

/** `show stat` of accel-ppp: the blocks `l2tp:` (connections of tunnels) and `sessions:`. */
export function readAccelPppStat(text: string): TunnelCounts | null {
  const blocks = new Map<string, Map<string, number>>();
  let block: Map<string, number> | null = null;
  let depth = '';
  for (const line of text.split(/\r?\n/)) {
    const head = /^( *)([\w-][^:]*):\s*$/.exec(line);
    const value = /^ +([\w-]+): (\d+)\s*$/.exec(line);
    if (head !== null) {
      // Newer versions say tunnels and sessions of l2tp apart, one level deeper.
      depth = head[1] === '' ? head[2] : `${depth.split('.')[0]}.${head[2]}`;
      block = new Map();
      blocks.set(depth, block);
    } else if (value !== null) block?.set(value[1], Number(value[2]));
  }
  const active = (name: string): number | null => blocks.get(name)?.get('active') ?? null;
  const sessions = active('sessions');
  if (sessions === null) return null;
  return { tunnels: active('l2tp.tunnels') ?? active('l2tp'), sessions };
}

const TUNNEL_UP = /Connection established to [^,]+, \d+\. +Local: (\d+),/;
const TUNNEL_DOWN = /Connection closed to [^,]+, port \d+ .*Local: (\d+),/;
const CALL_UP = /Call established with ([^,]+),.*Serial: (\d+)/;
const CALL_DOWN = /Connection closed to ([^,]+), serial (\d+) /;
const STARTED = /xl2tpd version \S+ started/;

/** xl2tpd, by the lines of its log: tunnels and calls that were established and not closed since it started. */
export class Xl2tpdLog {
  readonly #tunnels = new Set<string>();
  readonly #calls = new Set<string>();

  line(text: string): void {
    let found = TUNNEL_UP.exec(text);
    if (found !== null) this.#tunnels.add(found[1]);
    else if ((found = TUNNEL_DOWN.exec(text)) !== null) this.#tunnels.delete(found[1]);
    else if ((found = CALL_UP.exec(text)) !== null) this.#calls.add(`${found[1]} ${found[2]}`);
    else if ((found = CALL_DOWN.exec(text)) !== null) this.#calls.delete(`${found[1]} ${found[2]}`);
    else if (STARTED.test(text)) {
      this.#tunnels.clear();
      this.#calls.clear();
    }
  }

  get counts(): TunnelCounts {
    return { tunnels: this.#tunnels.size, sessions: this.#calls.size };
  }
}

/** /proc/stat: clock ticks of all processors, [busy, all] (proc(5)). */
export function readCpuTicks(text: string): readonly [number, number] | null {
  const line = /^cpu +([\d ]+)$/m.exec(text);
  if (line === null) return null;
  const [user, nice, system, idle, wait = 0, interrupt = 0, soft = 0, steal = 0] = line[1].split(' ').map(Number);
  const busy = user + nice + system + interrupt + soft + steal;
  return Number.isFinite(busy + idle) ? [busy, busy + idle + wait] : null;
}

/** /proc/meminfo: the share of memory that is not available. */
export function readMemoryShare(text: string): number | null {
  const kib = (name: string): number => Number(new RegExp(`^${name}: +(\\d+) kB$`, 'm').exec(text)?.[1] ?? Number.NaN);
  const share = 1 - kib('MemAvailable') / kib('MemTotal');
  return share >= 0 && share <= 1 ? share : null;
}

export interface InterfaceCounts {
  readonly bytesIn: number;
  readonly packetsIn: number;
  readonly bytesOut: number;
  readonly packetsOut: number;
}

/** /proc/net/dev. Null: there is no such interface. */
export function readInterface(text: string, device: string): InterfaceCounts | null {
  for (const line of text.split('\n')) {
    const colon = line.lastIndexOf(':');
    if (colon < 0 || line.slice(0, colon).trim() !== device) continue;
    const fields = line
      .slice(colon + 1)
      .trim()
      .split(/\s+/)
      .map(Number);
    const [bytesIn, packetsIn, bytesOut, packetsOut] = [fields[0], fields[1], fields[8], fields[9]];
    if (![bytesIn, packetsIn, bytesOut, packetsOut].every(Number.isFinite)) return null;
    return { bytesIn, packetsIn, bytesOut, packetsOut };
  }
  return null;
}
