/** Frames of a namespace in a file, and what tshark, which nobody here wrote, thinks of them. */
import { type Environment, command } from './command.js';
import type { Daemon } from './daemon.js';
import type { Namespace } from './namespace.js';

const TSHARK_MS = 60_000;

export class Capture {
  private constructor(
    readonly file: string,
    private readonly daemon: Daemon,
  ) {}

  /** Resolves when frames are being taken. `filter` and `more` words as for tcpdump: `udp port 1701`, `-Q in`. */
  static async start(
    namespace: Namespace,
    device: string,
    file: string,
    filter = '',
    more: readonly string[] = [],
  ): Promise<Capture> {
    // Without immediate mode the last frames wait in the kernel for a buffer to fill, and are lost at the end.
    const words = [
      '-i',
      device,
      '-U',
      '--immediate-mode',
      '-s',
      '0',
      '-Z',
      'root',
      '-w',
      file,
      ...more,
      ...filter.split(' ').filter(Boolean),
    ];
    const daemon = namespace.start(`capture ${device}`, 'tcpdump', words);
    await daemon.waitForLine(/listening on/);
    return new Capture(file, daemon);
  }

  /** Resolves when the file is complete. */
  async stop(): Promise<void> {
    await this.daemon.stop();
  }
}

/** PI_ERROR of Wireshark's expert information. */
const ERROR_SEVERITY = 0x800000;

export interface DissectedFrame {
  readonly number: number;
  /** `eth:ethertype:ip:udp:l2tp:ppp` */
  readonly protocols: string;
  readonly info: string;
  /** It cannot be read to its end, or breaks a protocol's rules. */
  readonly wrong: boolean;
}

/** Frames of a file that a display filter finds; all when it is empty. LabError for a filter that tshark does not know. */
export async function dissect(env: Environment, file: string, filter = ''): Promise<DissectedFrame[]> {
  const names = ['frame.number', 'frame.protocols', '_ws.expert.severity', '_ws.col.Info'];
  const words = ['-n', '-r', file, '-T', 'fields', ...names.flatMap((name) => ['-e', name])];
  if (filter !== '') words.push('-Y', filter);
  const lines = (await command(env, 'tshark', words, { timeoutMs: TSHARK_MS })).split('\n').filter(Boolean);
  return lines.map((line) => {
    const [number, protocols, severities, info] = line.split('\t');
    const wrong =
      protocols.includes('_ws.malformed') || severities.split(',').some((one) => Number(one) >= ERROR_SEVERITY);
    return { number: Number(number), protocols, info, wrong };
  });
}

/** Frames that tshark cannot read to their end, or that break a protocol's rules. */
export async function complaints(env: Environment, file: string): Promise<DissectedFrame[]> {
  return (await dissect(env, file)).filter(({ wrong }) => wrong);
}
