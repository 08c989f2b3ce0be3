/**
 * The cluster master at one of the tunnel endpoints, and its death (document 001: another tunnel endpoint becomes the
 * cluster master): two LNSs of ours and an xl2tpd with an agent, each with a candidate beside it. The tests are one story.
 */
import { beforeAll, expect, test } from 'vitest';
import { waitFor } from '../../src/demo/lab/wait.js';
import { type CandidateMachine, Candidates, VIP, VIP6 } from '../helpers/candidates.js';
import { describeLab } from '../helpers/lab.js';

describeLab('a cluster master at an endpoint', ['xl2tpd'], (open) => {
  let scene: Candidates;
  /** Who should be master by now. */
  let master: CandidateMachine;

  beforeAll(async () => {
    scene = await Candidates.open(await open());
    master = await scene.settled();
  }, 120_000);

  test('the one that was there first is master, its own LNS is one of its servers, and requests to both come up', async () => {
    expect(master.number).toBe(1);
    expect(await scene.part(master)).toMatchObject({ state: 'running', restarts: 0, reason: null });
    await Promise.all([scene.dial('first', VIP, 12), scene.dial('first6', VIP6, 6)]);
    const at = await scene.tunnelsAt();
    expect(at[0]).toBeGreaterThan(0);
    expect(at[1]).toBeGreaterThan(0);
    expect(at[0] + at[1]).toBe(18);
    // What the endpoints answer goes straight to the client.
    expect((await master.master.drops())['unknown-tunnel'] ?? 0).toBe(0);
  }, 90_000);

  test('only its master part is killed: another is master, all tunnels go on, its own too, and the office stays there', async () => {
    const before = await scene.part(master);
    process.kill(before.process as number, 'SIGKILL');
    const heir = await scene.settled([scene.machine(2), scene.machine(3)]);
    expect(heir.number).toBe(2);
    await scene.dial('second', VIP, 6);
    await scene.flowing();
    await waitFor(
      'the master part to be there again',
      async () => (await scene.part(master)).state === 'running',
      30_000,
    );
    expect(await scene.part(master)).toMatchObject({ restarts: 1 });
    expect((await scene.settled()).number).toBe(2);
    master = heir;
  }, 90_000);

  test('the machine of the master dies: another is master, tunnels at the others go on, and new ones come up there', async () => {
    const dead = master;
    await scene.killMachine(dead);
    master = await scene.settled();
    expect(master.number).toBe(1);
    await Promise.all(['lns2', 'lns2six'].map((name) => scene.serverState(master, name, 'down')));
    await Promise.all([scene.dial('third', VIP, 4), scene.dial('third6', VIP6, 2)]);
    await scene.flowing();

    await scene.revive(dead);
    expect((await scene.settled()).number).toBe(1);
    await scene.serverState(master, 'lns2', 'up');
    await scene.dial('fourth', VIP, 12);
    expect((await scene.tunnelsAt())[1]).toBeGreaterThan(0);
    await scene.flowing();
    // Nobody has taken the office from the one that has it since the death.
    expect(dead.carrier?.count(/this gateway is master/)).toBe(0);
  }, 120_000);
});
