/** What stands in the way of XDP: said with the reason and what to do, done without where the choice is ours. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { LabAppliance } from '../../src/demo/lab/appliance.js';
import type { CommandResult } from '../../src/demo/lab/command.js';
import { exampleConfig } from '../../src/demo/lab/topology.js';
import { HEADER, PAGE_LENGTH } from '../../src/flow/layout.js';
import { native } from '../../src/io/native.js';
import { pinName } from '../../src/io/xdp-maps.js';
import { describeLab, SELF } from '../helpers/lab.js';
import { compileBpf } from '../helpers/xdp-lab.js';
import { NOTHING_LOST, Scene, type SceneOptions } from '../helpers/xdp-scene.js';

const FOREIGN = resolve(import.meta.dirname, '../fixtures/bpf/pass.bpf.c');

describeLab('obstacles to XDP', ['clang', 'setpriv'], (open) => {
  let scene: Scene;
  afterEach(async () => {
    if (scene === undefined) return;
    await scene.stop();
    await scene.appliance.tryCommand('unpin');
    await scene.lab.close();
  });
  const prepare = async (options: SceneOptions = {}): Promise<LabAppliance> => {
    scene = await Scene.prepare(await open(), options);
    return scene.appliance;
  };
  /** Runs it to its end, as if it were asked for by hand. */
  const run = (io: string, more: Readonly<Record<string, unknown>> = {}): Promise<CommandResult> => {
    scene.appliance.write({ ...exampleConfig(), io, ...more });
    return scene.appliance.tryCommand('run');
  };
  const programs = async (): Promise<string[]> => {
    const links = JSON.parse(await scene.net.designator.run('ip', ['-j', 'link', 'show'])) as {
      ifname: string;
      xdp?: { prog?: { id: number } };
    }[];
    return links.flatMap(({ ifname, xdp }) => (xdp?.prog === undefined ? [] : [`${ifname} ${xdp.prog.id}`]));
  };
  const started = async (io: string): Promise<{ io: string; reason: string | null }> => {
    scene.appliance.write({ ...exampleConfig(), io });
    await scene.appliance.start();
    await scene.connect(1, 1);
    expect(await scene.stream(200)).toMatchObject(NOTHING_LOST);
    const [{ io: words, reason }] = await scene.appliance.workers();
    return { io: words, reason };
  };

  test.each(['xdp', 'xdpgeneric'])('a foreign program (%s) is never replaced', async (kind) => {
    await prepare();
    const object = join(scene.lab.folder, 'foreign.o');
    compileBpf(FOREIGN, object);
    await scene.net.designator.run('ip', ['link', 'set', 'dev', 'lan0', kind, 'obj', object, 'sec', 'xdp']);
    const before = await programs();
    expect(before).toHaveLength(1);
    const { status, stderr } = await run('xdp');
    expect(status).toBe(69);
    expect(stderr).toMatch(/another XDP program, \w+ \(id \d+\), is on lan0 .*`ip link set dev lan0 xdp off`/);
    expect(await programs()).toEqual(before);
    await scene.appliance.command('unpin');
    expect(await programs()).toEqual(before);
    expect(await started('auto')).toEqual({ io: 'packet', reason: expect.stringMatching(/another XDP program/) });
    expect(await programs()).toEqual(before);
    await scene.stop();
    expect(await programs()).toEqual(before);
  });

  test('frames that do not fit into a page', async () => {
    await prepare();
    await scene.net.designator.ip('link set wan0 mtu 9000');
    const { status, stderr } = await run('xdp');
    expect(status).toBe(69);
    expect(stderr).toMatch(/wan0 has an MTU of 9000; .*at most 3498/);
    expect(await started('auto')).toEqual({ io: 'packet', reason: expect.stringMatching(/MTU of 9000/) });
  });

  test('a driver that refuses the program: generic XDP, with what it said', async () => {
    await prepare();
    await scene.net.wan.namespace.ip('link set p1 mtu 9000'); // a veth cannot take such frames natively
    expect(await started('xdp')).toEqual({
      io: 'xdp-generic',
      reason: expect.stringMatching(/attaching the XDP program to wan0 \(native\)/),
    });
    await scene.untilOffloaded();
  });

  test.each(['-bpf,-sys_admin', '-sys_admin'])('without capabilities (%s): exit 77, or packet', async (dropped) => {
    await prepare();
    const [node, main] = SELF;
    const words = ['--bounding-set', dropped, node, main, 'run', '-c', scene.appliance.file];
    scene.appliance.write({ ...exampleConfig(), io: 'xdp' });
    const { status, stderr } = await scene.net.designator.tryRun('setpriv', words);
    expect(status).toBe(77);
    expect(stderr).toMatch(/CAP_BPF.*CAP_SYS_ADMIN/);
    scene.appliance.write({ ...exampleConfig(), io: 'auto' });
    const daemon = scene.net.designator.start('unprivileged', 'setpriv', words);
    scene.appliance.daemon = daemon;
    expect(JSON.parse(await daemon.waitForLine(/"msg":"ready"/))).toMatchObject({ io: 'packet' });
    expect((await scene.appliance.workers())[0].reason).toMatch(/CAP_BPF.*CAP_SYS_ADMIN/);
    await scene.connect(1, 1);
    expect(await scene.stream(200)).toMatchObject(NOTHING_LOST);
  });

  test('a pinned table of another layout: refused while it forwards, gone after unpin', async () => {
    const appliance = await prepare();
    await started('xdp');
    await scene.untilOffloaded();
    await appliance.process.kill();
    const { bpf, mapTable, unmapTable, closeFd } = native();
    const map = bpf.openPinned(`${appliance.pin}/${pinName('td_table')}`);
    const header = mapTable(map, PAGE_LENGTH);
    new Int32Array(header)[HEADER.layoutVersion] += 1;
    unmapTable(header);
    closeFd(map);
    for (const io of ['xdp', 'auto', 'packet']) {
      const { status, stderr } = await run(io);
      expect([io, status]).toEqual([io, 69]);
      expect(stderr).toMatch(/layout.*`designator unpin`/);
    }
    // The kernel forwards by it all the while.
    expect(await scene.stream(200)).toMatchObject(NOTHING_LOST);
    await appliance.command('unpin');
    expect(await programs()).toEqual([]);
    appliance.write({ ...exampleConfig(), io: 'xdp' });
    expect(await appliance.start()).toMatchObject({ io: 'xdp-native copy', tunnels: 0 });
  });

  test('a pinned table of another size likewise', async () => {
    const appliance = await prepare();
    await started('xdp');
    await scene.untilOffloaded();
    await appliance.process.kill();
    const { status, stderr } = await run('xdp', { table: { connections: 1024 } });
    expect(status).toBe(69);
    expect(stderr).toMatch(/table\.connections.*`designator unpin`/);
    expect(await scene.stream(200)).toMatchObject(NOTHING_LOST);
    appliance.write({ ...exampleConfig(), io: 'xdp' });
    expect((await appliance.start()).tunnels).toBe(1);
    expect(await scene.stream(200)).toMatchObject(NOTHING_LOST);
  });

  test('pins of an interface that has gone are cleaned up, and tunnels kept', async () => {
    const appliance = await prepare();
    await started('xdp');
    await scene.untilOffloaded();
    await appliance.process.kill();
    const { designator, wan } = scene.net;
    await designator.ip('link del wan0');
    await wan.namespace.ip(
      `link add p1 type veth peer name wan0 netns ${designator.name}`,
      `link set p1 master ${wan.name} up`,
    );
    await wan.namespace.run('ethtool', ['-K', 'p1', 'gro', 'on']);
    await designator.ip('link set wan0 up', 'addr add 192.128.10.1/24 dev wan0');
    expect(await appliance.start()).toMatchObject({ io: 'xdp-native copy', tunnels: 1 });
    expect(appliance.process.log()).toMatch(/its interface has gone/);
    // Its MAC is another one: the client must ask again.
    await scene.lab.namespaces.find(({ short }) => short === 'c0')?.ip('neigh flush dev eth0');
    await scene.untilOffloaded();
    expect(await scene.stream(200)).toMatchObject(NOTHING_LOST);
  });

  test('a second designator with the same pins is refused, and leaves the first one alone', async () => {
    const appliance = await prepare();
    await started('xdp');
    await scene.untilOffloaded();
    const before = await programs();
    const second = new LabAppliance(scene.lab, scene.net.designator, { self: SELF, config: {}, name: 'second' });
    second.write({ ...exampleConfig(), io: 'xdp', state: { pin: appliance.pin } });
    const { status, stderr } = await second.tryCommand('run');
    expect(status).toBe(69);
    expect(stderr).toMatch(/another designator uses the pins/);
    // Other pins, the same interfaces.
    second.write({ ...exampleConfig(), io: 'xdp' });
    const other = await second.tryCommand('run');
    expect(other.status).toBe(69);
    expect(other.stderr).toMatch(/another designator/);
    expect(existsSync(second.pin)).toBe(false);
    expect((await second.tryCommand('unpin')).stderr + (await second.tryCommand('unpin')).stdout).not.toMatch(
      /XDP program taken off/,
    );
    expect(await programs()).toEqual(before);
    expect(await scene.stream(200)).toMatchObject(NOTHING_LOST);
  });
});
