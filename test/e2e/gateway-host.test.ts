/** The host's part of a gateway group on Linux itself: socket, virtual MACs, guard, link, left-overs. */
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Daemon } from '../../src/demo/lab/daemon.js';
import type { Bridge, Lab } from '../../src/demo/lab/lab.js';
import type { Namespace } from '../../src/demo/lab/namespace.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import type { HostChildOptions } from '../helpers/gateway-host-child.js';
import { describeLab } from '../helpers/lab.js';

const CHILD = path.resolve(import.meta.dirname, '../helpers/gateway-host-child.ts');
const WIRE = path.resolve(import.meta.dirname, '../helpers/wire-child.ts');
const STANDSTILL_MS = 100;
/** A message that was lost is sent again after so long. */
const AGAIN_MS = 1000;
const SHARED = '10.7.0.254';
const SHARED6 = '2001:db8:7::fe';
const LINK_LOCAL = 'fe80::7:fe';
const HOST_MAC = '02:00:00:00:07:11';
const vmac = (number: number): string => `02:54:44:00:07:${number.toString(16).padStart(2, '0')}`;
const bare = (mac: string): string => mac.replaceAll(':', '');
const NOBODY = 'ff'.repeat(6);

/** Frames of the host. */
const frame = (to: string, type: string, rest: string): string =>
  `${bare(to)}${bare(HOST_MAC)}${type}${rest}`.padEnd(120, '0');
const message = (mark: string): string => frame('03:54:44:00:07:00', '88b5', mark);
const hex4 = (address: string): string =>
  address
    .split('.')
    .map((part) => Number(part).toString(16).padStart(2, '0'))
    .join('');
const whoHas = (target: string, to = NOBODY): string =>
  frame(to, '0806', `0001080006040001${bare(HOST_MAC)}${hex4('10.7.0.11')}${'00'.repeat(6)}${hex4(target)}`);
/** The same with a tag of VLAN `id` in it. */
const tagged = (text: string, id: number): string =>
  `${text.slice(0, 24)}8100${id.toString(16).padStart(4, '0')}${text.slice(24)}`;

type Line = Record<string, unknown> & { readonly what: string };

/** One child in a namespace, by its lines. */
class HostChild {
  #read = 0;
  constructor(readonly daemon: Daemon) {}

  get told(): Line[] {
    return this.daemon.lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Line);
  }

  /** The next line of this kind that has not been asked for yet. */
  async next(what: string, fits: (line: Line) => boolean = () => true): Promise<Line> {
    const found = await waitFor(
      `${this.daemon.label} to tell ${what}`,
      () => {
        const at = this.told.findIndex((line, index) => index >= this.#read && line.what === what && fits(line));
        if (at >= 0) this.#read = at + 1;
        return at < 0 ? undefined : this.told[at];
      },
      10_000,
      () => this.daemon.tail(),
    );
    return found;
  }

  async command(words: string): Promise<Line> {
    const [command] = words.split(' ');
    const before = this.told.filter((line) => line.what === 'done').length;
    this.daemon.child.stdin?.write(`${words}\n`);
    return waitFor(
      `${this.daemon.label} to do ${command}`,
      () => this.told.filter((line) => line.what === 'done')[before],
      10_000,
      () => this.daemon.tail(),
    );
  }

  /** Frames that were received, as hex. */
  get frames(): string[] {
    return this.told.filter(({ what }) => what === 'frame').map(({ hex }) => String(hex));
  }
}

