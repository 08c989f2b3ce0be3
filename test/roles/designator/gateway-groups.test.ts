import { describe, expect, test } from 'vitest';
import type { ForwarderRow } from '../../../src/gateway/types.js';
import { relayPlaces } from '../../../src/roles/designator/gateway-groups.js';

const row = (number: number, server: number): ForwarderRow => ({
  number,
  mac: 0x025444000700 + number,
  state: server === 0 ? 'idle' : server === number ? 'active' : 'taken-over',
  server,
  givenOut: server !== 0,
  weight: 100,
  load: 0,
  hosts: 0,
  held: false,
  served: false,
  bytes: 0,
  packets: 0,
  age: 0,
});

describe('whom packets of unknown tunnels are handed on to', () => {
  test('one forwarder of each other gateway, its own where it serves it', () => {
    expect(relayPlaces([row(1, 1), row(2, 2), row(3, 2), row(4, 4)], 1)).toEqual({ own: 1, peers: [2, 4] });
  });
  test('a dead gateway’s virtual MAC is no place: it is ours or its server’s already', () => {
    expect(relayPlaces([row(1, 1), row(2, 1), row(3, 0)], 1)).toEqual({ own: 1, peers: [] });
    expect(relayPlaces([row(1, 3), row(2, 2), row(3, 3)], 2)).toEqual({ own: 2, peers: [3] });
  });
  test('without a forwarder of our own nothing can be handed on', () => {
    expect(relayPlaces([row(1, 2), row(2, 2)], 1)).toEqual({ own: 0, peers: [2] });
  });
});
