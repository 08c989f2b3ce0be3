/** What a lab whose process was killed leaves behind must not stop the next one. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { command } from '../../src/demo/lab/command.js';
import { describeLab } from '../helpers/lab.js';

describeLab('a lab', [], (open) => {
  test('sweeps away namespaces, folders and mounts of labs that are gone', async () => {
    const dead = `td${spawnSync('true').pid}-1`;
    const folder = join(tmpdir(), dead);
    const point = join(folder, 'designator', 'bpf');
    mkdirSync(point, { recursive: true });
    await command(process.env, 'mount', ['-t', 'tmpfs', 'leftover', point]);
    await command(process.env, 'ip', ['netns', 'add', `${dead}-lan`]);
    await open();
    expect(existsSync(folder)).toBe(false);
    expect(existsSync(`/run/netns/${dead}-lan`)).toBe(false);
  });
});
