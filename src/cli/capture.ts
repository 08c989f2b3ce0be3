/**
 * `designator capture`: what crosses, both sides of the rewrite and what is dropped, to a file or a pipe: pcapng with the
 * decision as every frame's comment, or classic pcap.
 */
import { createWriteStream, type WriteStream } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { resolve } from 'node:path';
import { finished } from 'node:stream/promises';
import { type Command, Option } from 'commander';
import { DesignatorError } from '../errors.js';
import { CAPTURE_FORMATS, type CaptureFormat, PcapLimiter } from '../ops/capture.js';
import { brokenOff, ControlClient, type Target, withTarget } from './client.js';
import type { CliContext } from './context.js';
import { copy, write } from './output.js';
import { clientValue, countValue, secondsOrDuration, tunnelId } from './values.js';

/** A capture holds other people's traffic: the file is for its owner. */
const FILE_MODE = 0o600;

interface CaptureOptions extends Target {
  readonly write: string;
  readonly tunnel?: number;
  readonly client?: string;
  readonly seconds?: number;
  readonly count?: number;
  readonly format?: CaptureFormat;
}

export function register(program: Command, context: CliContext): void {
  withTarget(
    program
      .command('capture')
      .description('write a capture of what crosses, before and after the rewrite, and what is dropped'),
  )
    .requiredOption('-w, --write <file>', 'file to write, - for stdout')
    .option('--tunnel <id>', 'only this tunnel id, as the client assigned it', tunnelId)
    .option('--client <ip:port>', 'only of this client', clientValue)
    .option('--seconds <seconds>', 'end after this time', secondsOrDuration)
    .option('--count <frames>', 'end after so many frames', countValue)
    .addOption(
      new Option(
        '--format <format>',
        'pcapng: with the decision as comment (default: pcap for FILE.pcap, else pcapng)',
      ).choices(CAPTURE_FORMATS),
    )
    .action((options: CaptureOptions) => capture(options, context));
}

async function capture(
  { write: path, tunnel, client, seconds, count, format: wanted, ...target }: CaptureOptions,
  context: CliContext,
): Promise<void> {
  const toStdout = path === '-';
  if (toStdout && context.isTty) {
    throw new DesignatorError('TD_USAGE', 'a capture is binary: send it to a file or a pipe, not to a terminal');
  }
  const format = wanted ?? (/\.pcap$/i.test(path) ? 'pcap' : 'pcapng');
  const interrupt = new AbortController();
  const forget = (['SIGINT', 'SIGTERM'] as const).map((signal) => context.onSignal(signal, () => interrupt.abort()));
  const counter = new PcapLimiter(Number.POSITIVE_INFINITY, format);
  let dropped: string | undefined;
  try {
    const response = await new ControlClient(target, context).stream(
      '/v1/capture',
      { tunnel, client, seconds, count, format },
      interrupt.signal,
    );
    const chunks = counted(response, counter, interrupt.signal);
    if (toStdout) {
      await copy(chunks, context.stdout);
    } else {
      const file = await openFile(resolve(context.cwd, path), response);
      await copy(chunks, file);
      await finished(file.end());
    }
    dropped = response.trailers['x-dropped-frames'];
  } catch (error) {
    // An interrupt before the designator has answered: nothing was captured, and nothing is wrong.
    if (!interrupt.signal.aborted) throw interrupted(error, path);
  } finally {
    for (const stop of forget) stop();
  }
  const loss =
    dropped === undefined || dropped === '0' ? '' : `, ${dropped} more were lost because the reader was too slow`;
  await write(context.stderr, `${counter.records} frames captured${loss}\n`);
}

/** The answer's chunks; an interrupt is an ordinary end of them, so that what has come is still written. */
async function* counted(
  response: IncomingMessage,
  counter: PcapLimiter,
  interrupt: AbortSignal,
): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of response as AsyncIterable<Uint8Array>) {
      counter.take(chunk);
      yield chunk;
    }
  } catch (error) {
    if (!interrupt.aborted) throw error;
  }
}

/** Opened before the first frame is read, so that a path that cannot be written is said at once. */
async function openFile(path: string, response: IncomingMessage): Promise<WriteStream> {
  const file = createWriteStream(path, { mode: FILE_MODE });
  try {
    await new Promise<void>((opened, failed) => file.once('open', () => opened()).once('error', failed));
    return file;
  } catch (error) {
    response.destroy();
    const errno = (error as NodeJS.ErrnoException).code;
    const code = errno === 'EACCES' || errno === 'EPERM' ? 'TD_NO_PERMISSION' : 'TD_USAGE';
    throw new DesignatorError(code, `cannot write ${path}: ${errno}`, { path, errno }, error);
  }
}

function interrupted(error: unknown, path: string): unknown {
  const errno = (error as NodeJS.ErrnoException).code;
  if (errno === 'ENOSPC' || errno === 'EIO' || errno === 'EFBIG') {
    return new DesignatorError('TD_UNAVAILABLE', `cannot write ${path}: ${errno}`, { path, errno }, error);
  }
  return brokenOff(error, 'the capture');
}
