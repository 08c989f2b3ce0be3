/** `designator show …`: what the running designator says, as tables for people or as one JSON array. */
import { type Command, Option } from 'commander';
import { DesignatorError } from '../errors.js';
import type {
  CounterRow,
  DropRow,
  FirewallRow,
  ServerChange,
  ServerRow,
  TakeOverRow,
  TunnelRow,
  NatRow,
  VipMapRow,
  VipRow,
  WorkerRow,
} from '../ops/appliance.js';
import { splitClient } from '../ops/client-address.js';
import { brokenOff, ControlClient, type Query, type Target, withTarget } from './client.js';
import type { CliContext } from './context.js';
import { endpointTable, type FlatRow } from './endpoint-tables.js';
import { copy, write } from './output.js';
import { briefDuration, type Column, renderTable } from './table.js';
import { rate } from './top-text.js';
import { countValue, customerValue, hostValue, tunnelId, wholeNumber } from './values.js';

/** Rows that a table for people shows when no limit is given; `--json` has no limit. */
const TABLE_ROWS = 1000;

interface ShowOptions extends Target {
  readonly json?: boolean;
}

interface TunnelOptions extends ShowOptions {
  readonly vip?: string;
  readonly server?: string;
  readonly client?: string;
  readonly tunnel?: number;
  readonly limit?: number;
  readonly map?: boolean;
  readonly wide?: boolean;
}

interface SessionOptions extends ShowOptions {
  readonly user?: string;
  readonly client?: string;
  readonly tunnel?: number;
  readonly session?: number;
  readonly limit?: number;
}

export const SERVER_COLUMNS: readonly Column<ServerRow>[] = [
  { head: 'name', value: (row) => row.name },
  { head: 'vip', value: (row) => row.vip },
  { head: 'address', value: (row) => row.address },
  { head: 'port', value: (row) => row.port },
  { head: 'state', value: (row) => row.state },
  { head: 'weight', value: (row) => row.weight },
  { head: 'load', value: (row) => row.load },
  { head: 'tunnels', value: (row) => row.tunnels },
  { head: 'sessions', value: (row) => row.sessions },
  { head: 'since', value: (row) => briefDuration(row.sinceSeconds), align: 'right' },
  { head: 'reason', value: (row) => row.reason },
];

const TUNNEL_COLUMNS: readonly Column<TunnelRow>[] = [
  { head: 'client', value: (row) => row.client },
  { head: 'tunnel', value: (row) => row.clientTunnelId, align: 'right' },
  { head: 'virtual', value: (row) => row.virtualTunnelId, align: 'right' },
  { head: 'vip', value: (row) => row.vip },
  { head: 'server', value: (row) => row.server },
  { head: 'address', value: (row) => row.serverAddress },
  { head: 'port', value: (row) => row.serverPort, align: 'right' },
  { head: 'tunnel', value: (row) => row.serverTunnelId, align: 'right' },
  { head: 'state', value: (row) => row.state },
  { head: 'sessions', value: (row) => row.sessions },
  { head: 'packets in', value: (row) => row.packetsIn },
  { head: 'out', value: (row) => row.packetsOut },
  { head: 'bytes in', value: (row) => row.bytesIn },
  { head: 'out', value: (row) => row.bytesOut },
  { head: 'age', value: (row) => briefDuration(row.ageSeconds), align: 'right' },
  { head: 'idle', value: (row) => briefDuration(row.idleSeconds), align: 'right' },
  { head: 'shard', value: (row) => row.shard },
  { head: 'kernel', value: (row) => row.offloaded },
  { head: 'writer', value: (row) => row.writer },
];

const NAT_COLUMNS: readonly Column<NatRow>[] = [
  { head: 'far end', value: (row) => row.farAddress },
  { head: 'port', value: (row) => row.farPort, align: 'right' },
  { head: 'local end', value: (row) => row.localAddress },
  { head: 'port', value: (row) => row.localPort, align: 'right' },
  { head: 'seen as', value: (row) => row.natAddress },
  { head: 'port', value: (row) => row.natPort, align: 'right' },
  { head: 'far tunnel', value: (row) => row.farTunnelId, align: 'right' },
  { head: 'local tunnel', value: (row) => row.localTunnelId, align: 'right' },
  { head: 'server', value: (row) => row.server },
  { head: 'sessions', value: (row) => row.sessions },
  { head: 'packets in', value: (row) => row.packetsIn },
  { head: 'out', value: (row) => row.packetsOut },
  { head: 'state', value: (row) => row.state },
];

