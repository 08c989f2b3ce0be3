import { describe, expect, test } from 'vitest';
import type { Avp } from '../../../src/tunnels/l2tp/avp.js';
import {
  CAPABILITY,
  findVendorAvp,
  OFFLOAD_AVP,
  OFFLOAD_MESSAGE,
  OFFLOAD_VERSION,
  readCapability,
  writeCapability,
  writePieces,
} from '../../../src/tunnels/l2tp/offload-avps.js';
import {
  ACTION,
  DENIAL,
  denialName,
  entry,
  readMoveRequest,
  readMoveResponse,
  readOffloadRequest,
  readOffloadResponse,
  readRelay,
  readSwitchoverRequest,
  readSwitchoverResponse,
  writeMoveRequest,
  writeMoveResponse,
  writeOffloadRequest,
  writeOffloadResponse,
  writeRelay,
  writeSwitchoverRequest,
  writeSwitchoverResponse,
} from '../../../src/tunnels/l2tp/offload-messages.js';
import { carried, dice, VENDOR } from '../../helpers/offload-farm.js';

const ADDRESS = Uint8Array.of(10, 0, 0, 2);
const ADDRESS6 = Uint8Array.from({ length: 16 }, (_, i) => i);
const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => i & 0xff);

describe('LSORQ', () => {
  test('FIG. 5a and 5b: add and remove, with every field', () => {
    const request = {
      sequence: 0xfedc_ba98,
      generation: 4_000_000_000,
      entries: [
        entry(ACTION.add, {
          lnsTunnel: 1,
          lacTunnel: 2,
          lnsSession: 3,
          lacSession: 4,
          state: bytes(300),
          generation: 9,
        }),
        entry(ACTION.remove, { lnsTunnel: 65_535, lnsSession: 65_535 }),
      ],
    };
    expect(readOffloadRequest(VENDOR, carried(OFFLOAD_MESSAGE.LSORQ, writeOffloadRequest(VENDOR, request)))).toEqual(
      request,
    );
  });

  test('a state longer than an AVP goes in pieces', () => {
    const state = bytes(5000);
    expect(writePieces(VENDOR, OFFLOAD_AVP.state, state)).toHaveLength(5);
    const request = { sequence: 1, generation: 1, entries: [entry(ACTION.add, { lnsTunnel: 1, state })] };
    expect(readOffloadRequest(VENDOR, carried(1, writeOffloadRequest(VENDOR, request)))?.entries[0].state).toEqual(
      state,
    );
  });

  test('every AVP and the message itself have M = 0', () => {
    const request = { sequence: 1, generation: 1, entries: [entry(ACTION.add, { lnsTunnel: 1, state: bytes(9) })] };
    const avps = carried(1, writeOffloadRequest(VENDOR, request));
    expect(avps.map(({ mandatory }) => mandatory)).toEqual(avps.map(() => false));
    expect(new Set(avps.map(({ vendor }) => vendor))).toEqual(new Set([VENDOR]));
  });

  test('digests, claims and instances', () => {
    const digest = { tunnel: 1, bucket: 1023, count: 64, high: 0xffff_ffff, low: 1 };
    const request = {
      sequence: 7,
      generation: 1,
      entries: [
        entry(ACTION.digest, { digests: new Array(100).fill(digest) }),
        entry(ACTION.digestEnd),
        entry(ACTION.claim, { lnsTunnel: 8, sessions: [1, 2, 3], generation: 5, instance: bytes(8) }),
      ],
    };
    expect(readOffloadRequest(VENDOR, carried(1, writeOffloadRequest(VENDOR, request)))).toEqual(request);
  });

  test.each<[string, { type: number; value: Uint8Array }[]]>([
    ['an action of one byte', [{ type: OFFLOAD_AVP.action, value: bytes(1) }]],
    ['a field before any action', [{ type: OFFLOAD_AVP.lnsTunnel, value: bytes(2) }]],
    ['a tunnel id of four bytes', [action(1), { type: OFFLOAD_AVP.lnsTunnel, value: bytes(4) }]],
    ['an instance of seven bytes', [action(1), { type: OFFLOAD_AVP.instance, value: bytes(7) }]],
    ['half a session id', [action(1), { type: OFFLOAD_AVP.sessionIds, value: bytes(3) }]],
    ['half a digest', [action(1), { type: OFFLOAD_AVP.digests, value: bytes(13) }]],
  ])('%s: malformed', (_name, avps) => {
    expect(
      readOffloadRequest(
        VENDOR,
        carried(
          1,
          avps.map((avp) => ({ ...avp, vendor: VENDOR })),
        ),
      ),
    ).toBeNull();
  });

  test('what a later version may add is skipped', () => {
    const avps = [
      { ...action(99), vendor: VENDOR },
      { type: 999, vendor: VENDOR, value: bytes(3) },
      { ...action(2), vendor: VENDOR },
      { type: OFFLOAD_AVP.lnsTunnel, vendor: VENDOR, value: Uint8Array.of(0, 5) },
      { type: OFFLOAD_AVP.lnsTunnel, vendor: 311, value: Uint8Array.of(9, 9, 9) },
    ];
    const read = readOffloadRequest(VENDOR, carried(1, avps));
    expect(read?.entries.map(({ action: of }) => of)).toEqual([0, ACTION.remove]);
    expect(read?.entries[1].lnsTunnel).toBe(5);
  });
});

function action(value: number): { type: number; value: Uint8Array } {
  return { type: OFFLOAD_AVP.action, value: Uint8Array.of(0, value) };
}

