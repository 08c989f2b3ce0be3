/**
 * Servers that the load does not need (document 001), with real ones: each is a process of our LNS that the commands `off`
 * and `on` end and start, and tells its load itself.
 */
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { LabAppliance } from '../../src/demo/lab/appliance.js';
import { tryCommand } from '../../src/demo/lab/command.js';
import { LabEndpoint } from '../../src/demo/lab/endpoint.js';
import type { Lab } from '../../src/demo/lab/lab.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import type { ServerRow } from '../../src/ops/appliance.js';
import type { L2tpTunnel } from '../../src/protocol/l2tp/tunnel.js';
import { CM, FigureScene, LOCAL, TI } from '../helpers/figure-scene.js';
import { describeLab, SELF } from '../helpers/lab.js';
import { TunnelInitiator } from '../helpers/tunnel-initiator.js';

const SECRET = 'the secret of this farm';
const LISTEN = '10.10.1.253:7017';
/** Tunnels that fill a server, with those that it keeps for a while after their end. */
const LIMIT = 20;
const NAMES = ['te1', 'te2'] as const;
const initiators: TunnelInitiator[] = [];
afterAll(() => {
  for (const initiator of initiators) initiator.close();
});

/** The farm's power: `on` starts a server's process in its namespace, `off` ends it and waits until it is gone. */
function powerScript(lab: Lab, scene: FigureScene): string {
  const file = join(lab.folder, 'power');
  const prefix = scene.endpoints[0].name.slice(0, -NAMES[0].length);
  const text = `#!/bin/sh
cd '${lab.folder}' || exit 1
server=$DESIGNATOR_SERVER
lives() { grep -qa lns "/proc/$1/cmdline" 2>/dev/null; }
pid=$(cat "$server.pid" 2>/dev/null)
case $DESIGNATOR_ACTION in
  on)
    if [ -n "$pid" ] && lives "$pid"; then exit 0; fi
    ip netns exec "${prefix}$server" '${SELF[0]}' '${SELF[1]}' lns -c "$server/lns.yaml" </dev/null >>"$server.log" 2>&1 &
    echo $! >"$server.pid" ;;
  off)
    kill "$pid" || exit 1
    while lives "$pid"; do sleep 0.05; done ;;
esac
echo "$server at $DESIGNATOR_ADDRESS of $DESIGNATOR_VIP is $DESIGNATOR_ACTION"
`;
  writeFileSync(file, text);
  chmodSync(file, 0o755);
  return file;
}