const LOAD_COLUMNS: readonly Column<ServerRow>[] = [
  { head: 'name', value: (row) => row.name },
  { head: 'age', value: ({ loadStatus }) => briefDuration(loadStatus?.ageSeconds ?? 0), align: 'right' },
  { head: 'accepting', value: ({ loadStatus }) => loadStatus?.accepting ?? null },
  { head: 'tunnels', value: ({ loadStatus }) => loadStatus?.tunnels ?? null, align: 'right' },
  { head: 'sessions', value: ({ loadStatus }) => loadStatus?.sessions ?? null, align: 'right' },
  { head: 'cpu', value: ({ loadStatus }) => percent(loadStatus?.cpu), align: 'right' },
  { head: 'memory', value: ({ loadStatus }) => percent(loadStatus?.memory), align: 'right' },
  { head: 'pkt/s in', value: ({ loadStatus }) => figure(loadStatus?.packetsIn), align: 'right' },
  { head: 'out', value: ({ loadStatus }) => figure(loadStatus?.packetsOut), align: 'right' },
  { head: 'bit/s in', value: ({ loadStatus }) => figure(loadStatus?.bitsIn), align: 'right' },
  { head: 'out', value: ({ loadStatus }) => figure(loadStatus?.bitsOut), align: 'right' },
];

const percent = (share: number | null | undefined): string | null =>
  share === null || share === undefined ? null : `${Math.round(share * 100)}%`;
const figure = (value: number | null | undefined): string | null =>
  value === null || value === undefined ? null : rate(value);

const HISTORY_COLUMNS: readonly Column<ServerChange>[] = [
  { head: 'at', value: ({ at }) => at.slice(0, 19).replace('T', ' ') },
  { head: 'from', value: ({ from }) => (from === 'free' ? '-' : from) },
  { head: '', value: () => '→' },
  { head: 'to', value: ({ to }) => to },
  { head: 'reason', value: ({ reason, detail }) => `${reason ?? 'configured'}${detail === null ? '' : `: ${detail}`}` },
];

const WORKER_COLUMNS: readonly Column<WorkerRow>[] = [
  { head: 'shard', value: (row) => row.shard },
  { head: 'state', value: (row) => row.state },
  { head: 'io', value: (row) => row.io },
  { head: 'packets', value: (row) => row.packets },
  { head: 'restarts', value: (row) => row.restarts },
  { head: 'heartbeat', value: (row) => `${row.heartbeatAgeSeconds.toFixed(1)}s ago`, align: 'right' },
  { head: 'reason', value: (row) => row.reason },
];

const COUNTER_COLUMNS: readonly Column<CounterRow>[] = [
  { head: 'counter', value: (row) => row.counter },
  { head: 'count', value: (row) => row.count },
  { head: 'description', value: (row) => row.description },
];

const DROP_COLUMNS: readonly Column<DropRow>[] = [
  { head: 'reason', value: (row) => row.reason },
  { head: 'packets', value: (row) => row.packets },
  { head: 'description', value: (row) => row.description },
];

const FIREWALL_COLUMNS: readonly Column<FirewallRow>[] = [
  { head: 'rule', value: (row) => row.rule, align: 'right' },
  { head: 'name', value: (row) => row.name },
  { head: 'action', value: (row) => row.action },
  { head: 'match', value: (row) => row.match },
  { head: 'limit', value: (row) => row.limit },
  { head: 'matched', value: (row) => row.matched },
  { head: 'refused', value: (row) => row.refused },
];

const TAKE_OVER_COLUMNS: readonly Column<TakeOverRow>[] = [
  { head: 'server', value: (row) => row.server },
  { head: 'heir', value: (row) => row.heir },
  { head: 'kind', value: (row) => row.kind },
  { head: 'generation', value: (row) => row.generation, align: 'right' },
  { head: 'state', value: (row) => row.state },
  { head: 'tunnels', value: (row) => row.tunnels, align: 'right' },
  { head: 'left', value: (row) => row.left, align: 'right' },
  { head: 'age', value: (row) => row.ageSeconds, align: 'right' },
];

