import { describe, expect, test } from 'vitest';
import { DesignatorError } from '../../src/errors.js';
import { bpfError, u32 } from '../../src/io/bpf.js';
import { mapOrders, pinName, sameMap, XDP_MAPS } from '../../src/io/xdp-maps.js';

const failure = (code: string | undefined, log?: string): Error =>
  Object.assign(new Error('bpf: the call: the reason'), { code, log });

describe('bpfError', () => {
  test.each([
    ['EPERM', 'TD_NO_PERMISSION', 77, /CAP_BPF and CAP_NET_ADMIN/],
    ['EACCES', 'TD_NO_PERMISSION', 77, /CAP_BPF/],
    ['ENOSYS', 'TD_UNAVAILABLE', 69, /this kernel/],
    ['EINVAL', 'TD_UNAVAILABLE', 69, /this kernel.*bpf: the call/],
    ['ERANGE', 'TD_UNAVAILABLE', 69, /MTU.*one page/],
    ['ENOMEM', 'TD_UNAVAILABLE', 69, /no memory/],
    ['EIO', 'TD_UNAVAILABLE', 69, /bpf: the call/],
    [undefined, 'TD_UNAVAILABLE', 69, /bpf: the call/],
  ])('%s', (code, expected, exitStatus, words) => {
    const error = bpfError(failure(code), 'loading', { interface: 'wan0' });
    expect(error).toMatchObject({ code: expected, exitStatus, message: expect.stringMatching(words) });
    expect(error.message).toMatch(/^loading: /);
    expect(error.context).toMatchObject({ interface: 'wan0', errno: code ?? 'no errno' });
  });

  test('the verifier has its say: the last word in the sentence, the last lines in the facts', () => {
    const lines = Array.from({ length: 40 }, (_, i) => `${i}: (b7) r0 = 0`);
    const log = [...lines, 'R1 invalid mem access', 'processed 40 insns (limit 1000000)', ''].join('\n');
    const error = bpfError(failure('EACCES', log), 'loading');
    expect(error).toMatchObject({
      code: 'TD_UNAVAILABLE',
      message: expect.stringMatching(/verifier.*R1 invalid mem access$/),
    });
    expect(error.context.verifierLog).toHaveLength(20);
  });

  test('an error that says what it means stays as it is', () => {
    const error = new DesignatorError('TD_CONFLICT', 'somebody has it');
    expect(bpfError(error, 'loading')).toBe(error);
  });
});

describe('maps', () => {
  test('are made as the program reads them', () => {
    const orders = mapOrders({ tableLength: 1 << 20, sockets: 0 }, 4);
    expect(Object.keys(orders)).toEqual([...XDP_MAPS]);
    expect(orders.td_table).toMatchObject({ type: 2, valueLength: 64, entries: 16384, flags: 1 << 10 });
    expect(orders.td_sockets.entries).toBe(1); // a map of none cannot be
    expect(orders.td_cpus.entries).toBe(4);
    for (const name of XDP_MAPS) expect(orders[name].name.length).toBeLessThanOrEqual(15);
  });

  test('of another size are other maps, of other flags not', () => {
    const { td_devices: devices, td_sockets: sockets } = mapOrders({ tableLength: 4096, sockets: 4 }, 1);
    expect(sameMap(devices, { ...devices, flags: 128 })).toBe(true);
    expect(sameMap(sockets, { ...sockets, entries: 8 })).toBe(false);
    expect(sameMap(devices, sockets)).toBe(false);
  });

  test('names and keys', () => {
    expect(XDP_MAPS.map(pinName)).toEqual(['table', 'devices', 'sockets', 'cpus', 'deny', 'places', 'counters']);
    expect([...u32(0x01020304)]).toEqual([4, 3, 2, 1]);
  });
});
