/** Which file a worker of the data path runs: the compiled one, also when the sources are run directly. */
import { fileURLToPath } from 'node:url';

export function tunnelWorkerFile(): string {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  return fileURLToPath(new URL(`./tunnel-entry.${extension}`, import.meta.url));
}
