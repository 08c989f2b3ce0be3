import { describe, expect, test } from 'vitest';
import { parseLnsConfig } from '../../../src/config/lns.js';
import { ListeningSockets } from '../../../src/roles/lns/listening-sockets.js';

const REST = `name: lns1
ppp: { authentication: none }
pools: [{ name: home, ipv4: 10.64.0.0/16 }]
`;

function open(text: string) {
  const { config, problems } = parseLnsConfig('lns.yaml', REST + text);
  if (config === null) throw new Error(JSON.stringify(problems));
  const opened: string[] = [];
  const sockets = new ListeningSockets(config, { addSocket: (host, port) => opened.push(`${host} ${port}`) - 1 });
  return { opened, sockets, from: (address: string, socket: number) => ({ address, port: 1701, socket }) };
}

describe('sockets of an LNS', () => {
  test('those of `listen` have its numbers; what answers for them comes behind, once', () => {
    const { opened, sockets, from } = open(`listen: [10.10.1.1, 192.0.2.9, 10.10.2.1]
answerFrom:
  - { listen: 10.10.1.1, address: 192.0.2.1 }
  - { listen: 10.10.2.1, address: 192.0.2.1 }
`);
    expect(opened).toEqual(['10.10.1.1 1701', '192.0.2.9 1701', '10.10.2.1 1701', '192.0.2.1 1701']);
    const answers = [0, 1, 2, 3].map((socket) => sockets.answering(from('198.51.100.1', socket)));
    expect(answers).toEqual([3, 1, 3, 3]);
  });

  test('an address that is listened on may answer for another', () => {
    const { opened, sockets, from } = open(`listen: [10.10.1.1, 192.0.2.1]
answerFrom: [{ listen: 10.10.1.1, address: 192.0.2.1 }]
`);
    expect(opened).toHaveLength(2);
    expect(sockets.answering(from('198.51.100.1', 0))).toBe(1);
  });

  test('who is named by `except` is answered from where it has asked', () => {
    const { sockets, from } = open(`listen: [10.10.1.1]
answerFrom: [{ listen: 10.10.1.1, address: 192.0.2.1, except: 10.10.0.0/16 }]
`);
    expect(sockets.answering(from('10.10.3.3', 0))).toBe(0);
    expect(sockets.answering(from('10.11.3.3', 0))).toBe(1);
  });

  test('floating ports are of the address that answers', () => {
    const { opened, sockets } = open(`listen: [10.10.1.1, 192.0.2.9]
answerFrom: [{ listen: 10.10.1.1, address: 192.0.2.1 }]
tunnels: { floatingPort: true }
`);
    expect(opened.slice(3)).toEqual(['10.10.1.1 0', '192.0.2.9 0', '192.0.2.1 0']);
    expect([...sockets.floating.entries()]).toEqual([
      [0, 3],
      [1, 4],
      [2, 5],
    ]);
  });
});
