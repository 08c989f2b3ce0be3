import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { register as capture } from '../../src/cli/capture.js';
import { register as completion } from '../../src/cli/completion.js';
import { register as server } from '../../src/cli/server.js';
import { register as show } from '../../src/cli/show.js';
import { runCli } from './run.js';

const scriptFor = async (shell: string) =>
  (await runCli([show, server, capture, completion], ['completion', shell])).stdout;

/** What bash offers for a line, with the cursor at its end. */
function offers(script: string, line: string): string[] {
  const words = line.split(' ');
  const program = `${script}
COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}
_designator; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return execFileSync('bash', ['-c', program]).toString().split('\n').filter(Boolean);
}

test('bash offers commands, then their subcommands, then their options', async () => {
  const script = await scriptFor('bash');
  expect(offers(script, 'designator ')).toEqual(expect.arrayContaining(['show', 'server', 'capture', 'completion']));
  expect(offers(script, 'designator s')).toEqual(['show', 'server']);
  expect(offers(script, 'designator show t')).toEqual(['tunnels', 'take-overs', 'tracks']);
  expect(offers(script, 'designator show tunnels --s')).toEqual(['--socket', '--server']);
  expect(offers(script, 'designator server drain lns1 --d')).toEqual(['--deadline']);
  // A server that is named like a command does not lead astray.
  expect(offers(script, 'designator server weight show --j')).toEqual(['--json']);
});

test('bash offers files after an option that takes one', async () => {
  expect(offers(await scriptFor('bash'), 'designator show vips -c package.js')).toEqual(['package.json']);
});

test('zsh and fish scripts name every command with its description', async () => {
  const zsh = await scriptFor('zsh');
  expect(zsh).toMatch(/^#compdef designator\n/);
  expect(zsh).toContain("'drain:no new tunnels; those that are there go on'");
  expect(zsh).toContain(`"designator show tunnels") candidates=(`);
  const fish = await scriptFor('fish');
  expect(fish).toContain(
    "complete -c designator -f -n '__fish_seen_subcommand_from server; and not __fish_seen_subcommand_from drain",
  );
  expect(fish).toContain(
    "complete -c designator -n '__fish_seen_subcommand_from capture' -l count -d 'end after so many frames'",
  );
});

test('another shell: exit 64', async () => {
  expect((await runCli([completion], ['completion', 'tcsh'])).status).toBe(64);
});