describe('the other messages', () => {
  test('LSORS grants, or denies and says why', () => {
    const digests = [{ tunnel: 1, bucket: 0, count: 1, high: 2, low: 3 }];
    for (const response of [
      { sequence: 1, granted: true, reason: 0, message: '', generation: 0, lnsTunnel: 0, digests },
      {
        sequence: 2,
        granted: false,
        reason: DENIAL.fenced,
        message: 'fenced',
        generation: 77,
        lnsTunnel: 5,
        digests: [],
      },
    ])
      expect(readOffloadResponse(VENDOR, carried(2, writeOffloadResponse(VENDOR, response)))).toEqual(response);
    expect(denialName(DENIAL.full)).toBe('full');
    expect(denialName(4711)).toBe('reason 4711');
  });

  test('FIG. 6 and 7: STPLRQ, and STPLRP that echoes it', () => {
    const requests = [
      { address: ADDRESS, port: 0, type: 'all', sessions: [], generation: 3 },
      { address: ADDRESS6, port: 1702, type: 'new', sessions: [], generation: 3 },
      { address: ADDRESS, port: 0, type: 'some', sessions: [1, 65_535], generation: 3 },
    ] as const;
    for (const request of requests) {
      expect(readSwitchoverRequest(VENDOR, carried(3, writeSwitchoverRequest(VENDOR, request)))).toEqual(request);
      const response = { ...request, granted: false, reason: DENIAL.busy, message: 'später' };
      expect(readSwitchoverResponse(VENDOR, carried(4, writeSwitchoverResponse(VENDOR, response)))).toEqual(response);
    }
  });

  test('an absent type means all; some needs ids, and only some', () => {
    const full = writeSwitchoverRequest(VENDOR, {
      address: ADDRESS,
      port: 0,
      type: 'all',
      sessions: [],
      generation: 1,
    });
    const without = full.filter(({ type }) => type !== OFFLOAD_AVP.switchoverType);
    expect(readSwitchoverRequest(VENDOR, carried(3, without))?.type).toBe('all');
    const some = { address: ADDRESS, port: 0, type: 'some', sessions: [], generation: 1 } as const;
    expect(readSwitchoverRequest(VENDOR, carried(3, writeSwitchoverRequest(VENDOR, some)))).toBeNull();
    const ids = { ...some, type: 'all', sessions: [1] } as const;
    expect(readSwitchoverRequest(VENDOR, carried(3, writeSwitchoverRequest(VENDOR, ids)))).toBeNull();
  });

  test('without a readable peer address there is no request', () => {
    const avps = [{ vendor: VENDOR, type: OFFLOAD_AVP.peerAddress, value: bytes(5) }];
    expect(readSwitchoverRequest(VENDOR, carried(3, avps))).toBeNull();
    expect(readSwitchoverRequest(VENDOR, carried(3, []))).toBeNull();
  });

  test('moves and relays', () => {
    const moved = { generation: 9, lnsTunnel: 1, lacTunnel: 2, address: ADDRESS6 };
    const request = { moved, sessions: [4, 5] };
    expect(readMoveRequest(VENDOR, carried(5, writeMoveRequest(VENDOR, request)))).toEqual(request);
    const response = { ...request, granted: true, reason: 0, message: '' };
    expect(readMoveResponse(VENDOR, carried(6, writeMoveResponse(VENDOR, response)))).toEqual(response);
    const relayed = { target: ADDRESS, type: 1, avps: bytes(3000) };
    expect(readRelay(VENDOR, carried(7, writeRelay(VENDOR, relayed)))).toEqual(relayed);
  });

  test('a capability is found among AVPs of others', () => {
    const avps = carried(1, [
      { vendor: 9, type: OFFLOAD_AVP.capability, value: bytes(4), mandatory: false },
      writeCapability(VENDOR, { version: OFFLOAD_VERSION, flags: CAPABILITY.offload | CAPABILITY.relay }),
    ]);
    const found = findVendorAvp(avps, VENDOR, OFFLOAD_AVP.capability, readCapability);
    expect(found).toEqual({ version: 1, flags: 5 });
    expect(findVendorAvp(avps, 4711, OFFLOAD_AVP.capability, readCapability)).toBeNull();
  });

  test('hidden AVPs are malformed in all of them: nobody hides these', () => {
    const hidden = (value: Uint8Array): Avp => ({
      vendor: VENDOR,
      type: OFFLOAD_AVP.sequence,
      name: null,
      mandatory: false,
      hidden: true,
      reserved: false,
      value,
    });
    expect(readOffloadRequest(VENDOR, [hidden(bytes(4))])).toBeNull();
    expect(readOffloadResponse(VENDOR, [hidden(bytes(4))])).toBeNull();
  });

  test('any AVPs are read or refused by all readers', () => {
    const random = dice(3);
    const readers = [
      readOffloadRequest,
      readOffloadResponse,
      readSwitchoverRequest,
      readSwitchoverResponse,
      readMoveRequest,
      readMoveResponse,
      readRelay,
    ];
    let refused = 0;
    for (let i = 0; i < 3000; i++) {
      const avps = Array.from({ length: Math.floor(random() * 6) }, () => ({
        vendor: VENDOR,
        type: 1 + Math.floor(random() * 20),
        value: Uint8Array.from({ length: Math.floor(random() * 20) }, () => Math.floor(random() * 256)),
      }));
      const read = carried(1, avps);
      for (const reader of readers) if (reader(VENDOR, read) === null) refused++;
    }
    expect(refused).toBeGreaterThan(10_000);
  });
});
