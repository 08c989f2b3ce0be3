/** An endpoint on the bus of a cluster, over the real sockets of one machine. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, expect, test } from 'vitest';
import type { BusChange } from '../../../src/cluster/bus.js';
import type { DesignatorError } from '../../../src/errors.js';
import { BusTeller } from '../../../src/roles/cluster/bus-teller.js';
import { openBus } from '../../../src/roles/cluster/open-bus.js';
import { readMemberText, UNKNOWN_MEMBER } from '../../../src/wire/cluster-member.js';
import { readNotice } from '../../../src/wire/cluster-notice.js';

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanUps.splice(0).reverse()) await clean();
});

async function until(condition: () => boolean): Promise<void> {
  for (const end = Date.now() + 20_000; !condition(); ) {
    if (Date.now() > end) throw new Error('it did not happen within twenty seconds');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const folderOf = (): string => {
  const folder = mkdtempSync(join(tmpdir(), 'td-teller-'));
  cleanUps.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
};

const member = (folder: string, number: number) =>
  ({ name: 'pop1', number, member: `m${number}`, bus: { driver: 'local', folder, secret: null } }) as const;

test('its messages reach a designator, which sees what it is and that it leaves', async () => {
  const folder = folderOf();
  const { bus } = await openBus(member(folder, 1));
  cleanUps.push(() => bus.close());
  const heard: [number, string | undefined, string][] = [];
  const changes: BusChange[] = [];
  bus.subscribe('notice', (from, _incarnation, body) => {
    const notice = readNotice(body);
    heard.push([from, notice?.kind, Buffer.from(notice?.body ?? []).toString()]);
  });
  bus.onChange((change) => changes.push(change));
  const teller = await BusTeller.open(member(folder, 4), { role: 'lns', version: '1.2.3' }, pino({ level: 'silent' }));
  await until(() => bus.members().length === 1);
  expect(readMemberText(bus.members()[0].text)).toMatchObject({ name: 'm4', role: 'lns', version: '1.2.3' });
  teller.describe({ ...UNKNOWN_MEMBER, role: 'lns', state: 'unable', tunnels: 7 });
  await until(() => readMemberText(bus.members()[0]?.text ?? new Uint8Array(0)).tunnels === 7);
  teller.tell(Buffer.from('sealed'));
  await until(() => heard.length === 1);
  expect(heard).toEqual([[4, 'load-status', 'sealed']]);
  expect(teller.told).toBe(1);
  await teller.close();
  await until(() => bus.members().length === 0);
  expect(changes.at(-1)).toEqual({ kind: 'left', number: 4, reason: 'leaves' });
});

test('a secret that cannot be read, and a number that is taken, are named', async () => {
  const folder = folderOf();
  const udp = (file: string) =>
    openBus({
      name: 'pop1',
      number: 1,
      member: null,
      bus: { driver: 'udp', address: '127.0.0.1', port: 1, peers: [], secret: { file } },
    });
  await expect(udp(join(folder, 'none'))).rejects.toThrow(/cannot be read: ENOENT/);
  const short = join(folder, 'short');
  writeFileSync(short, 'short\n');
  await expect(udp(short)).rejects.toThrow(/has 5 characters/);
  const { bus } = await openBus(member(folder, 1));
  cleanUps.push(() => bus.close());
  await expect(openBus(member(folder, 1))).rejects.toMatchObject({ code: 'TD_CONFLICT' } as Partial<DesignatorError>);
});
