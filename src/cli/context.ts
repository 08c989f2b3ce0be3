/**
 * What a command may use of the process that it runs in. `main.ts` makes the real one, tests make their own; no command
 * touches `process`.
 */

export type Signal = 'SIGINT' | 'SIGTERM' | 'SIGHUP' | 'SIGUSR1';

/** A stream to print to: `process.stdout` fits. */
export interface TextSink {
  /** False when the reader is slower: wait with `once(sink, 'drain')` before writing much more. */
  write(chunk: string | Uint8Array): boolean;
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
}

export interface CliContext {
  /** Results, for people or for programs. */
  readonly stdout: TextSink & NodeJS.WritableStream;
  /** Errors, warnings and progress. */
  readonly stderr: TextSink & NodeJS.WritableStream;
  readonly stdin: NodeJS.ReadableStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Working directory, against which file arguments are meant. */
  readonly cwd: string;
  /** Version of the product. */
  readonly version: string;
  readonly nodeVersion: string;
  readonly pid: number;
  /** The words that start this program again: the path of Node and of `main.js`. */
  readonly self: readonly [string, string];
  /** stdout is a terminal. */
  readonly isTty: boolean;
  /** Colours are wanted: a terminal, and neither NO_COLOR nor TERM=dumb. */
  readonly color: boolean;
  /** Calls `listener` at each such signal instead of the default action; the answer stops that. */
  onSignal(signal: Signal, listener: () => void): () => void;
  /** The exit status when the command ends without throwing; a thrown DesignatorError carries its own. */
  setExitStatus(status: number): void;
}
