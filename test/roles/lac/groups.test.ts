/**
 * Several LACs bring one user's calls (a multilink bundle) to one LNS, although they know nothing of each other: document
 * 001's deterministic selection for several origination points, from the origination points' side.
 */
import { describe, expect, test } from 'vitest';
import { parseLacConfig } from '../../../src/config/lac.js';
import { Chooser } from '../../../src/roles/lac/chooser.js';
import { TargetBook } from '../../../src/roles/lac/targets.js';
import { LacScene, type SceneLns } from '../../helpers/lac-scene.js';
import { MemoryAppliance } from '../../helpers/memory-appliance.js';
import { udpFrame } from '../../helpers/packet-builder.js';

const ADDRESSES = ['192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4'];

/** Two LACs with the same LNSs, which they number and name in ways of their own. */
function configOf(name: string, more: string): string {
  const entries = ADDRESSES.map((address, n) => `{ name: ${name}-${n}, address: ${address} }`);
  if (name === 'lac2') entries.reverse();
  const names = ADDRESSES.map((_, n) => `${name}-${n}`);
  return `name: ${name}
pppoe: { interfaces: eth1 }
lns: [${entries.join(', ')}]
table: [{ lns: [[${names.join(', ')}]] }]
${more.includes('tunnels:') ? '' : 'tunnels: { setup: 5s, tries: 4, firstWait: 500ms, dead: 60s }\n'}${more}
`;
}

interface Lac {
  readonly scene: LacScene;
  readonly lnses: readonly SceneLns[];
  /** The user's call comes up: address of its LNS. */
  call(user: string): string;
}

function lac(name: string, more: string, seed = 1): Lac {
  const scene = new LacScene({ config: configOf(name, more), seed });
  const lnses = ADDRESSES.map((address) => scene.lns(address));
  return {
    scene,
    lnses,
    call: (user) => {
      const before = lnses.map(({ calls }) => calls.length);
      const client = scene.client(user);
      expect(scene.run(() => client.isUp)).toBe(true);
      return lnses.find(({ calls }, n) => calls.length > before[n])?.address ?? '';
    },
  };
}

const users = Array.from({ length: 24 }, (_, n) => `user${n}@isp${n % 5}.example`);

describe('which LNS a group has', () => {
  test('a user’s calls go to one LNS at both LACs, whatever each has had before, and users spread', () => {
    const [one, two] = [lac('lac1', 'groupBy: user'), lac('lac2', 'groupBy: user', 2)];
    const first = users.map((user) => one.call(user));
    const there = [...users].reverse().map((user) => two.call(user.toUpperCase()));
    expect(there.reverse()).toEqual(first);
    expect(new Set(first)).toEqual(new Set(ADDRESSES));
  });

  test('by realm; without one by load', () => {
    const [one, two] = [lac('lac1', 'groupBy: realm'), lac('lac2', 'groupBy: realm', 2)];
    const seen = new Map<string, Set<string>>();
    for (const user of users.slice(0, 10)) {
      const realm = user.split('@')[1];
      const at = seen.get(realm) ?? new Set();
      seen.set(realm, at.add(one.call(user)).add(two.call(user)));
    }
    expect([...seen.values()].map(({ size }) => size)).toEqual([1, 1, 1, 1, 1]);
    const plain = lac('lac3', 'groupBy: realm', 3);
    expect(new Set(['a', 'b', 'c', 'd'].map((user) => plain.call(user))).size).toBe(4);
  });

  test('a dead LNS: its groups go to the same next one at both, and nobody else moves', () => {
    const lacs = [lac('lac1', 'groupBy: user'), lac('lac2', 'groupBy: user', 2)];
    const home = users.slice(0, 12).map((user) => lacs[0].call(user));
    const dead = home[0];
    const fresh = [lac('lac1', 'groupBy: user', 3), lac('lac2', 'groupBy: user', 4)];
    const after = fresh.map((one) => {
      for (const lns of one.lnses) if (lns.address === dead) lns.isDead = true;
      return users.slice(0, 12).map((user) => one.call(user));
    });
    expect(after[1]).toEqual(after[0]);
    after[0].forEach((address, n) => {
      if (home[n] === dead) expect(address).not.toBe(dead);
      else expect(address).toBe(home[n]);
    });
  });

  test('the key is the user’s name without a statement of the LNS', () => {
    const { config } = parseLacConfig(
      'f',
      configOf('lac1', "groupBy: user\nstatement: { allow: [lac1-1], separator: '%' }"),
    );
    if (config === null) throw new Error('the sample is wrong');
    const chooser = new Chooser(config, new TargetBook(config, () => ''));
    expect(chooser.groupOf({ user: 'Alice@isp%lac1-1', calling: '7' })).toBe('alice@isp');
    expect(chooser.groupOf({ user: null, calling: '7' })).toBeNull();
    expect(chooser.groupOf({ user: '', calling: '7' })).toBeNull();
  });
});

describe('tunnels of their own', () => {
  const MORE = 'groupBy: calling-number\ntunnels: { perGroup: true, idle: 20s }';

  /** Requests that the LNSs of a LAC have got. */
  function requestsOf({ lnses }: Lac): Uint8Array[] {
    const requests: Uint8Array[] = [];
    for (const { endpoint } of lnses) {
      const receive = endpoint.receive.bind(endpoint);
      endpoint.receive = (bytes, ...rest) => {
        if (bytes[1] === 2 && bytes[4] === 0 && bytes[5] === 0 && bytes.length > 40) requests.push(bytes.slice());
        return receive(bytes, ...rest);
      };
    }
    return requests;
  }

  test('calls of one number share one, others do not; a designator sends both LACs’ tunnels of a number to one server', () => {
    const servers = ADDRESSES.map((_, n) => `{ name: s${n}, address: 10.10.1.${n + 1} }`).join(', ');
    const designator = new MemoryAppliance(
      `vips: [{ name: access, address: 200.200.100.1, groupBy: calling-number, servers: [${servers}] }]\n`,
    );
    const [one, two] = [lac('lac1', MORE), lac('lac2', MORE, 2)];
    const seen = [one, two].map((at, n) => {
      const requests = requestsOf(at);
      // Clients of both scenes are numbered alike, and so are their MAC addresses.
      for (let caller = 0; caller < 10; caller++) at.call(`user${caller}`);
      expect(requests).toHaveLength(10);
      return requests.map((request) => {
        const frame = udpFrame(`192.128.10.${n + 1}:1701`, '200.200.100.1:1701', Buffer.from(request).toString('hex'));
        const { sent } = designator.send(frame);
        return sent[0].frame[33];
      });
    });
    expect(seen[1]).toEqual(seen[0]);
    expect(new Set(seen[0]).size).toBeGreaterThan(1);
    expect(designator.count('grouped')).toBe(20);
  });

  test('a second call of the same group is in its tunnel', () => {
    const at = lac('lac1', 'groupBy: realm\ntunnels: { perGroup: true, idle: 20s }');
    const requests = requestsOf(at);
    const home = at.call('a@isp.example');
    expect(at.call('b@ISP.example')).toBe(home);
    expect(at.call('c@other.example')).not.toBe('');
    expect(requests).toHaveLength(2);
    // By realm nobody's number is told.
    for (const request of requests) expect(Buffer.from(request).includes('02:00:00:01')).toBe(false);
  });
});
