/** One request to a control socket of ours. */
import { request } from 'node:http';
import { LabError } from './command.js';

const PATIENCE_MS = 10_000;

/** The JSON of the answer; LabError unless its status is 200. `detail`: what to add when nobody answers. */
export function askSocket<T>(
  socketPath: string,
  method: string,
  path: string,
  body: unknown,
  detail: () => string,
): Promise<T> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const headers =
    text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, method, path, headers, agent: false, timeout: PATIENCE_MS }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('error', reject);
      answer.on('end', () => {
        const said = Buffer.concat(chunks).toString('utf8');
        if (answer.statusCode !== 200) return reject(new LabError(`${method} ${path}: ${answer.statusCode} ${said}`));
        resolve(JSON.parse(said) as T);
      });
    });
    outgoing.on('timeout', () => outgoing.destroy(new LabError(`${method} ${path}: no answer`)));
    outgoing.on('error', (error) => reject(new LabError(`${method} ${path}: ${error.message}\n${detail()}`)));
    outgoing.end(text);
  });
}