export function register(program: Command, context: CliContext): void {
  const show = program.command('show').description('show what the running designator does');

  const table = <Row>(name: string, description: string, path: string, columns: readonly Column<Row>[]) =>
    view(show, name, description).action(async (options: ShowOptions) => {
      const client = new ControlClient(options, context);
      if (options.json === true) return void (await passJson(client, path, {}, context));
      const { role, rows } = await client.table<Row>(path);
      const text =
        role === 'designator'
          ? renderTable(columns, rows, context.color)
          : endpointTable(role, name, rows as unknown as FlatRow[], context.color);
      await print(context, text);
    });

  view(show, 'vips', 'virtual addresses and the real servers behind them').action(async (options: ShowOptions) => {
    const client = new ControlClient(options, context);
    if (options.json === true) return void (await passJson(client, '/v1/vips', {}, context));
    const [vips, map] = [await client.get<VipRow[]>('/v1/vips'), await client.get<VipMapRow[]>('/v1/vip-map')];
    await print(context, vipText(vips, map, context.color));
  });

  view(show, 'servers', 'servers and their states')
    .addOption(new Option('-w, --wide', 'with the requests that each got, and its history of states').conflicts('json'))
    .action(async (options: ShowOptions & { readonly wide?: boolean }) => {
      const client = new ControlClient(options, context);
      if (options.json === true) return void (await passJson(client, '/v1/servers', {}, context));
      const rows = await client.get<ServerRow[]>('/v1/servers');
      const text = options.wide === true ? wideServers(rows, context.color) : null;
      await print(context, text ?? renderTable(SERVER_COLUMNS, rows, context.color));
    });

  view(show, 'tunnels', 'tunnels, narrowed by the options')
    .option('--vip <name>', 'only of this virtual address')
    .option('--server <name>', 'only at this server')
    .option('--client <ip:port>', 'only of this client; of a LAC its MAC address', customerValue)
    .option('--tunnel <id>', 'only this tunnel id, as the client assigned it', tunnelId)
    .option('--limit <count>', `at most so many (tables: ${TABLE_ROWS}, --json: all)`, countValue)
    .addOption(new Option('--map', 'only the address map: what each direction is rewritten to').conflicts('json'))
    .addOption(new Option('-w, --wide', 'one line a tunnel, with ids, state and counters').conflicts(['json', 'map']))
    .action(async (options: TunnelOptions) => {
      const { vip, server, client, tunnel } = options;
      const control = new ControlClient(options, context);
      const filter = { vip, server, client, tunnel };
      if (options.json === true)
        return void (await passJson(control, '/v1/tunnels', { ...filter, limit: options.limit }, context));
      // One more than is shown tells whether there are more.
      const limit = options.limit ?? TABLE_ROWS + 1;
      const { role, rows } = await control.table<TunnelRow>('/v1/tunnels', { ...filter, limit });
      const shown = options.limit === undefined ? rows.slice(0, TABLE_ROWS) : rows;
      const style = context.color;
      const text =
        role !== 'designator'
          ? endpointTable(role, 'tunnels', shown as unknown as FlatRow[], style)
          : options.wide === true
            ? renderTable(TUNNEL_COLUMNS, shown, style)
            : options.map === true
              ? mapText(shown, style)
              : await bothTables(control, shown, vip, style);
      await print(context, text);
      if (shown.length < rows.length) {
        await write(context.stderr, `Only the first ${TABLE_ROWS} tunnels are shown; --limit or --json shows more.\n`);
      }
    });

  view(show, 'sessions', 'sessions of subscribers (lns, lac)')
    .option('--user <name>', 'only of this user')
    .option('--client <ip:port>', 'only of this other end; of a LAC the MAC address', customerValue)
    .option('--tunnel <id>', 'only of this tunnel id, as assigned here', tunnelId)
    .option('--session <id>', 'only this session id, as assigned here', tunnelId)
    .option('--limit <count>', `at most so many (tables: ${TABLE_ROWS}, --json: all)`, countValue)
    .action(async (options: SessionOptions) => {
      const { user, client, tunnel, session } = options;
      const limit = options.json === true ? options.limit : (options.limit ?? TABLE_ROWS);
      await endpointView(options, context, 'sessions', { user, client, tunnel, session, limit });
    });
  view(show, 'pools', 'address pools (lns)').action((options: ShowOptions) =>
    endpointView(options, context, 'pools', {}),
  );
  view(show, 'lns', 'LNSs that calls went to, and what failed (lac)').action((options: ShowOptions) =>
    endpointView(options, context, 'lns', {}),
  );
  view(show, 'peers', 'the other LNSs that state is shared with (lns)').action((options: ShowOptions) =>
    endpointView(options, context, 'peers', {}),
  );

  view(show, 'master', 'the master part that this endpoint carries (lns)').action((options: ShowOptions) =>
    endpointView(options, context, 'master', {}),
  );

  table('nat', 'document 001’s table 1: whom the NAT address stands for, tunnel by tunnel', '/v1/nat', NAT_COLUMNS);
  table('workers', 'shards: the threads that forward', '/v1/workers', WORKER_COLUMNS);
  table('drops', 'packets that ended here, by reason', '/v1/drops', DROP_COLUMNS);

  table('firewall', 'firewall rules, in their order, and what they matched', '/v1/firewall', FIREWALL_COLUMNS).alias(
    'rules',
  );
  table('counters', 'what the shards did besides forwarding', '/v1/counters', COUNTER_COLUMNS);

  table('take-overs', 'servers whose tunnels went to their peers', '/v1/take-overs', TAKE_OVER_COLUMNS);

  addGatewayViews(show, context);
  view(show, 'cluster', 'the cluster: its bus, its members, and whose connection state is here').action(
    (options: ShowOptions) => endpointView(options, context, 'cluster', {}),
  );
}

