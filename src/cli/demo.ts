/** `designator demo`: the product on one machine, in network namespaces, with real peers. Ends by itself. */
import type { Command } from 'commander';
import type { CliContext } from './context.js';
import { writeJson } from './output.js';

interface DemoOptions {
  readonly json?: boolean;
  readonly keep?: boolean;
}

/** What a shell says of a program that Ctrl-C ended. */
const INTERRUPTED = 130;

export function register(program: Command, context: CliContext): void {
  program
    .command('demo')
    .description('everything on this machine, in network namespaces, with real L2TP programs; needs root')
    .option('--keep', 'leave the network up at the end, until Ctrl-C')
    .option('--json', 'a summary as one JSON object on stdout; the progress goes to stderr')
    .action((options: DemoOptions) => demo(options, context));
}

async function demo({ json = false, keep = false }: DemoOptions, context: CliContext): Promise<void> {
  const [{ runDemo }, { Narrator }] = await Promise.all([import('../demo/demo.js'), import('../demo/narrator.js')]);
  const out = json ? context.stderr : context.stdout;
  const live = out.isTTY === true && context.env.TERM !== 'dumb';
  const narrator = new Narrator({ write: (text) => void out.write(text), live, color: json ? false : context.color });
  const abort = new AbortController();
  const forget = (['SIGINT', 'SIGTERM', 'SIGHUP'] as const).map((signal) =>
    context.onSignal(signal, () => abort.abort()),
  );
  let ok = false;
  try {
    narrator.heading('tunnel-designator: one virtual address in front of real L2TP servers');
    await runDemo({ pid: context.pid, env: context.env, self: context.self, narrator, signal: abort.signal, keep });
    ok = true;
    const held = narrator.results.filter(({ outcome }) => outcome === 'ok').length;
    narrator.heading(`${held} steps, all hold (${narrator.seconds.toFixed(1)} s)`);
  } catch (error) {
    if (!abort.signal.aborted) throw error;
    out.write(`${live ? '\r\u001b[K' : ''}${keep ? 'taken down' : 'stopped; everything is taken down'}\n`);
    // With --keep the signal is the ordinary end.
    ok = keep && narrator.results.every(({ outcome }) => outcome !== 'failed');
    context.setExitStatus(ok ? 0 : INTERRUPTED);
  } finally {
    for (const off of forget) off();
    if (json) {
      const seconds = Math.round(narrator.seconds * 10) / 10;
      await writeJson(context.stdout, { ok, seconds, steps: narrator.results });
    }
  }
}
