/** The page at `/` of the HTTP address: some tables, no script, nothing loaded from elsewhere. It changes nothing. */
import type { Appliance, ServerRow } from './appliance.js';
import type { ApplianceEvent } from './events.js';
import { cell, count, duration, escapeHtml, figure, plain, port, section } from './page-parts.js';
import { clusterSections } from './page-cluster.js';

const REFRESH_SECONDS = 5;
const EVENTS_SHOWN = 20;
/** Changes of state of all servers. */
const CHANGES_SHOWN = 20;

/** Content-Security-Policy of the page: its own style and the empty icon, nothing else. */
export const PAGE_POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const STYLE = `
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --good: #1a7f37; --warn: #9a6700; --bad: #cf222e; }
@media (prefers-color-scheme: dark) { :root { --good: #3fb950; --warn: #d29922; --bad: #f85149; } }
* { box-sizing: border-box; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 76rem; padding: 1.5rem; }
header { display: flex; flex-wrap: wrap; gap: .4rem 1.2rem; align-items: baseline; margin-bottom: 1.2rem; }
h1 { font-size: 1.25rem; margin: 0; }
h2 { font-size: .95rem; margin: 1.8rem 0 .5rem; }
header span, footer { opacity: .75; font-size: .87rem; }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .8rem; text-align: left; white-space: nowrap; }
th { font-size: .78rem; font-weight: 600; opacity: .7; background: var(--soft); }
tbody tr + tr { border-top: 1px solid var(--line); }
td.wrap { white-space: normal; }
.number { text-align: right; }
.state::before { content: ""; display: inline-block; width: .6em; height: .6em; border-radius: 50%; margin-right: .5em; background: var(--dot, #888); }
.good { --dot: var(--good); } .warn { --dot: var(--warn); } .bad { --dot: var(--bad); }
footer { margin-top: 2rem; }
footer a { color: inherit; }
`;

/** The whole page. `now` is the time that it shows. */
export function statusPage(appliance: Appliance, version: string, now = new Date()): string {
  const trouble = appliance.unhealthy();
  const degraded = appliance.degraded?.() ?? null;
  const state =
    trouble !== null
      ? cell(trouble, 'bad')
      : !appliance.ready()
        ? cell('starting', 'warn')
        : degraded !== null
          ? cell(`degraded: ${degraded}`, 'warn')
          : cell('ready', 'good');
  const { table } = appliance.totals();
  const changes = appliance
    .servers()
    .flatMap(({ name, history }) => history.map((change) => ({ name, ...change })))
    .sort((a, b) => (a.at < b.at ? 1 : a.at > b.at ? -1 : 0))
    .slice(0, CHANGES_SHOWN);
  const events = appliance.events.recent({}, EVENTS_SHOWN).reverse();
  const drops = appliance.drops().filter((row) => row.packets > 0);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="${REFRESH_SECONDS}">
<title>Tunnel designator</title>
<link rel="icon" href="data:,">
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>Tunnel designator</h1>
<strong class="state ${state.state}">${escapeHtml(state.text)}</strong>
<span>${count(table.tunnels)} of ${count(table.limit)} tunnels, ${count(table.sessions)} sessions</span>
<span>up since ${appliance.startedAt.toISOString().slice(0, 19).replace('T', ' ')} UTC</span>
</header>
<main>
${section(
  'Virtual addresses',
  ['name', 'address', '#port', 'protocols', 'algorithm', '#tunnels', '#sessions', '#servers up'],
  appliance
    .vips()
    .map((row) => [
      cell(row.name, row.serversUp === 0 ? 'bad' : row.serversUp < row.servers ? 'warn' : 'good'),
      plain(row.address),
      port(row.port),
      plain(row.protocols),
      plain(row.algorithm),
      figure(row.tunnels),
      figure(row.sessions),
      { text: `${row.serversUp} of ${row.servers}`, kind: 'number' },
    ]),
)}
${section(
  'Servers',
  [
    'name',
    'virtual address',
    'address',
    '#port',
    'state',
    '#weight',
    '#load',
    '#tunnels',
    '#sessions',
    '#since',
    'reason',
  ],
  appliance
    .servers()
    .map((row) => [
      plain(row.name),
      plain(row.vip),
      plain(row.address),
      port(row.port),
      cell(row.state, gradeOf(row.state)),
      figure(row.weight),
      row.load === null ? { text: '–', kind: 'number' } : figure(row.load),
      figure(row.tunnels),
      figure(row.sessions),
      { text: duration(row.sinceSeconds), kind: 'number' },
      { text: row.reason ?? '', kind: 'wrap' },
    ]),
)}
${clusterSections(appliance.groups?.()?.tables)}
${section(
  'Changes of servers',
  ['at (UTC)', 'server', 'from', 'to', 'reason'],
  changes.map(({ at, name, from, to, reason, detail }) => [
    plain(at.slice(0, 19).replace('T', ' ')),
    plain(name),
    plain(from === 'free' ? '–' : from),
    cell(to, gradeOf(to as ServerRow['state'])),
    { text: `${reason ?? 'configured'}${detail === null ? '' : `: ${detail}`}`, kind: 'wrap' },
  ]),
  'No server has changed its state.',
)}
${section(
  'Last events',
  ['at (UTC)', 'event', 'about'],
  events.map((event) => [plain(event.time.slice(11, 23)), plain(event.type), { text: about(event), kind: 'wrap' }]),
  'Nothing has happened yet.',
)}
${section(
  'Workers',
  ['#shard', 'state', 'io', '#packets', '#restarts', '#heartbeat'],
  appliance
    .workers()
    .map((row) => [
      figure(row.shard),
      plain(row.state),
      plain(row.io),
      figure(row.packets),
      figure(row.restarts),
      { text: `${row.heartbeatAgeSeconds.toFixed(1)} s ago`, kind: 'number' },
    ]),
)}
${section(
  'Dropped packets',
  ['reason', '#packets', 'meaning'],
  drops.map((row) => [plain(row.reason), figure(row.packets), { text: row.description, kind: 'wrap' }]),
  'No packet was dropped.',
)}
</main>
<footer>Version ${escapeHtml(version)}, ${now.toISOString().slice(11, 19)} UTC, read again every ${REFRESH_SECONDS} s. <a href="/metrics">Metrics</a>, <a href="/healthz">health</a>.</footer>
</body>
</html>
`;
}

/** The fields of an event in one line. */
function about(event: ApplianceEvent): string {
  return Object.entries(event)
    .filter(
      ([name, value]) =>
        !['seq', 'time', 'type'].includes(name) && value !== null && value !== undefined && value !== '',
    )
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
}

function gradeOf(state: ServerRow['state']): 'good' | 'warn' | 'bad' {
  if (state === 'up') return 'good';
  return state === 'down' ? 'bad' : 'warn';
}
