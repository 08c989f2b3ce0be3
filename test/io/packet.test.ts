/** What the packet port refuses before it opens anything; test/e2e/packet-ring.test.ts has the rest. */
import { describe, expect, test } from 'vitest';
import { formatTable, TableMemory, tableLayout } from '../../src/flow/layout.js';
import type { PacketRingOptions } from '../../src/io/native.js';
import { openPacketPort, probePacket } from '../../src/io/packet.js';
import { newCounters } from '../helpers/offline-port.js';

const CONNECTIONS = 16;
const layout = tableLayout(CONNECTIONS);

function options(change: Record<string, unknown> = {}): PacketRingOptions {
  const memory = new TableMemory(new ArrayBuffer(layout.length), CONNECTIONS);
  formatTable(memory, 1, Int32Array.of(1, 2, 3, 4));
  return {
    table: { ...layout, buffer: memory.buffer as ArrayBuffer },
    counters: newCounters(),
    clock: new Float64Array(1),
    devices: [{ name: 'none-such0', role: 'outside' }],
    ports: [{ device: 0, vlan: 0, mac: new Uint8Array(6) }],
    fanout: { group: -1, shards: 1 },
    ...change,
  };
}

describe('opening', () => {
  test('an interface that does not exist is named', () => {
    expect(() => openPacketPort(options())).toThrow(
      expect.objectContaining({ code: 'TD_CONFIG', exitStatus: 78, message: expect.stringContaining('none-such0') }),
    );
  });

  test.each([
    ['no devices', { devices: [] }, /devices: 1 to 8/],
    ['a device without a name', { devices: [{ role: 'both' }] }, /devices\[\]\.name/],
    ['an unknown role', { devices: [{ name: 'lo', role: 'middle' }] }, /role/],
    ['a port on no device', { ports: [{ device: 1, vlan: 0, mac: new Uint8Array(6) }] }, /device/],
    ['a VLAN that there cannot be', { ports: [{ device: 0, vlan: 4095, mac: new Uint8Array(6) }] }, /vlan/],
    ['a clock of another type', { clock: new Float32Array(1) }, /clock/],
    ['a table beyond its buffer', { table: { ...layout, buffer: new ArrayBuffer(4096) } }, /entries/],
    ['a negative ring', { blockCount: -1 }, /blockCount/],
    ['no fan-out', { fanout: undefined }, /fanout/],
  ])('%s is a mistake in the program', (_, change, message) => {
    let thrown: unknown;
    try {
      openPacketPort(options(change));
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(Error);
    expect((thrown as Error).name).not.toBe('DesignatorError');
    expect((thrown as Error).message).toMatch(message);
  });

  test.each([
    ['none', { blockCount: 0 }],
    ['more than columns can point into', { blockLength: 1 << 30, blockCount: 4 }],
  ])('rings of impossible size: %s', (_, change) => {
    expect(() => openPacketPort(options(change))).toThrow(/receive rings of \d+ bytes each/);
  });
});

test('the probe says whether packet sockets may be had, and why not', () => {
  const error = probePacket();
  if (error !== undefined) expect(error).toMatchObject({ code: 'TD_NO_PERMISSION', message: /CAP_NET_RAW/ });
  else expect(process.getuid?.()).toBe(0);
});
