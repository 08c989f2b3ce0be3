/** The BPF programs of the benchmarks, as scripts/build-bpf.mjs has built them of native/bpf/bench/<name>.bpf.c. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { DesignatorError } from '#designator/errors.js';

export type BenchProgram = 'source' | 'sink' | 'bare';

/** The object's file. Errors: TD_UNAVAILABLE it has not been built. */
export function benchObject(name: BenchProgram): string {
  for (const root of ['..', '../..']) {
    for (const folder of ['build/bpf', 'native/bpf/prebuilt']) {
      const file = path.resolve(import.meta.dirname, root, folder, `bench-${name}.o`);
      if (existsSync(file)) return file;
    }
  }
  throw new DesignatorError('TD_UNAVAILABLE', `bench-${name}.o has not been built: run \`npm run setup\``);
}

/** Why frames cannot be made and counted in the kernel here, or null. */
export function benchObjectProblem(): string | null {
  try {
    for (const name of ['source', 'sink', 'bare'] as const) benchObject(name);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}
