/** The BPF programs of the benchmarks, compiled when first wanted: native/bpf/bench/<name>.bpf.c. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { DesignatorError } from '#designator/errors.js';

export type BenchProgram = 'source' | 'sink' | 'bare';

/** From bench/ and from dist/bench/ alike. */
const ROOT = [path.resolve(import.meta.dirname, '..'), path.resolve(import.meta.dirname, '../..')].find((folder) =>
  existsSync(path.join(folder, 'native/bpf/bench')),
);

/** The object's file, newer than all sources. Errors: TD_UNAVAILABLE without sources or clang, TD_INTERNAL it does not compile. */
export function benchObject(name: BenchProgram): string {
  if (ROOT === undefined) throw new DesignatorError('TD_UNAVAILABLE', 'the sources native/bpf/bench are missing');
  const folder = path.join(ROOT, 'native/bpf/bench');
  const object = path.join(ROOT, 'build', 'bpf', `bench-${name}.o`);
  const changed = Math.max(...readdirSync(folder).map((file) => statSync(path.join(folder, file)).mtimeMs));
  if (existsSync(object) && statSync(object).mtimeMs > changed) return object;
  mkdirSync(path.dirname(object), { recursive: true });
  const { error, status, stderr } = spawnSync(
    'clang',
    ['-O2', '-target', 'bpf', '-I/usr/include/x86_64-linux-gnu', '-c', `${name}.bpf.c`, '-o', object],
    { cwd: folder, encoding: 'utf8' },
  );
  if (error !== undefined)
    throw new DesignatorError('TD_UNAVAILABLE', 'the benchmarks in the kernel need clang: apt-get install clang');
  if (status !== 0) throw new DesignatorError('TD_INTERNAL', `${name}.bpf.c does not compile: ${stderr}`);
  return object;
}

/** Why frames cannot be made and counted in the kernel here, or null. */
export function benchObjectProblem(): string | null {
  try {
    for (const name of ['source', 'sink', 'bare'] as const) readFileSync(benchObject(name));
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}
