/** How `designator top` looks. */
import type { ServerRates, ShardRates, TopAnswer, TunnelRates } from '../ops/top.js';
import { briefDuration, type Column, renderTable } from './table.js';
import { TOP_KEYS, type TopState } from './top-state.js';

const RATE_COLUMNS: readonly Column<{
  packetsInPerSecond: number;
  packetsOutPerSecond: number;
  bitsInPerSecond: number;
  bitsOutPerSecond: number;
}>[] = [
  { head: 'pkt/s in', value: (row) => rate(row.packetsInPerSecond), align: 'right' },
  { head: 'out', value: (row) => rate(row.packetsOutPerSecond), align: 'right' },
  { head: 'bit/s in', value: (row) => rate(row.bitsInPerSecond), align: 'right' },
  { head: 'out', value: (row) => rate(row.bitsOutPerSecond), align: 'right' },
];

const TUNNEL_COLUMNS: readonly Column<TunnelRates>[] = [
  { head: 'client', value: (row) => row.client },
  { head: 'tunnel', value: (row) => row.clientTunnelId, align: 'right' },
  { head: 'server', value: (row) => row.server },
  { head: 'tunnel', value: (row) => row.serverTunnelId, align: 'right' },
  { head: 'state', value: (row) => row.state },
  ...RATE_COLUMNS,
  { head: 'sessions', value: (row) => row.sessions },
  { head: 'age', value: (row) => briefDuration(row.ageSeconds), align: 'right' },
  { head: 'idle', value: (row) => briefDuration(row.idleSeconds), align: 'right' },
  { head: 'shard', value: (row) => (row.offloaded ? 'kernel' : row.shard), align: 'right' },
  { head: 'vip', value: (row) => row.vip },
];

const SERVER_COLUMNS: readonly Column<ServerRates>[] = [
  { head: 'server', value: (row) => row.name },
  { head: 'vip', value: (row) => row.vip },
  { head: 'address', value: (row) => row.address },
  { head: 'state', value: (row) => row.state },
  { head: 'since', value: (row) => briefDuration(row.sinceSeconds), align: 'right' },
  { head: 'load', value: (row) => row.load, align: 'right' },
  { head: 'tunnels', value: (row) => row.tunnels },
  { head: 'sessions', value: (row) => row.sessions },
  { head: 'req/s', value: (row) => rate(row.requestsPerSecond), align: 'right' },
  ...RATE_COLUMNS,
];

const SHARD_COLUMNS: readonly Column<ShardRates>[] = [
  { head: 'shard', value: (row) => String(row.shard) },
  { head: 'received/s', value: (row) => rate(row.receivedPerSecond), align: 'right' },
  ...RATE_COLUMNS,
  { head: 'dropped/s', value: (row) => rate(row.dropsPerSecond), align: 'right' },
];

const REVERSE = ['\u001b[7m', '\u001b[27m'] as const;
const HOME = '\u001b[H';
const CLEAR_LINE = '\u001b[K';
const CLEAR_BELOW = '\u001b[J';

/** A figure in four characters or so: 0, 12.3, 950, 1.5k, 12.3M. */
export function rate(value: number): string {
  if (value < 0.05) return '0';
  if (value < 9.995) return value.toFixed(1).replace(/\.0$/, '');
  let scaled = value;
  let unit = 0;
  while (scaled >= 999.5 && unit < 4) {
    scaled /= 1000;
    unit++;
  }
  const text = unit > 0 && scaled < 99.95 ? scaled.toFixed(1) : Math.round(scaled).toString();
  return text + ['', 'k', 'M', 'G', 'T'][unit];
}

export function topTable(answer: TopAnswer, style: boolean): string {
  if (answer.rows.length === 0) return `${answer.view === 'tunnels' ? 'no tunnels' : `no ${answer.view}`}\n`;
  switch (answer.view) {
    case 'tunnels':
      return renderTable(TUNNEL_COLUMNS, answer.rows as TunnelRates[], style);
    case 'servers':
      return renderTable(SERVER_COLUMNS, answer.rows as ServerRates[], style);
    case 'shards':
      return renderTable(SHARD_COLUMNS, answer.rows as ShardRates[], style);
  }
}

/** Two lines of totals. */
export function topHead({ totals, seconds }: TopAnswer, time: Date): string {
  const { tunnels, established, limit, requestsPerSecond, dropsPerSecond } = totals;
  const over = seconds === null ? 'first look, no rates yet' : `over ${seconds.toFixed(1)} s`;
  return [
    `${time.toTimeString().slice(0, 8)}  ${tunnels} of ${limit} tunnels, ${established} established, ${rate(requestsPerSecond)} requests/s  (${over})`,
    `in ${rate(totals.packetsInPerSecond)} pkt/s ${rate(totals.bitsInPerSecond)}bit/s, out ${rate(totals.packetsOutPerSecond)} pkt/s ${rate(totals.bitsOutPerSecond)}bit/s, dropped ${rate(dropsPerSecond)} pkt/s`,
  ].join('\n');
}

/** The whole screen, from its first place on; never more than it has. */
export function topScreen(
  answer: TopAnswer | null,
  state: TopState,
  columns: number,
  rows: number,
  time: Date,
  style: boolean,
): string {
  const lines = answer === null ? ['looking …'] : topHead(answer, time).split('\n');
  lines.push(status(state));
  const body = state.help
    ? TOP_KEYS.map(([key, does]) => `  ${key.padEnd(6)} ${does}`)
    : answer === null
      ? []
      : topTable(answer, false).trimEnd().split('\n');
  const [head = '', ...rest] = body;
  const paint = (text: string): string =>
    style && !state.help ? REVERSE[0] + text.padEnd(columns) + REVERSE[1] : text;
  const all = [
    ...lines.map((line) => cut(line, columns)),
    paint(cut(head, columns)),
    ...rest.map((line) => cut(line, columns)),
  ].slice(0, rows);
  return HOME + all.map((line) => line + CLEAR_LINE).join('\r\n') + CLEAR_BELOW;
}

function status(state: TopState): string {
  if (state.typing !== null) return `filter: ${state.typing}_`;
  if (state.complaint !== null) return state.complaint;
  const { view, sort, reverse, vip, server, client } = state;
  const filters = Object.entries({ vip, server, client }).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${value}`],
  );
  const only = filters.length === 0 ? '' : `  only ${filters.join(' ')}`;
  return `${view} by ${sort}${reverse ? ', smallest first' : ''}${only}   h help, q quit, t s w view, ← → sort, r reverse, f filter`;
}

function cut(line: string, columns: number): string {
  return [...line.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?')].slice(0, columns).join('');
}