interface GatewayViewOptions extends ShowOptions {
  readonly group?: string;
  readonly gateway?: number;
  readonly host?: string;
  readonly limit?: number;
}

/** Tables of gateway groups. */
function addGatewayViews(show: Command, context: CliContext): void {
  const add = (name: string, description: string): Command =>
    view(show, name, `${description} (gateway)`)
      .option('--group <name>', 'only of this group')
      .action((options: GatewayViewOptions) => {
        const { group, gateway, host } = options;
        const isHosts = name === 'hosts';
        const limit = isHosts ? (options.limit ?? (options.json === true ? undefined : TABLE_ROWS)) : undefined;
        return endpointView(options, context, name, { group, gateway, host, limit });
      });
  add('groups', 'gateway groups of this machine');
  add('gateways', 'members of its gateway groups');
  add('forwarders', 'virtual MACs and who takes their frames');
  add('tracks', 'what priority, weight and ability depend on');
  add('hosts', 'hosts and their gateways')
    .option('--gateway <number>', 'only with the virtual MAC of this gateway', wholeNumber(1, 255))
    .option('--host <address>', 'only this one, by MAC or IP address', hostValue)
    .option('--limit <count>', `at most so many (tables: ${TABLE_ROWS}, --json: all)`, countValue);
}

/** A table that only an LNS, a LAC or a gateway has. */
async function endpointView(options: ShowOptions, context: CliContext, name: string, query: Query): Promise<void> {
  const client = new ControlClient(options, context);
  try {
    if (options.json === true) return await passJson(client, `/v1/${name}`, query, context);
    const { role, rows } = await client.table<FlatRow>(`/v1/${name}`, query);
    await print(context, endpointTable(role, name, rows, context.color));
  } catch (error) {
    throw isMissingRoute(error)
      ? new DesignatorError('TD_UNAVAILABLE', `the process that answers has no table "${name}": it has another role`)
      : error;
  }
}

function isMissingRoute(error: unknown): boolean {
  return error instanceof DesignatorError && error.message.startsWith('no such route');
}

function view(show: Command, name: string, description: string): Command {
  return withTarget(show.command(name).description(description)).option('--json', 'one JSON array of flat objects');
}

/** Servers with what they got, then the changes of state of each that has any. */
export function wideServers(rows: readonly ServerRow[], style: boolean): string {
  const columns = [...SERVER_COLUMNS];
  columns.splice(9, 0, { head: 'requests', value: (row) => row.requests });
  const reports = rows.filter(({ loadStatus }) => loadStatus !== null);
  const loads = reports.length === 0 ? '' : `\nload status\n${renderTable(LOAD_COLUMNS, reports, style)}`;
  const histories = rows
    .filter(({ history }) => history.length > 0)
    .map(({ name, history }) => {
      const lines = renderTable(HISTORY_COLUMNS, history, style).split('\n').slice(1, -1);
      return `\n${name}\n${lines.map((line) => `  ${line}\n`).join('')}`;
    });
  return renderTable(columns, rows, style) + loads + histories.join('');
}

/** Document 003's two tables: which servers stand behind the virtual address, and how each direction is forwarded. */
async function bothTables(
  client: ControlClient,
  tunnels: readonly TunnelRow[],
  vip: string | undefined,
  style: boolean,
): Promise<string> {
  const vips = (await client.get<VipRow[]>('/v1/vips')).filter(({ name }) => vip === undefined || name === vip);
  const map = await client.get<VipMapRow[]>('/v1/vip-map');
  return `${vipTable(vips, map, style)}\n${mapText(tunnels, style)}`;
}

