/** Runs a program to its end. The lab's only way to programs that are not daemons. */
import { spawn } from 'node:child_process';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface CommandOptions {
  /** What the program reads from its standard input. Default: nothing. */
  readonly input?: string;
  /** The program is killed after this. Default 15 s. */
  readonly timeoutMs?: number;
}

export interface CommandResult {
  /** Exit status; −1 when a signal or the time limit ended it. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Something in the lab did not come about. */
export class LabError extends Error {
  override readonly name = 'LabError';
}

/** A few programs stand in folders that are not in everybody's PATH. */
export function labEnvironment(env: Environment): Record<string, string> {
  const kept = Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const folders = [
    ...(env.PATH ?? '').split(':').filter(Boolean),
    '/usr/local/sbin',
    '/usr/sbin',
    '/sbin',
    '/usr/bin',
    '/bin',
  ];
  return { ...Object.fromEntries(kept), PATH: [...new Set(folders)].join(':'), LC_ALL: 'C' };
}

/** Never throws for what the program says; LabError when it cannot be started at all. */
export function tryCommand(
  env: Environment,
  program: string,
  args: readonly string[],
  { input = '', timeoutMs = 15_000 }: CommandOptions = {},
): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...args], { env: labEnvironment(env), stdio: ['pipe', 'pipe', 'pipe'] });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    const late = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    // A program that ends without reading closes the pipe; its exit status says what there is to say.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    child.on('error', (error) => {
      clearTimeout(late);
      reject(new LabError(`cannot start ${program}: ${error.message}`));
    });
    child.on('close', (status) => {
      clearTimeout(late);
      resolve({
        status: status ?? -1,
        stdout: Buffer.concat(stdout).toString('utf8'),
        stderr: Buffer.concat(stderr).toString('utf8'),
      });
    });
  });
}

/** Standard output; LabError with what the program complained of when its status is not 0. */
export async function command(
  env: Environment,
  program: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const { status, stdout, stderr } = await tryCommand(env, program, args, options);
  if (status === 0) return stdout;
  const said = `${stderr}${stdout}`.trim();
  throw new LabError(`${[program, ...args].join(' ')}: status ${status}${said === '' ? '' : `: ${said}`}`);
}
