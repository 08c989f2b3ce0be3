/** Desks of several members on the bus of one machine. Waits for what must come, with a generous deadline. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, describe, expect, test } from 'vitest';
import type { ClusterBusRow, ClusterMemberRow } from '../../../src/ops/endpoint.js';
import { EventLog } from '../../../src/ops/events.js';
import { ClusterDesk } from '../../../src/roles/designator/cluster/cluster-desk.js';
import { clusterDrops, clusterMetrics } from '../../../src/roles/designator/cluster/metrics.js';
import { clusterTables } from '../../../src/roles/designator/cluster/rows.js';
import { type MemberText, UNKNOWN_MEMBER } from '../../../src/wire/cluster-member.js';

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanUps.splice(0).reverse()) await clean();
});

async function until(condition: () => boolean): Promise<void> {
  for (const end = Date.now() + 20_000; !condition(); ) {
    if (Date.now() > end) throw new Error('it did not happen within twenty seconds');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const folderOf = (): string => {
  const folder = mkdtempSync(join(tmpdir(), 'td-desk-'));
  cleanUps.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
};

class Member {
  readonly events = new EventLog();
  readonly desk: ClusterDesk;
  told: Omit<MemberText, 'name'> = { ...UNKNOWN_MEMBER, role: 'designator', part: 'all', state: 'ready', tunnels: 5 };
  readonly #timer: NodeJS.Timeout;

  constructor(folder: string, number: number) {
    this.desk = new ClusterDesk({
      config: {
        name: 'pop1',
        number,
        member: `td${number}`,
        bus: { driver: 'local', folder, secret: null },
        share: { tunnels: true, rate: 1000 },
      },
      logger: pino({ level: 'silent' }),
      events: this.events,
      facts: () => new Map(),
      describe: () => this.told,
    });
    this.#timer = setInterval(() => this.desk.tick(), 50);
    cleanUps.push(() => this.close());
  }

  async open(): Promise<this> {
    await this.desk.open();
    return this;
  }

  rows(): ClusterMemberRow[] {
    const table = clusterTables(this.desk).get('cluster');
    const rows = [...(table?.rows({}) ?? [])].flat() as (ClusterMemberRow | ClusterBusRow)[];
    return rows.filter((row): row is ClusterMemberRow => row.kind === 'member');
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.desk.close();
  }

  said(type: 'cluster-member' | 'cluster-duty'): Record<string, unknown>[] {
    return this.events.recent({ types: [type] }).map(({ seq: _seq, time: _time, type: _type, ...fields }) => fields);
  }
}

describe('members of a cluster', () => {
  test('see one another as they tell it, and who leaves is gone at once', async () => {
    const folder = folderOf();
    const [a, b] = [await new Member(folder, 1).open(), await new Member(folder, 2).open()];
    await until(() => a.rows().length === 2 && a.rows()[1].state === 'ready' && a.rows()[1].hearsUs);
    expect(a.rows()).toMatchObject([
      { number: 1, name: 'td1', self: true, state: 'ready', tunnels: 5 },
      { number: 2, name: 'td2', self: false, state: 'ready', tunnels: 5, role: 'designator', part: 'all' },
    ]);
    expect(a.rows()[1].incarnation).toBe(b.rows().find(({ self }) => self)?.incarnation);
    b.told = { ...b.told, state: 'unable', reason: 'lan0 is down', tunnels: 6 };
    await until(() => a.rows()[1].state === 'unable');
    expect(a.rows()[1]).toMatchObject({ reason: 'lan0 is down', tunnels: 6 });
    await b.close();
    await until(() => a.rows().length === 1);
    expect(a.said('cluster-member')).toEqual([
      { what: 'joined', number: 2, member: 'td2' },
      { what: 'left', number: 2, member: 'td2', reason: 'leaves' },
    ]);
  });

  test('notices reach their handlers; others are counted', async () => {
    const folder = folderOf();
    const [a, b] = [await new Member(folder, 1).open(), await new Member(folder, 2).open()];
    const heard: [number, string][] = [];
    b.desk.onNotice('orders', (from, body) => void heard.push([from, Buffer.from(body).toString()]));
    await until(() => a.desk.members().length === 1 && b.desk.members().length === 1);
    a.desk.notify('orders', Buffer.from('one'));
    a.desk.bus.publish('notice', Buffer.from('\u0007nobody handles it'));
    expect(a.desk.notify('orders', new Uint8Array(2000))).toBe(false);
    expect(clusterDrops(a.desk).find(({ reason }) => reason === 'cluster-notice-length')?.packets).toBe(1);
    await until(() => heard.length === 1 && b.desk.counters.noticesUnknown === 1);
    expect(heard).toEqual([[1, 'one']]);
  });

  test('a duty is done by the lowest that is ready, and by the next when that one is not', async () => {
    const folder = folderOf();
    const [a, b] = [await new Member(folder, 3).open(), await new Member(folder, 7).open()];
    const [first, second] = [a.desk.duty('inactivation'), b.desk.duty('inactivation')];
    expect(first.isHeld || second.isHeld).toBe(false);
    await until(() => first.isHeld);
    await until(() => b.desk.members().length === 1 && b.rows()[0].state === 'ready');
    expect(second.isHeld).toBe(false);
    a.told = { ...a.told, state: 'unable' };
    await until(() => second.isHeld);
    expect(first.isHeld).toBe(false);
    await until(() => b.said('cluster-duty').length > 0);
    expect(b.said('cluster-duty').at(-1)).toEqual({ duty: 'inactivation', held: true });
  });

  test('refused members are named, and make the cluster degraded', async () => {
    const folder = folderOf();
    const [a] = [await new Member(folder, 1).open(), await new Member(folder, 2).open()];
    await until(() => a.rows().length === 2);
    expect(a.desk.degraded()).toBeNull();
    a.desk.attach({
      rows: () => [],
      refused: () => [{ number: 2, differences: ['vip access: 192.0.2.9:1701 here, 192.0.2.1:1701 there'] }],
      counters: () => ({ sent: 3 }),
    });
    expect(a.rows()[1]).toMatchObject({ state: 'refused', reason: expect.stringMatching(/192\.0\.2\.9/) });
    expect(a.desk.degraded()).toBe(
      'cluster: member 2 is refused: vip access: 192.0.2.9:1701 here, 192.0.2.1:1701 there',
    );
    const metrics = clusterMetrics(a.desk);
    expect(metrics.find(({ name }) => name === 'cluster_members_refused')?.value).toBe(1);
    expect(metrics.find(({ name, reason }) => name === 'cluster_replication_total' && reason === 'sent')?.value).toBe(
      3,
    );
    expect(metrics.find(({ name }) => name === 'cluster_up')?.value).toBe(1);
    expect(clusterDrops(a.desk).map(({ reason }) => reason)).toContain('cluster-forged');
  });

  test('before its bus is open a desk says so', () => {
    const { desk } = new Member(folderOf(), 1);
    expect(desk.degraded()).toBe('cluster: the bus is not open');
    expect(() => desk.bus).toThrow(TypeError);
    expect(desk.notify('orders', new Uint8Array(1))).toBe(false);
  });
});
