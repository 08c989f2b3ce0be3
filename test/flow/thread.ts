/** Runs a TypeScript file of the tests in a real worker thread; resolves with the first message that it posts. */
import { Worker } from 'node:worker_threads';

const BOOTSTRAP = `
const { workerData } = require('node:worker_threads');
import('tsx/esm/api').then(({ tsImport }) => tsImport(workerData.file, workerData.file));
`;

export function inThread(file: URL, data: Record<string, unknown>): Promise<unknown> {
  const worker = new Worker(BOOTSTRAP, { eval: true, workerData: { ...data, file: file.href } });
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', (code) => reject(new Error(`the thread ended with ${code} and without an answer`)));
  });
}