describeLab('servers that the load does not need', [], (open) => {
  let lab: Lab;
  let scene: FigureScene;
  let appliance: LabAppliance;
  let ti: TunnelInitiator;
  let first: number;
  const servers: LabEndpoint[] = [];
  const tunnels: L2tpTunnel[] = [];

  const row = async (name: string): Promise<ServerRow> =>
    (await appliance.servers()).find((server) => server.name === name) as ServerRow;
  const rows = async (): Promise<string> => JSON.stringify(await appliance.servers(), null, 1);
  const untilState = (name: string, state: ServerRow['state']): Promise<unknown> =>
    waitFor(`${name} to be ${state}`, async () => (await row(name)).state === state, 20_000, rows);
  const pidOf = (name: string): number => Number(readFileSync(join(lab.folder, `${name}.pid`), 'utf8'));
  const lives = (pid: number): boolean =>
    existsSync(`/proc/${pid}/cmdline`) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('lns');
  const dial = async (count: number): Promise<void> => {
    tunnels.push(...(await Promise.all(Array.from({ length: count }, () => ti.dial(CM)))));
  };
  /** By the server's own word. */
  const tunnelsOf = async (name: string): Promise<Set<number>> => {
    const told = await servers[NAMES.indexOf(name as 'te1')].tunnels<{ peerTunnelId: number; state: string }>();
    return new Set(told.filter(({ state }) => state === 'established').map(({ peerTunnelId }) => peerTunnelId));
  };
  /** Ends all tunnels of a server's but `left`. */
  const leave = async (name: string, left: number): Promise<void> => {
    const ids = await tunnelsOf(name);
    const mine = tunnels.filter(({ localId, state }) => state === 'established' && ids.has(localId));
    expect(mine.length).toBeGreaterThanOrEqual(left);
    for (const tunnel of mine.slice(left)) tunnel.stop();
    await waitFor(`${left} tunnels at ${name}`, async () => (await tunnelsOf(name)).size === left);
  };

  test('two real servers carry what they are given', async () => {
    lab = await open();
    scene = await FigureScene.open(lab, { machines: 'one', endpoints: 2 });
    const power = powerScript(lab, scene);
    const config = (more: object): Record<string, unknown> => ({ reply: 'vip', algorithm: 'least-tunnels', ...more });
    const common = {
      loadStatus: { listen: LISTEN, secret: SECRET, staleAfter: '2s', formula: { tunnels: 1 } },
      health: { slowStart: '500ms' },
    };
    for (const [index, name] of NAMES.entries()) {
      const lns = {
        name,
        listen: LOCAL[index],
        workers: 1,
        tunnels: { ids: '2-99', limit: LIMIT },
        ppp: { authentication: 'none' },
        pools: [{ name: 'home', ipv4: `10.64.${index}.0/24` }],
        tun: { device: 'lns0' },
        sessions: { limit: 256 },
        loadStatus: { designators: LISTEN, secret: SECRET, every: '200ms' },
      };
      servers.push(new LabEndpoint(lab, scene.endpoints[index], { role: 'lns', self: SELF, config: lns, name }));
      const env = { ...process.env, DESIGNATOR_ACTION: 'on', DESIGNATOR_SERVER: name };
      expect((await tryCommand(env, power, [])).status).toBe(0);
    }
    appliance = await scene.start('all', config({}), common);
    ti = await TunnelInitiator.start(scene.ti, TI);
    initiators.push(ti);
    await scene.gatewayAnswers();
    await waitFor(
      'the load of both',
      async () => (await appliance.servers()).every(({ load }) => load === 0),
      20_000,
      rows,
    );
    await dial(10);
    await waitFor('both to tell it', async () => (await appliance.servers()).every(({ load }) => load === 0.25));
    const inactivate = {
      below: 0.4,
      above: 0.7,
      after: '1s',
      boot: '4s',
      command: { off: [power], on: [power], timeout: '10s' },
    };
    const written = JSON.parse(JSON.stringify(appliance.options.config)) as { vips: object[] };
    Object.assign(written.vips[0], { inactivate });
    appliance.write(written as unknown as Record<string, unknown>);
    expect(await appliance.hangUp()).toContain('"msg":"reloaded"');
  });

  test('the load goes: one is emptied, keeps its last tunnel and gets none', async () => {
    for (const name of NAMES) await leave(name, 1);
    await untilState('te2', 'draining');
    expect(await row('te2')).toMatchObject({ tunnels: 1, reason: expect.stringContaining('not needed') });
    await dial(1);
    expect([(await tunnelsOf('te1')).size, (await tunnelsOf('te2')).size]).toEqual([2, 1]);
    const last = tunnels.filter(({ state }) => state === 'established');
    for (const tunnel of last) await ti.ask(tunnel);
  });

  test('its last tunnel ends: it is inactive, and its process was ended by the command', async () => {
    first = pidOf('te2');
    expect(lives(first)).toBe(true);
    await leave('te2', 0);
    await untilState('te2', 'inactive');
    await appliance.process.waitForLine(/"action":"off".*te2 at 10\.10\.1\.2 of access is off.*"msg":"power command"/);
    expect(lives(first)).toBe(false);
    expect(lives(pidOf('te1'))).toBe(true);
    await dial(1);
    expect((await tunnelsOf('te1')).size).toBe(3);
  });

  test('the load comes: it is powered on, and takes tunnels when it is heard', async () => {
    // 15 of 20: more than 0.7.
    await dial(12);
    await appliance.process.waitForLine(
      /"action":"on".*te2 at 10\.10\.1\.2 of access is on.*"msg":"power command"/,
      20_000,
    );
    await waitFor('it to serve', async () => ['slow-start', 'up'].includes((await row('te2')).state), 20_000, rows);
    await untilState('te2', 'up');
    expect([pidOf('te2') !== first, lives(pidOf('te2'))]).toEqual([true, true]);
    await dial(3);
    expect((await tunnelsOf('te2')).size).toBe(3);
    for (const tunnel of tunnels.filter(({ state }) => state === 'established')) await ti.ask(tunnel);
    expect([...ti.ended.values()].filter((by) => by !== 'us')).toEqual([]);
    const { history } = await row('te2');
    expect(history.map(({ to }) => to)).toEqual(['up', 'draining', 'inactive', 'slow-start', 'up']);
  });
});