/** Document 003's first table, one block a VIP, then a line of counts for each. */
export function vipText(vips: readonly VipRow[], map: readonly VipMapRow[], style: boolean): string {
  const counts = vips.map(
    ({ name, protocols, tunnels, sessions, servers, serversUp, ...rest }) =>
      `${name}: ${protocols}, ${counted(tunnels, 'tunnel')}, ${counted(sessions, 'session')}, ${serversUp} of ${counted(servers, 'server')} up\n${replyText(rest)}`,
  );
  return `${vipTable(vips, map, style)}\n${counts.join('')}`;
}

/** What clients do with answers from another address, where there are such. */
function replyText(
  vip: Pick<VipRow, 'reply' | 'natAddress' | 'following' | 'carried' | 'refusing' | 'notFollowing'>,
): string {
  if (vip.reply === undefined || vip.reply === 'vip') return '';
  const from = vip.reply === 'direct' ? 'from the servers themselves' : `from ${vip.natAddress ?? 'a NAT address'}`;
  const who = vip.notFollowing === null ? '' : `: ${vip.notFollowing}`;
  return `  answers come ${from}; clients: ${vip.following} follow, ${vip.carried} carried on, ${vip.refusing} refuse${who}\n`;
}

function vipTable(vips: readonly VipRow[], map: readonly VipMapRow[], style: boolean): string {
  interface Line {
    vip: VipRow | null;
    server: VipMapRow | null;
  }
  const lines = vips.flatMap((vip): Line[] => {
    const servers = map.filter((row) => row.vip === vip.name);
    return servers.length === 0
      ? [{ vip, server: null }]
      : servers.map((server, index) => ({ vip: index === 0 ? vip : null, server }));
  });
  const columns: Column<Line>[] = [
    { head: 'Virtual IP address', value: ({ vip }) => vip?.address ?? '' },
    { head: 'Port', value: ({ vip }) => vip?.port ?? '', align: 'right' },
    { head: 'Real IP address', value: ({ server }) => server?.realAddress ?? null },
    { head: 'port', value: ({ server }) => server?.realPort ?? null, align: 'right' },
    { head: 'weight', value: ({ server }) => server?.weight ?? null, align: 'right' },
    { head: 'algorithm', value: ({ vip }) => (vip === null ? '' : algorithmWords(vip.algorithm)) },
  ];
  return renderTable(columns, lines, style);
}

/**
 * Document 003's second table: how the two directions of each tunnel are forwarded. One client socket may have many
 * tunnels, so the tunnel id in the forwarded header stands behind.
 */
export function mapText(tunnels: readonly TunnelRow[], style: boolean): string {
  interface Line {
    packet: string;
    from: { address: string; port: string | number | null };
    to: { address: string; port: string | number | null };
    id: number | null;
  }
  const lines = tunnels.flatMap((row): Line[] => {
    const client = splitClient(row.client);
    const server = { address: row.serverAddress, port: row.serverPort };
    return [
      { packet: 'incoming', from: client, to: server, id: row.serverTunnelId },
      { packet: 'outgoing', from: server, to: client, id: row.clientTunnelId },
    ];
  });
  const columns: Column<Line>[] = [
    { head: 'packet', value: ({ packet }) => packet },
    { head: 'SrcIP', value: ({ from }) => from.address },
    { head: 'port', value: ({ from }) => from.port, align: 'right' },
    { head: 'dstIP', value: ({ to }) => to.address },
    { head: 'dstPort', value: ({ to }) => to.port, align: 'right' },
    { head: 'tunnel', value: ({ id }) => id, align: 'right' },
  ];
  return renderTable(columns, lines, style);
}

/** `weighted-round-robin` → `Weighted round robin`, as the document writes it. */
function algorithmWords(algorithm: string): string {
  const words = algorithm.replaceAll('-', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

async function print(context: CliContext, text: string): Promise<void> {
  await write(context.stdout, text);
}

/** The designator's own JSON goes through unread: a million tunnels cost this command no memory. */
async function passJson(client: ControlClient, path: string, query: Query, context: CliContext): Promise<void> {
  const response = await client.stream(path, query);
  try {
    await copy(response, context.stdout);
  } catch (error) {
    throw brokenOff(error, 'its answer');
  }
}
