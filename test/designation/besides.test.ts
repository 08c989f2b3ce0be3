/** The server for a client that some servers cannot serve. */
import { expect, it } from 'vitest';
import { NO_SERVER } from '../../src/designation/designate.js';
import { SERVER_REASON, SERVER_STATE } from '../../src/flow/layout.js';
import { newFarm } from './farm.js';

const CLIENTS = 3000;

function drawn(weights: readonly number[], excluded: readonly number[], down: readonly number[] = []) {
  const farm = newFarm('round-robin', [...weights]);
  for (const n of down) farm.cells.setState(farm.servers[n], SERVER_STATE.down, SERVER_REASON.configured, 0);
  const isExcluded = (server: number): boolean => excluded.includes(farm.servers.indexOf(server));
  const { designator } = farm;
  designator.lock.acquire(designator.shard);
  const servers = Array.from({ length: CLIENTS }, (_, n) =>
    designator.designateBesidesLocked(farm.vip, isExcluded, 0, 0, 0xffff, 0x0a000000 + n),
  );
  designator.lock.release(designator.shard);
  return servers.map((server) => (server === NO_SERVER ? NO_SERVER : farm.servers.indexOf(server)));
}

const share = (servers: readonly number[], server: number): number =>
  servers.filter((one) => one === server).length / CLIENTS;

it('is never an excluded one, nor one that takes no tunnels', () => {
  const servers = drawn([1, 1, 1, 1], [0], [2]);
  expect(share(servers, 0)).toBe(0);
  expect(share(servers, 2)).toBe(0);
  expect(share(servers, 1)).toBeGreaterThan(0.45);
  expect(share(servers, 3)).toBeGreaterThan(0.45);
});

it('follows the weights, and is the same for a client whatever was asked between', () => {
  const servers = drawn([9, 1, 3], [0]);
  expect(share(servers, 2)).toBeGreaterThan(0.7);
  expect(share(servers, 2)).toBeLessThan(0.8);
  expect(drawn([9, 1, 3], [0])).toEqual(servers);
});

it('moves only the clients of a server that goes', () => {
  const before = drawn([1, 1, 1, 1], [0]);
  const after = drawn([1, 1, 1, 1], [0, 1]);
  expect(after.filter((server, n) => server !== before[n] && before[n] !== 1)).toEqual([]);
});

it('is none when all are excluded, or the VIP is not there', () => {
  expect(new Set(drawn([1, 1], [0, 1]))).toEqual(new Set([NO_SERVER]));
});
