/** What the product chooses by what the interfaces can do, what it says about it, and that every choice carries traffic. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { SERVERS, VIP } from '../../src/demo/lab/topology.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { describeLab } from '../helpers/lab.js';
import { NOTHING_LOST, Scene, type SceneOptions } from '../helpers/xdp-scene.js';

describeLab('the choice of the adapter', [], (open) => {
  let scene: Scene;
  afterEach(async () => {
    await scene.stop();
    await scene.lab.close();
  });
  const begin = async (options: SceneOptions): Promise<Scene> => {
    scene = await Scene.open(await open(), options);
    return scene;
  };
  const carries = async (): Promise<void> => {
    expect(await scene.stream(300)).toMatchObject(NOTHING_LOST);
    expect(await scene.net.client.ping(VIP)).toBe(3);
    expect(await scene.net.client.ping(SERVERS[0])).toBe(3); // through the host, which forwards
  };

  test.each(['auto', 'xdp'])('io: %s on plain veth pairs: generic XDP that forwards, with the reason', async (io) => {
    const { ready, appliance } = await begin({ gro: false, config: { io } });
    expect(ready?.io).toBe('xdp-generic');
    await scene.untilOffloaded();
    const { seen, result } = await scene.seenDuring(() => scene.stream(300));
    expect(result).toMatchObject(NOTHING_LOST);
    expect(seen).toBeLessThan(result.sent / 10);
    await carries();
    expect(await appliance.command('show', 'workers')).toMatch(/xdp-generic .*wan0 .*has no NAPI/);
    expect(appliance.process.count(/"msg":"io chosen"/)).toBe(1);
    expect(appliance.process.log()).toMatch(/"io":"xdp-generic","offload":true,"reasons":\["[^"]*wan0[^"]*NAPI/);
  });

  test('io: packet stays packet, with nothing on the interfaces', async () => {
    const { ready, appliance } = await begin({ config: { io: 'packet' } });
    expect(ready?.io).toBe('packet');
    expect((await appliance.workers()).map(({ io, reason }) => [io, reason])).toEqual([
      ['packet', null],
      ['packet', null],
    ]);
    expect(await scene.net.designator.run('ip', ['link', 'show'])).not.toContain('xdp');
    await carries();
    expect(await scene.offloaded()).toEqual([]);
  });

  test('offload: false — the shards forward everything', async () => {
    const { ready, appliance } = await begin({ config: { io: 'xdp', offload: false } });
    expect(ready?.io).toBe('xdp-native copy, no offload');
    const { seen, result } = await scene.seenDuring(() => scene.stream(300));
    expect(result).toMatchObject(NOTHING_LOST);
    expect(seen).toBeGreaterThanOrEqual(2 * result.sent);
    await carries();
    expect(await scene.offloaded()).toEqual([]);
    expect((await appliance.workers()).every(({ io }) => io === 'xdp-native copy, no offload')).toBe(true);
  });

  test('a far end that stops polling is noticed: the shards forward, until it polls again', async () => {
    const { ready, appliance } = await begin({ config: { io: 'xdp' } });
    expect(ready?.io).toBe('xdp-native copy');
    await scene.untilOffloaded();
    const from = appliance.process.lines.length;
    // Under traffic: what is lost between two looks is lost, and nothing after them.
    await scene.stream(200, async () => {
      await scene.farEnd('lan', 'gro', false);
      const line = JSON.parse(await appliance.process.waitForLine(/lan0 do not arrive/, 5000, from));
      expect(line).toMatchObject({ io: 'xdp-native copy, no offload' });
    });
    expect(await scene.offloaded()).toEqual([]);
    const { seen, result } = await scene.seenDuring(() => scene.stream(300));
    expect(result).toMatchObject(NOTHING_LOST);
    expect(seen).toBeGreaterThanOrEqual(2 * result.sent);
    expect((await appliance.workers()).map(({ io }) => io)).toContain('xdp-native copy, no offload');

    await scene.farEnd('lan', 'gro', true);
    // The table is seen to change before the line about it has come through the pipe.
    await appliance.process.waitForLine(/lan0 takes redirected frames again/, 5000, from);
    await waitFor('offload to return', async () => (await scene.offloaded()).length === scene.tunnels, 5000);
    expect(appliance.process.count(/lan0 takes redirected frames again/)).toBe(1);
    expect(await scene.stream(300, () => sleep(300))).toMatchObject(NOTHING_LOST);
    expect((await appliance.workers()).map(({ io }) => io)).toEqual(['xdp-native copy', 'xdp-native copy']);
  });
});
