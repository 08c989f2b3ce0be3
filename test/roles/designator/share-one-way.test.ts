/**
 * A master whose answers do not cross (`reply: direct`) dies, and another candidate that shares its tunnels goes on: with
 * the clients that it carries, and with those that refuse answers from elsewhere (docs/replies.md, docs/master.md).
 */
import { afterEach, expect, test } from 'vitest';
import { FOLLOW } from '../../../src/dataplane/follow-class.js';
import { hello, l2tpData, scccn, sccrp, sccrq, udpFrame, viewOf } from '../../helpers/packet-builder.js';
import { ShareFarm, type ShareMember } from '../../helpers/share-farm.js';
import { brokenInvariants } from '../../helpers/table-invariants.js';

const VIP = '200.200.100.1:1701';
const LOCAL = '10.10.1.250';
const YAML = `
table: { connections: 4096 }
part: master
vips:
  - name: access
    address: 200.200.100.1
    algorithm: maglev
    reply: direct
    localAddress: ${LOCAL}
    servers:
      - { name: lns1, address: 10.10.1.1, globalAddress: 200.200.100.11 }
      - { name: lns2, address: 10.10.1.2, globalAddress: 200.200.100.12 }
`;
const CARRIED = '192.128.10.5:1701';
const REFUSING = '192.128.10.6:1701';
/** Ids of the servers. */
const [OF_CARRIED, OF_REFUSING] = [1001, 1002];

let farm: ShareFarm;
afterEach(() => farm.close());

const place = (frame: Uint8Array, ip: number, port: number): string =>
  `${[...frame.subarray(ip, ip + 4)].join('.')}:${viewOf(frame).getUint16(port)}`;
const ways = (sent: readonly Uint8Array[]): string[] =>
  sent.map((frame) => `${place(frame, 26, 34)} > ${place(frame, 30, 36)}`);
const up = (member: ShareMember, client: string, payload: Uint8Array): string[] =>
  ways(member.send(udpFrame(client, VIP, payload)));

/** Returns the server, and with which of the master's places its refusing client speaks to it. */
function stand(member: ShareMember): { carriedBy: string; server: string; local: string } {
  const [asked] = up(member, CARRIED, sccrq({ assigned: 1 }));
  const carriedBy = asked.split(' > ')[1];
  expect(up(member, CARRIED, scccn({ tunnel: OF_CARRIED }))).toEqual([`${CARRIED} > ${carriedBy}`]);
  return { carriedBy, ...refuse(member, 2, OF_REFUSING) };
}

/** A client that repeats its request although it is answered: the last copy goes out from the master's own address. */
function refuse(member: ShareMember, id: number, serverId: number): { server: string; local: string } {
  const [first] = up(member, REFUSING, sccrq({ assigned: id }));
  expect(first).toMatch(`${REFUSING} > `);
  farm.run(1);
  up(member, REFUSING, sccrq({ assigned: id }));
  farm.run(2);
  return answer(member, id, serverId, up(member, REFUSING, sccrq({ assigned: id })));
}

function answer(member: ShareMember, id: number, serverId: number, asked: string[]): { server: string; local: string } {
  expect(asked).toHaveLength(1);
  const [local, server] = asked[0].split(' > ');
  expect(local).toMatch(`${LOCAL}:`);
  const answered = member.send(udpFrame(server, local, sccrp({ tunnel: id, assigned: serverId })));
  expect(ways(answered)).toEqual([`${VIP} > ${REFUSING}`]);
  expect(up(member, REFUSING, scccn({ tunnel: serverId }))).toEqual([`${local} > ${server}`]);
  return { server, local };
}

test('both kinds of clients go on at the next master, at once and after it has taken over', () => {
  farm = new ShareFarm(YAML);
  const [a, b] = [farm.start(1), farm.start(2)];
  farm.run(3);
  const { carriedBy, server, local } = stand(a);
  farm.run(1);
  expect(b.tunnels).toEqual(a.tunnels);
  expect(b.tunnels.filter((row) => row.includes('established'))).toHaveLength(2);
  a.die();
  const flow = (): void => {
    expect(up(b, CARRIED, l2tpData({ tunnel: OF_CARRIED, session: 51 }))).toEqual([`${CARRIED} > ${carriedBy}`]);
    expect(up(b, REFUSING, l2tpData({ tunnel: OF_REFUSING, session: 52 }))).toEqual([`${local} > ${server}`]);
    const back = b.send(udpFrame(server, local, l2tpData({ tunnel: 2, session: 2 })));
    expect(ways(back)).toEqual([`${VIP} > ${REFUSING}`]);
  };
  flow();
  farm.run(6);
  expect(b.own).toBe(2);
  flow();
  // Dialogues too, each in its direction.
  expect(up(b, CARRIED, hello({ tunnel: OF_CARRIED, ns: 2, nr: 1 }))).toEqual([`${CARRIED} > ${carriedBy}`]);
  expect(up(b, REFUSING, hello({ tunnel: OF_REFUSING, ns: 2, nr: 1 }))).toEqual([`${local} > ${server}`]);
  expect(ways(b.send(udpFrame(server, local, hello({ tunnel: 2, ns: 1, nr: 3 }))))).toEqual([`${VIP} > ${REFUSING}`]);
  expect(b.appliance.drops()).toEqual({});
  expect(brokenInvariants(b.appliance.memory)).toEqual([]);
});

test('the next master knows what the clients do from the tunnels that it took over', () => {
  farm = new ShareFarm(YAML);
  const [a, b] = [farm.start(1), farm.start(2)];
  farm.run(3);
  const { carriedBy, local } = stand(a);
  farm.run(1);
  a.die();
  farm.run(6);
  expect(b.followed).toEqual(
    new Map([
      ['5', FOLLOW.carried],
      ['6', FOLLOW.refuses],
    ]),
  );
  // The refusing client is put to a server from the master's address with its first request, by a place of its own.
  const again = answer(b, 12, 1012, up(b, REFUSING, sccrq({ assigned: 12 })));
  expect(again.local).not.toBe(local);
  expect(up(b, CARRIED, sccrq({ assigned: 11 }))[0]).toMatch(CARRIED);
  expect(up(b, CARRIED, l2tpData({ tunnel: OF_CARRIED, session: 51 }))).toEqual([`${CARRIED} > ${carriedBy}`]);
  expect(brokenInvariants(b.appliance.memory)).toEqual([]);
});

test('the master that died comes back and holds both, without pulling them back', () => {
  farm = new ShareFarm(YAML);
  const [a, b] = [farm.start(1), farm.start(2)];
  farm.run(3);
  const { server, local } = stand(a);
  farm.run(1);
  a.die();
  farm.run(6);
  const back = farm.start(1, a.appliance.memory);
  farm.run(5);
  expect([back.own, b.own]).toEqual([0, 2]);
  expect(back.tunnels).toEqual(b.tunnels);
  expect(ways(back.send(udpFrame(server, local, l2tpData({ tunnel: 2, session: 2 }))))).toEqual([
    `${VIP} > ${REFUSING}`,
  ]);
  b.die();
  farm.run(6);
  expect(back.own).toBe(2);
  expect(up(back, REFUSING, hello({ tunnel: OF_REFUSING, ns: 2, nr: 1 }))).toEqual([`${local} > ${server}`]);
  expect(back.appliance.drops()).toEqual({});
});
