/**
 * `designator explain`: what would become of a tunnel request, in the order in which a shard would find out, and what is
 * known about every server that it might have gone to. Reads only: nothing is sent, no turn is used up.
 */
import type { CompiledConfig } from '../../config/compiled.js';
import { FOLLOW } from '../../dataplane/follow-class.js';
import { groupKey } from '../../dataplane/group-keys.js';
import type { DropReason } from '../../dataplane/drop-reasons.js';
import { type Designator, NO_ROOM } from '../../designation/designate.js';
import { DesignatorError } from '../../errors.js';
import {
  CELL_WORDS,
  HEADER,
  NEXT_HOP_STATE,
  SERVER_CELL,
  SERVER_FLAG,
  type TableMemory,
  VIP_CELL,
} from '../../flow/layout.js';
import { GroupMemory } from '../../flow/group-memory.js';
import { NextHopTable } from '../../flow/next-hop-table.js';
import type { ExplainCandidate, ExplainRequest, ExplainRow, TunnelRow } from '../../ops/appliance.js';
import { parseEndpoint } from '../../wire/address.js';
import type { Binding, BoundServer, BoundVip } from './binding.js';
import type { FollowForecast } from './follow-forecast.js';
import type { Rows } from './rows.js';

export interface ExplainParts {
  readonly memory: TableMemory;
  readonly binding: Binding;
  readonly rows: Rows;
  readonly designator: Designator;
  readonly followForecast: FollowForecast;
  readonly config: CompiledConfig;
  /** Why the firewall would refuse a new tunnel of this client, or null. */
  readonly refuses: (words: readonly number[], vip: BoundVip) => string | null;
  /** What the firewall can only say of a request that it has seen, or null. */
  readonly doubts: (words: readonly number[], vip: BoundVip) => string | null;
  /** What the client does with answers from another address (FOLLOW); absent: nobody knows. */
  readonly follow?: (vip: number, words: readonly number[]) => number;
  /** A flood of requests is on. */
  readonly flooded: boolean;
}

/** Errors: TD_NOT_FOUND unknown VIP, TD_USAGE bad client. */
export function explain(parts: ExplainParts, request: ExplainRequest): ExplainRow {
  const { binding, rows } = parts;
  const { client, tunnel } = request;
  const vip = binding.vips.find(({ name, removed }) => name === request.vip && !removed);
  if (vip === undefined)
    throw new DesignatorError('TD_NOT_FOUND', `no VIP is named "${request.vip}"`, { vip: request.vip });
  const endpoint = parseEndpoint(client);
  if (endpoint === null)
    throw new DesignatorError('TD_USAGE', `client "${client}": write it as 192.0.2.1:1701 or [2001:db8::1]:1701`, {
      client,
    });
  const own = rows.tunnels({ vip: vip.name, client });
  const known = tunnel === undefined ? undefined : own.find((row) => row.clientTunnelId === tunnel);
  const candidates = binding.servers
    .filter((server) => server.vip === vip.index && !server.removed)
    .map((server) => candidate(parts, server));
  const answer = (server: string | null, reason: string, refusal: DropReason | null, existing = false): ExplainRow => ({
    server,
    reason,
    existing,
    refusal,
    candidates,
    notes: notes(parts, vip, own, known, server, endpoint.words, existing),
  });

  if (known !== undefined && known.state !== 'closing')
    return answer(
      known.server,
      `tunnel ${tunnel} of ${client} is in the connection table (${known.state})`,
      null,
      true,
    );
  const refused = parts.refuses(endpoint.words, vip);
  if (refused !== null) return answer(null, refused, 'firewall-denied');
  const full = capacity(parts);
  if (full !== null) return answer(null, full.reason, full.refusal);
  const [recoverOwn, recoverPeer] = (request.recover ?? '0:0').split(':').map(Number);
  const wish = { recoverOwn, recoverPeer, tie: request.tie === true };
  const followed = parts.followForecast.of(
    vip,
    wish,
    endpoint.words,
    endpoint.port,
    rows.now(),
    staysTogether(parts, vip, endpoint.words),
  );
  if (followed.server >= 0) {
    const older = binding.servers.find(({ index }) => index === followed.server);
    return answer(older?.name ?? null, followed.reason, null);
  }
  const [a0, a1, a2, a3] = endpoint.words;
  const key = groupOf(parts, vip, request.group);
  const kept = key === 0 ? -1 : new GroupMemory(parts.memory).serverOf(key);
  const keeper = binding.servers.find(({ index }) => index === kept);
  if (keeper !== undefined && parts.designator.cells.eligible(kept))
    return answer(keeper.name, 'its group has tunnels there', null);
  const { server, reason } = parts.designator.peek(vip.index, a0 | 0, a1 | 0, a2 | 0, a3 | 0, tunnel ?? 0, key);
  const name = binding.servers.find(({ index }) => index === server)?.name ?? null;
  if (name === null) return answer(null, followed.reason + reason, server === NO_ROOM ? 'server-pace' : 'no-server');
  return answer(name, followed.reason + reason, null);
}

/** See `Tracker`: what such a client sends to the VIP must lead to its server, whatever id it names. */
function staysTogether(parts: ExplainParts, vip: BoundVip, words: readonly number[]): boolean {
  const follow = parts.follow?.(vip.index, words) ?? FOLLOW.unknown;
  return vip.oneWay === true && (follow === FOLLOW.unknown || follow === FOLLOW.carried);
}

