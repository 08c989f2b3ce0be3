/** Commands that power servers off and on: what they are told, how they end, what is kept of what they print. */
import { expect, test } from 'vitest';
import { PowerCommands } from '../../../src/roles/designator/power-command.js';

const FACTS = { action: 'off', server: 'lns1', address: '10.10.1.1', vip: 'access' } as const;
const run = (script: string, timeout = 20) => new PowerCommands().run(['/bin/sh', '-c', script], FACTS, timeout);

test('it is told by its environment what to do, and what it prints is kept', async () => {
  const script = 'echo "$DESIGNATOR_ACTION $DESIGNATOR_SERVER $DESIGNATOR_ADDRESS $DESIGNATOR_VIP"';
  expect(await run(script)).toEqual({ fault: null, output: 'off lns1 10.10.1.1 access' });
});

test('every way to fail has its words', async () => {
  expect(await run('echo no power >&2; exit 3')).toEqual({ fault: 'status 3', output: 'no power' });
  expect((await run('kill -9 $$')).fault).toBe('ended by SIGKILL');
  expect((await run('exec sleep 60', 0.2)).fault).toBe('took longer than 0.2 s');
  const none = await new PowerCommands().run(['/nowhere/power'], FACTS, 5);
  expect(none.fault).toBe('cannot be run: ENOENT');
});

test('what it leaves in the background is not waited for; those that run end with us', async () => {
  expect((await run('sleep 2 & exit 0')).fault).toBeNull();
  const commands = new PowerCommands();
  const running = commands.run(['/bin/sh', '-c', 'exec sleep 60'], FACTS, 60);
  commands.stop();
  expect((await running).fault).toBe('ended by SIGKILL');
});