describeLab('the host of a gateway group', ['tcpdump'], (open) => {
  let lab: Lab;
  let lan: Bridge;
  let gateway: Namespace;
  let host: Namespace;
  let wire: Daemon;
  let sent = 0;

  const start = async (options: Partial<HostChildOptions> = {}, within: readonly string[] = []): Promise<HostChild> => {
    const all: HostChildOptions = {
      device: 'eth0',
      group: 7,
      addresses: [SHARED, SHARED6, LINK_LOCAL],
      lockFolder: lab.folder,
      ...options,
    };
    const [program, ...words] = [...within, process.execPath, '--import', 'tsx', CHILD, JSON.stringify(all)];
    const child = new HostChild(gateway.start('port', program, words, { stdin: 'pipe' }));
    await waitFor(
      'the port to open',
      () => child.told.find(({ what }) => what === 'open' || what === 'failed'),
      10_000,
      () => child.daemon.tail(),
    );
    return child;
  };
  const stop = async (child: HostChild): Promise<void> => {
    await child.command('stop');
    expect(await child.daemon.ended).toBe(0);
  };
  const fromHost = async (...frames: string[]): Promise<void> => {
    for (const text of frames) wire.child.stdin?.write(`${text}\n`);
    sent += frames.length;
    await waitFor('frames to leave', () => wire.count(/^sent$/) >= sent);
  };
  /** Waits until a message that is sent now arrives, so that everything before it has. */
  const untilHeard = async (child: HostChild, mark: string): Promise<void> => {
    await fromHost(message(mark));
    let again = performance.now() + AGAIN_MS;
    await waitFor(
      `message ${mark}`,
      async () => {
        if (child.frames.includes(message(mark))) return true;
        // A bridge forwards nothing to a port that is up again until it has noticed that.
        if (performance.now() < again) return false;
        again = performance.now() + AGAIN_MS;
        await fromHost(message(mark));
        return false;
      },
      10_000,
      () => child.daemon.tail(),
    );
  };
  const devices = async (): Promise<string[]> => {
    const text = await gateway.run('ip', ['-json', 'link', 'show', 'type', 'macvlan']);
    const links = JSON.parse(text) as { ifname?: string; flags: string[] }[];
    return links
      .flatMap(({ ifname, flags }) =>
        ifname === undefined ? [] : [`${ifname} ${flags.includes('UP') ? 'up' : 'down'}`],
      )
      .sort();
  };
  /** The host takes this virtual MAC for the shared addresses' and for its router's. */
  const use = (number: number): Promise<string> =>
    host.ip(
      ...[SHARED, SHARED6, LINK_LOCAL].map((address) => `neigh replace ${address} lladdr ${vmac(number)} dev eth0`),
    );

  beforeAll(async () => {
    lab = await open();
    lan = await lab.bridge('lan');
    gateway = await lab.namespace('gw');
    host = await lab.namespace('host');
    const target = await lab.namespace('target');
    const up = await lab.bridge('up');
    await lab.plug(lan, gateway, 'eth0', ['10.7.0.1/24', '2001:db8:7::1/64']);
    await lab.plug(lan, host, 'eth0', ['10.7.0.11/24', '2001:db8:7::11/64'], { mac: HOST_MAC });
    await lab.plug(up, gateway, 'eth1', ['10.6.0.1/24', '2001:db8:6::1/64']);
    await lab.plug(up, target, 'eth0', ['10.6.0.100/24', '2001:db8:6::100/64']);
    await target.ip('route add 10.7.0.0/24 via 10.6.0.1', 'route add 2001:db8:7::/64 via 2001:db8:6::1');
    await host.ip(`route add default via ${SHARED}`, `route add default via ${LINK_LOCAL} dev eth0`);
    for (const key of ['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding']) await gateway.sysctl(key, 1);
    // As strict as a distribution may have it.
    for (const name of ['all', 'default', 'eth0']) await gateway.sysctl(`net.ipv4.conf.${name}.rp_filter`, 1);
    wire = host.start('wire', process.execPath, ['--import', 'tsx', WIRE, 'eth0'], { stdin: 'pipe' });
  }, 30_000);

  test('frames about the group arrive, with their age; others, and those of other VLANs, do not', async () => {
    const child = await start({ accept: false });
    expect((await child.next('problems')).problems).toEqual([]);
    expect(await child.next('open')).toMatchObject({ present: true, up: true, mtu: 1500 });
    const wanted = [whoHas(SHARED), whoHas(SHARED, vmac(3)), message('aa01')];
    await fromHost(whoHas('10.7.0.77'), tagged(whoHas(SHARED), 100), ...wanted, tagged(message('aa02'), 0));
    await untilHeard(child, 'aa03');
    // Solicitations of the host's own kernel may come between.
    const ours = child.frames.filter((text) => !/^.{24}86dd/.test(text));
    expect(ours).toEqual([...wanted, message('aa02'), message('aa03')]);
    expect((await child.command('send')).sent).toBe(0);

    // A process that was away is told how long a frame has been waiting for it.
    child.daemon.signal('SIGSTOP');
    await fromHost(message('bb01'));
    await sleep(STANDSTILL_MS);
    child.daemon.signal('SIGCONT');
    const late = await child.next('frame', ({ hex }) => hex === message('bb01'));
    // Half of it: when a frame has been given away it may still be on its way.
    expect(late.age).toBeGreaterThanOrEqual(STANDSTILL_MS / 2000);
    const { counts } = await child.command('statistics');
    expect(counts).toMatchObject({ dropped: 0, truncated: 0, refused: 0 });

    // Switches that listen to MLD are asked for the questions; other addresses can be taken.
    const groups = await gateway.run('ip', ['maddress', 'show', 'dev', 'eth0']);
    for (const group of ['ff02::1:ff00:fe', 'ff02::1:ff07:fe', 'ff02::2', '03:54:44:00:07:00'])
      expect(groups).toContain(group);
    expect(await gateway.run('ip', ['-o', 'address'])).not.toContain(SHARED);
    await child.command('addresses true 10.7.0.253');
    await fromHost(whoHas(SHARED), whoHas('10.7.0.253'));
    await untilHeard(child, 'cc01');
    expect(child.frames.filter((text) => text === whoHas(SHARED))).toHaveLength(1); // the one before
    expect(child.frames).toContain(whoHas('10.7.0.253'));
    expect(await gateway.run('ip', ['-o', 'address'])).toContain('10.7.0.253/32');
    expect(await gateway.run('ip', ['maddress', 'show', 'dev', 'eth0'])).not.toContain('ff02::1:ff07:fe');
    expect(await gateway.run('nft', ['list', 'ruleset'])).not.toContain(SHARED);
    await stop(child);
  });

  describe('with virtual MACs', () => {
    let child: HostChild;
    beforeAll(async () => {
      child = await start();
    }, 30_000);

    test('a virtual MAC that is held takes packets and forwards them, of both families; one that is let go does not', async () => {
      await child.command('hold 3 4');
      await child.command('let-go 4 5');
      expect(await devices()).toEqual(['td7-0 up', 'td7-3 up', 'td7-4 down', 'td7-5 down']);
      await use(3);
      expect(await host.ping('10.6.0.100', { count: 2 })).toBe(2);
      expect(await host.ping('2001:db8:6::100', { count: 2 })).toBe(2);
      const { rows } = (await child.command('traffic')) as unknown as {
        rows: Record<string, { bytes: number; packets: number }>;
      };
      expect(rows[3].packets).toBeGreaterThanOrEqual(4);
      expect(rows[3].bytes).toBeGreaterThanOrEqual(4 * 98);
      expect(rows[5]).toEqual({ bytes: 0, packets: 0 });
      await use(4);
      expect(await host.ping('10.6.0.100', { count: 1 })).toBe(0);
    });

    test('the gateway answers pings to the shared addresses, and says them to nobody else', async () => {
      await child.command('hold 1 2');
      await use(2);
      await gateway.ip('neigh flush dev eth0');
      const capture = host.start('tcpdump', 'tcpdump', [
        '-lnnei',
        'eth0',
        '-Q',
        'in',
        'arp or icmp6 or ether proto 0x88b5',
      ]);
      await capture.waitForLine(/listening on/);
      for (const address of [SHARED, SHARED6, `${LINK_LOCAL}%eth0`])
        expect(await host.ping(address, { count: 1 })).toBe(1);
      // Nobody answers for it: that is the group's affair.
      await host.ip(`neigh del ${SHARED} dev eth0`, `neigh del ${SHARED6} dev eth0`);
      expect(await host.ping(SHARED, { count: 1 })).toBe(0);
      await child.command(`send ${bare(NOBODY)}${bare(vmac(1))}88b5${'00'.repeat(46)}`);
      await capture.waitForLine(/0x88b5/);
      const said = capture.lines.filter((line) => / > /.test(line));
      expect(said.filter((line) => /ARP/.test(line) && line.includes(`tell ${SHARED},`))).toEqual([]);
      expect(said.filter((line) => line.includes(`${SHARED} is-at`) || line.includes(`tgt is ${SHARED6}`))).toEqual([]);
      // From the virtual MACs: our own frame, and answers with the link-local address.
      const virtual = said.filter((line) => line.includes('02:54:44:00:07:') && / 02:54:44:00:07:\S+ > /.test(line));
      expect(virtual.filter((line) => !line.includes('0x88b5') && !line.includes(`${LINK_LOCAL} > `))).toEqual([]);
      expect(virtual.length).toBeGreaterThanOrEqual(2);
      await capture.stop();
      expect((await gateway.run('sysctl', ['-n', 'net.ipv4.conf.eth0.arp_announce'])).trim()).toBe('2');
    });

    test('a table that somebody takes away is written again; at the end nothing is left', async () => {
      await gateway.run('nft', ['flush', 'ruleset']);
      expect((await child.next('trouble')).trouble).toMatchObject({ what: 'guard', ok: true });
      expect(await gateway.run('nft', ['list', 'tables'])).toContain('designator_gateway_eth0_7');
      await stop(child);
      expect((await gateway.run('sysctl', ['-n', 'net.ipv4.conf.eth0.arp_announce'])).trim()).toBe('0');
      expect((await gateway.run('nft', ['list', 'ruleset'])).trim()).toBe('');
      expect(await gateway.run('ip', ['-o', 'address'])).not.toContain(SHARED);
      expect(await devices()).toEqual([]);
    });
  });

  test('a second process is refused; what a killed one left is gone with the next start', async () => {
    const first = await start();
    await first.command('hold 1 9');
    // Another group on the same interface is another matter.
    const [second, other] = await Promise.all([start(), start({ group: 8, addresses: ['10.7.0.250'] })]);
    expect(await second.next('failed')).toMatchObject({ code: 'TD_CONFLICT' });
    expect(await second.daemon.ended).toBe(0);
    expect(second.told.at(-1)?.message).toContain('another process serves gateway group 7 on eth0');
    await other.next('open');
    await stop(other);
    await first.daemon.kill();
    for (const pid of (await gateway.run('ip', ['netns', 'pids', gateway.name])).split('\n').filter(Boolean)) {
      await gateway.tryRun('kill', ['-KILL', pid]);
    }
    expect(await devices()).toEqual(['td7-0 up', 'td7-1 up', 'td7-9 up']);
    const third = await start({ accept: false });
    expect(await devices()).toEqual([]);
    await stop(third);
  });

  test('an interface that goes down, and one that is taken away and put back', async () => {
    const child = await start();
    await child.command('hold 6');
    await untilHeard(child, 'dd01');
    await gateway.ip('link set eth0 down');
    await child.next('link', ({ up, present }) => present === true && up === false);
    expect((await child.command(`send ${message('dd02')}`)).sent).toBe(0);
    await gateway.ip('link set eth0 up');
    await child.next('link', ({ up }) => up === true);
    await untilHeard(child, 'dd03');

    await gateway.ip('link del eth0');
    await child.next('link', ({ present }) => present === false);
    expect(await devices()).toEqual([]);
    await child.command('hold 7'); // remembered
    await lab.plug(lan, gateway, 'eth0', ['10.7.0.1/24', '2001:db8:7::1/64']);
    await child.next('link', ({ up }) => up === true);
    await untilHeard(child, 'dd04');
    expect(await devices()).toEqual(['td7-0 up', 'td7-6 up', 'td7-7 up']);
    await use(7);
    expect(await host.ping('10.6.0.100', { count: 1 })).toBe(1);
    expect((await child.command('statistics')).counts).toMatchObject({ refused: 1 });
    expect((await child.command(`send ${message('dd05')}`)).sent).toBe(1);
    await stop(child);
  });

  test('without devices of its own the interface takes the virtual MACs itself', async () => {
    const child = await start({ forwarding: 'none', accept: false });
    await child.command('hold 2 3');
    await child.command('let-go 3');
    const taken = await gateway.run('bridge', ['fdb', 'show', 'dev', 'eth0']);
    expect(taken).toContain(vmac(2));
    expect(taken).not.toContain(vmac(3));
    expect(await devices()).toEqual([]);
    await stop(child);
  });

  test('what stands in the way is said, each with what helps', async () => {
    await gateway.sysctl('net.ipv4.ip_forward', 0);
    await gateway.ip(`addr add ${SHARED}/24 dev eth1`);
    const child = await start();
    const texts = ((await child.next('problems')).problems as { severity: string; text: string; remedy: string }[]).map(
      ({ severity, text, remedy }) => `${severity}: ${text}: ${remedy}`,
    );
    expect(texts).toEqual([
      'fatal: the host forwards no IPv4: sysctl -w net.ipv4.ip_forward=1',
      `fatal: eth1 has the shared address ${SHARED} already: ip address del ${SHARED}/32 dev eth1 (with the length it has there)`,
    ]);
    await stop(child);
    await gateway.sysctl('net.ipv4.ip_forward', 1);
    await gateway.ip(`addr del ${SHARED}/24 dev eth1`, 'link add br9 type bridge', 'link set eth1 master br9');
    const port = await start({ device: 'eth1' });
    expect((await port.next('problems')).problems).toMatchObject([
      { severity: 'fatal', text: 'eth1 is a port of the bridge br9', remedy: 'name br9 as the interface' },
    ]);
    await stop(port);
    await gateway.ip('link set eth1 nomaster', 'link del br9');
    const nowhere = await start({ device: 'eth7' });
    expect((await nowhere.next('problems')).problems).toMatchObject([
      { severity: 'fatal', text: 'no such interface "eth7"' },
    ]);
    expect(await nowhere.next('failed')).toMatchObject({ code: 'TD_CONFIG' });
    const powerless = await start({}, [
      'setpriv',
      '--bounding-set',
      '-net_admin,-net_raw',
      '--inh-caps',
      '-net_admin,-net_raw',
    ]);
    expect((await powerless.next('problems')).problems).toMatchObject([{ severity: 'fatal', permission: true }]);
    expect(await powerless.next('failed')).toMatchObject({ code: 'TD_NO_PERMISSION', exitStatus: 77 });
  });
});