/** Where the client will hear its server from. */
function replyNote(parts: ExplainParts, vip: BoundVip, server: BoundServer, words: readonly number[]): string | null {
  if (vip.reply === undefined || vip.reply === 'vip') return null;
  const follow = parts.follow?.(vip.index, words) ?? FOLLOW.unknown;
  const known = `the client ${FOLLOW_NOTES[follow]}`;
  if (follow === FOLLOW.refuses && (vip.oneWay !== true || (vip.localAddress ?? -1) >= 0))
    return `${known}: it is answered from the VIP`;
  const own = `${server.globalText ?? server.text}, the server’s own address`;
  const from = vip.reply === 'direct' ? own : (vip.natText ?? 'the NAT server’s address');
  return `answers come from ${from}; ${known}`;
}

const FOLLOW_NOTES = [
  'has not shown yet whether it follows that',
  'follows that',
  'goes on sending to the VIP and is carried on',
  'takes no answer but the VIP’s',
] as const;

/** Key of the group that a request with this text would be of, 0 none. Errors: TD_USAGE the VIP groups nothing. */
function groupOf({ memory }: ExplainParts, { index, name, groupBy }: BoundVip, text: string | undefined): number {
  if (text === undefined) return 0;
  if (groupBy === undefined)
    throw new DesignatorError('TD_USAGE', `VIP ${name} has no groupBy: there are no groups`, { vip: name });
  return groupKey(groupBy, text, memory.vips[index * CELL_WORDS + VIP_CELL.identity]);
}

function capacity({ memory, config }: ExplainParts): { reason: string; refusal: DropReason } | null {
  const { header, layout } = memory;
  const { halfOpen } = config.firewall;
  const open = Atomics.load(header, HEADER.halfOpen);
  if (halfOpen !== null && open >= halfOpen) {
    const reason = `${open} tunnels are half open, and firewall.tunnelRequestRate.halfOpen is ${halfOpen}`;
    return { reason, refusal: 'half-open-limit' };
  }
  if (header[HEADER.recordsUsed] < layout.recordCount) return null;
  const reason = `the connection table is full: ${layout.recordCount} tunnels (table.connections)`;
  return { reason, refusal: 'table-full' };
}

function candidate({ memory, rows, designator }: ExplainParts, bound: BoundServer): ExplainCandidate {
  const { name: server, state, sinceSeconds, reason, weight, load, tunnels, sessions } = rows.server(bound);
  const flags = memory.servers[bound.index * CELL_WORDS + SERVER_CELL.flags];
  const takes = designator.cells.eligible(bound.index);
  let why: string | null = null;
  if (!takes) {
    if (state !== 'up' && state !== 'slow-start') why = reason === null ? state : `${state}: ${reason}`;
    else if (weight === 0) why = 'its weight is 0';
    else if ((flags & SERVER_FLAG.notAccepting) !== 0) why = 'its load status says: not accepting';
    else if ((flags & SERVER_FLAG.heldBack) !== 0) why = 'it has no load status, and the VIP waits for one';
  }
  return { server, takes, why, state, sinceSeconds, weight, load, tunnels, sessions };
}

/** What may change the answer, or what comes after it. */
function notes(
  parts: ExplainParts,
  vip: BoundVip,
  own: readonly TunnelRow[],
  known: TunnelRow | undefined,
  server: string | null,
  words: readonly number[],
  existing: boolean,
): string[] {
  const { memory, binding, config } = parts;
  const found: string[] = [];
  if (known?.state === 'closing')
    found.push(`the tunnel with this id is closing at ${known.server}: a request makes a new one`);
  const doubt = existing ? null : parts.doubts(words, vip);
  if (doubt !== null) found.push(doubt);
  const others = own.filter((row) => row !== known && row.state !== 'closing');
  if (!existing && others.length > 0) {
    const at = [...new Set(others.map((row) => row.server))].join(', ');
    found.push(
      `${others.length} other tunnel${others.length === 1 ? '' : 's'} of this client, at ${at}: a request that recovers one (RFC 4951) or ties with one follows it`,
    );
  }
  if (!existing && server !== null && parts.flooded)
    found.push('a flood of tunnel requests is on: a source without a tunnel must ask twice (request-unproven)');
  const bound = binding.servers.find((candidate) => candidate.name === server && candidate.vip === vip.index);
  const reply = bound === undefined ? null : replyNote(parts, vip, bound, words);
  if (reply !== null) found.push(reply);
  const { requestsPerSecond, burst } = config.firewall;
  if (!existing && server !== null && requestsPerSecond !== null) {
    const many = burst === null ? '' : `, ${burst} at once`;
    found.push(`each source may ask for ${requestsPerSecond} new tunnels a second${many}; beyond that: request-rate`);
  }
  if (bound !== undefined) {
    const hop = memory.servers[bound.index * CELL_WORDS + SERVER_CELL.nextHop];
    if (new NextHopTable(memory).state(hop) !== NEXT_HOP_STATE.resolved)
      found.push(`the link-layer address on the way to ${bound.name} is not known yet: neighbour-unresolved`);
  }
  return found;
}
