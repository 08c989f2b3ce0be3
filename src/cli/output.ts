/** Writing to the command's stdout so that nothing is lost when the reader is slow. */
import { pipeline } from 'node:stream/promises';

/** Resolves when the text was taken. A reader that has gone (`| head`) ends the output, and is no error. */
export async function write(out: NodeJS.WritableStream, text: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    out.write(text, (error) => (error === undefined || error === null || isGone(error) ? resolve() : reject(error)));
  });
}

/** Exactly one JSON value, rows of an array one a line. */
export async function writeJson(out: NodeJS.WritableStream, value: unknown): Promise<void> {
  const text = Array.isArray(value) ? arrayText(value) : JSON.stringify(value);
  await write(out, `${text}\n`);
}

/** Copies a stream without holding it; `out` stays open. A reader that has gone ends it, as in `write`. */
export async function copy(from: AsyncIterable<Uint8Array>, out: NodeJS.WritableStream): Promise<void> {
  try {
    await pipeline(from, out, { end: false });
  } catch (error) {
    if (!isGone(error)) throw error;
  }
}

function arrayText(rows: readonly unknown[]): string {
  return rows.length === 0 ? '[]' : `[\n${rows.map((row) => JSON.stringify(row)).join(',\n')}\n]`;
}

function isGone(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'EPIPE';
}
