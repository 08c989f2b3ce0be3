import { expect, test } from 'vitest';
import { mountsBelow } from '../../src/demo/lab/folder.js';

test('mounts at and below a folder come innermost first, with their escapes undone', () => {
  const table = [
    'proc /proc proc rw 0 0',
    'tmpfs /tmp/td1-1 tmpfs rw 0 0',
    'designator /tmp/td1-1/a\\040b/bpf bpf rw 0 0',
    'tmpfs /tmp/td1-10 tmpfs rw 0 0',
    '',
  ].join('\n');
  expect(mountsBelow(table, '/tmp/td1-1')).toEqual(['/tmp/td1-1/a b/bpf', '/tmp/td1-1']);
  expect(mountsBelow(table, '/tmp/td1')).toEqual([]);
});
