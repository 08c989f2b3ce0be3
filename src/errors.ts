/** Errors that a caller or an operator can act on: a stable code, an exit status (sysexits), a sentence. */

export const EXIT = { ok: 0, usage: 64, unavailable: 69, internal: 70, noPermission: 77, config: 78 } as const;

export type ErrorCode =
  | 'TD_USAGE'
  | 'TD_CONFIG'
  | 'TD_UNAVAILABLE'
  | 'TD_NO_PERMISSION'
  | 'TD_NOT_RUNNING'
  | 'TD_NOT_FOUND'
  | 'TD_CONFLICT'
  | 'TD_INTERNAL';

const EXIT_OF: Record<ErrorCode, number> = {
  TD_USAGE: EXIT.usage,
  TD_CONFIG: EXIT.config,
  TD_UNAVAILABLE: EXIT.unavailable,
  TD_NO_PERMISSION: EXIT.noPermission,
  TD_NOT_RUNNING: EXIT.unavailable,
  TD_NOT_FOUND: EXIT.usage,
  TD_CONFLICT: EXIT.unavailable,
  TD_INTERNAL: EXIT.internal,
};

export class DesignatorError extends Error {
  override readonly name = 'DesignatorError';
  readonly code: ErrorCode;
  readonly exitStatus: number;
  /** Facts for the log: names, addresses, limits. */
  readonly context: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, context: Record<string, unknown> = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.exitStatus = EXIT_OF[code];
    this.context = context;
  }
}
