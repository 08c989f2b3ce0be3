import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { parseLacConfig } from '../../src/config/lac.js';
import { parseLnsConfig } from '../../src/config/lns.js';

const lns = (offload: object, more: object = {}) =>
  parseLnsConfig(
    'lns.yaml',
    stringify({
      name: 'lns1',
      listen: '192.0.2.1',
      pools: [{ name: 'home', ipv4: '10.64.0.0/24' }],
      ppp: { authentication: 'none' },
      offload,
      ...more,
    }),
  );
const messages = ({ problems }: ReturnType<typeof lns>) =>
  problems.filter(({ severity }) => severity === 'error').map(({ path, message }) => `${path}: ${message}`);

describe('the section offload of an LNS', () => {
  test('a peer is enough; where LACs reach it is the same address', () => {
    const { config, problems } = lns({ peer: '192.0.2.2', secret: 's' });
    expect(problems).toEqual([]);
    expect(config?.offload).toMatchObject({
      peer: { host: '192.0.2.2', port: 1701 },
      announce: { host: '192.0.2.2', port: 1701 },
      vendor: 32_473,
      deadAfter: 2,
      takeForeign: true,
      overload: { marks: {}, type: 'some' },
    });
  });

  test('without it an LNS is alone, and takeOver has nobody to take over from', () => {
    const { config, problems } = parseLnsConfig(
      'lns.yaml',
      stringify({
        name: 'lns1',
        listen: '192.0.2.1',
        pools: [{ name: 'home', ipv4: '10.64.0.0/24' }],
        ppp: { authentication: 'none' },
        takeOver: { addresses: [{ address: '192.0.2.9/24', interface: 'eth0' }] },
      }),
    );
    expect(config?.offload).toBeNull();
    expect(problems.map(({ severity, path }) => [severity, path])).toContainEqual(['warning', 'takeOver']);
  });

  test('thresholds are counts and shares; the lower one may be left out', () => {
    const overload = { sessions: { above: 1000, below: 800 }, cpu: { above: 80 }, type: 'new' };
    expect(lns({ peer: '[2001:db8::2]:1702', announce: '192.0.2.7', overload }).config?.offload).toMatchObject({
      peer: { host: '2001:db8::2', port: 1702 },
      announce: { host: '192.0.2.7', port: 1701 },
      overload: { marks: { sessions: { above: 1000, below: 800 }, cpu: { above: 0.8 } }, type: 'new' },
    });
  });

  test.each([
    [{}, /offload.*peer/],
    [{ peer: 'lns2' }, /offload\.peer: .*no.*address/],
    [{ peer: '192.0.2.2', secret: 's', secretFile: '/x' }, /either secret or secretFile/],
    [{ peer: '192.0.2.2', overload: { sessions: { above: 5, below: 9 } } }, /sessions: below is more than above/],
    [{ peer: '192.0.2.2', deadAfter: '10ms' }, /deadAfter/],
    [{ peer: '192.0.2.2', frobnicate: 1 }, /frobnicate/],
  ])('%j is told of', (offload, expected) => expect(messages(lns(offload)).join('\n')).toMatch(expected));
});

describe('the section switchover of a LAC', () => {
  const lac = (switchover: object | undefined) =>
    parseLacConfig(
      'lac.yaml',
      stringify({
        name: 'lac1',
        lns: [{ name: 'a', address: '192.0.2.1' }],
        pppoe: { interfaces: ['eth1'] },
        table: [{ lns: ['a'] }],
        ...(switchover === undefined ? {} : { switchover }),
      }),
    );

  test('moves by default, to the peers that LNSs name', () => {
    const { config } = lac(undefined);
    expect(config?.switchover).toMatchObject({
      enabled: true,
      vendor: 32_473,
      deadline: 5,
      suspectAfter: 3,
      peers: [],
    });
  });

  test('can be switched off, and told of other LNSs', () => {
    expect(lac({ enabled: false, peers: ['192.0.2.7'], standby: true }).config?.switchover).toMatchObject({
      enabled: false,
      standby: true,
      peers: [[0, 0, 0xffff, 0xc0000207]],
    });
    expect(lac({ peers: ['nobody'] }).config).toBeNull();
  });
});
