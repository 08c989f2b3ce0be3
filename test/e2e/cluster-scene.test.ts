/**
 * Three designators and four real servers with two thousand tunnels, over three NATS servers: a NATS server dies, the bus is cut, the
 * active designator is killed, and all of them are upgraded, under traffic. Every tunnel is counted before and after, by its ids
 * and by what it carries.
 */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { type CommandResult, tryCommand } from '../../src/demo/lab/command.js';
import type { Lab } from '../../src/demo/lab/lab.js';
import { USER_SPACE } from '../../src/demo/lab/packages.js';
import { ClusterScene } from '../helpers/cluster-scene.js';
import { describeLab, SELF } from '../helpers/lab.js';
import { NATS_USER, NatsServers } from '../helpers/nats-servers.js';

const TUNNELS = 1000;
const DIALLED = 6;
const NATS = ['10.99.0.11', '10.99.0.12', '10.99.0.13'];
const SCRIPT = resolve(import.meta.dirname, '../../scripts/rolling-upgrade.mjs');

describeLab('a cluster with two thousand tunnels', [...USER_SPACE, 'nats-server'], (open) => {
  let lab: Lab;
  let nats: NatsServers;
  let scene: ClusterScene;

  beforeAll(async () => {
    lab = await open();
    scene = await ClusterScene.open(lab, {
      tunnels: TUNNELS,
      dialled: DIALLED,
      prepare: async (farm) => {
        nats = await NatsServers.start(lab, farm.bus, NATS);
      },
      config: (number) => ({
        cluster: {
          name: 'lab',
          number,
          member: `d${number}`,
          bus: {
            driver: 'nats',
            servers: NATS.map((address) => `${address}:4222`),
            ...NATS_USER,
            replicas: 3,
          },
        },
      }),
    });
  }, 120_000);

  test('every designator knows every tunnel', async () => {
    await scene.replicated();
    expect(await scene.names()).toHaveLength(2 * TUNNELS + DIALLED);
  });

  test('a NATS server is killed: members go on with another one, and tunnels know nothing of it', async () => {
    await nats.kill(1);
    await scene.wholeBus();
    await scene.dialOne();
    await scene.replicated();
  });

  test('the bus is cut around one: every tunnel goes on, those made meanwhile too; healed, all tables are equal', async () => {
    const alone = await scene.activeOf(2);
    await scene.farm.cut(alone);
    await scene.busState(alone, 'degraded');
    await scene.dialOne();
    await scene.flowing();
    await scene.farm.cut(alone, false);
    await scene.wholeBus();
    await scene.replicated();
  });

  test('kill -9 the active one: the others have its tunnels, every single one goes on', async () => {
    const active = await scene.activeOf(0);
    const names = await scene.names();
    await scene.farm.member(active).process.kill();
    await scene.farm.settled(scene.farm.living);
    await scene.flowing();
    expect(await scene.names()).toEqual(names);
    await scene.dialOne();

    await scene.farm.member(active).start();
    await scene.farm.settled();
    await scene.wholeBus();
    await scene.replicated();
  });

  test('a rolling upgrade: every designator is another process, and every tunnel the same', async () => {
    const names = await scene.names();
    const { status, stdout, stderr } = await rollingUpgrade();
    expect({ status, stderr }, stdout).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/d1: .*\nd2: .*\nd3: .*\ndone/);
    process.stdout.write(stdout);
    expect(await scene.names()).toEqual(names);
    await scene.flowing();
  });

  test('what the callers say: every call was held from the beginning to the end', async () => {
    for (const { sessions, traffic, failures } of await scene.end()) {
      expect(failures).toEqual([]);
      expect(sessions).toMatchObject({ up: TUNNELS, failed: 0, lost: 0, held: TUNNELS });
      process.stdout.write(
        `longest silence of a session: ${traffic[0].gapMs?.max.toFixed(0)} ms, one packet in 2000 ms\n`,
      );
    }
    expect(scene.xl2tpd.daemon.count(/Connection closed to/)).toBe(0);
  });

  /** The script as an operator runs it; what systemd would do is done here. */
  async function rollingUpgrade(): Promise<CommandResult> {
    const { farm } = scene;
    const file = (member: number, what: string): string => join(lab.folder, `d${member}.${what}`);
    const restart = `touch ${lab.folder}/{member}.asked; until [ -e ${lab.folder}/{member}.done ]; do sleep 0.1; done`;
    const [node, main] = SELF;
    // Each member has its own file and socket, which on machines of their own have the same names.
    const config = `$(echo ${lab.folder}/$(ip netns identify $$ | sed 's/.*-//').yaml)`;
    const run = tryCommand(
      lab.env,
      node,
      [
        SCRIPT,
        ...['--via', `ip netns exec ${farm.boxes[0].name.replace(/d1$/, '')}{member} sh -c`],
        ...['--designator', `${node} ${main}`, '--config', config],
        ...['--restart', restart, '--patience', '40', 'd1', 'd2', 'd3'],
      ],
      { timeoutMs: 150_000 },
    );
    let over = false;
    const serve = async (): Promise<void> => {
      while (!over)
        for (const number of [1, 2, 3]) {
          await new Promise((done) => setTimeout(done, 50));
          if (!existsSync(file(number, 'asked'))) continue;
          rmSync(file(number, 'asked'));
          const member = farm.member(number);
          member.process.signal('SIGUSR1');
          await member.process.ended;
          await member.start();
          writeFileSync(file(number, 'done'), '');
        }
    };
    const [result] = await Promise.all([run.finally(() => (over = true)), serve()]);
    return result;
  }
});
