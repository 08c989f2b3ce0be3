/** What an operator is told when the table's file cannot be made. */
import { describe, expect, test } from 'vitest';
import { asTableError } from '../../../src/roles/designator/table-file.js';

const failed = (code: string) => Object.assign(new Error(`${code}: posix_fallocate`), { code });

describe('no table', () => {
  test.each(['ENOSPC', 'EDQUOT'])('%s: what is missing, where, and what helps; exit status 69', (code) => {
    const error = asTableError(failed(code), '/run/designator/control.table', 4096);
    expect(error).toMatchObject({ code: 'TD_UNAVAILABLE', exitStatus: 69 });
    expect(error.message).toBe(
      'no room for the table /run/designator/control.table (4096 bytes): make room there, move it with control.socket, or lower table.connections',
    );
    expect(asTableError(failed(code), null, 4096).message).toBe('no memory for the connection table (4096 bytes)');
  });

  test('others keep their own words', () => {
    expect(asTableError(failed('EAGAIN'), 'f', 1).code).toBe('TD_CONFLICT');
    expect(asTableError(failed('EPERM'), 'f', 1).code).toBe('TD_NO_PERMISSION');
    expect(asTableError(failed('ENOMEM'), 'f', 1).message).toContain('no memory');
  });
});
