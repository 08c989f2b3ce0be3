/**
 * Sends prepared frames on command, in the namespace that it is started in: one JSON command a line on standard input,
 * one JSON answer a line on standard output. Arguments: device.
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { type Flood, native } from '#designator/io/native.js';

interface Command {
  readonly load?: { readonly file: string; readonly frameLength: number };
  readonly paced?: { readonly seconds: number; readonly rate: number; readonly limit?: number };
  readonly flat?: { readonly seconds: number };
}

const device = process.argv[2];
let flood: Flood | null = null;
for await (const line of createInterface({ input: process.stdin })) {
  let answer: object;
  try {
    const command = JSON.parse(line) as Command;
    if (command.load !== undefined) {
      flood?.close();
      const frames = readFileSync(command.load.file);
      const { frameLength } = command.load;
      flood = new (native().Flood)({ device, frames, frameLength, count: frames.length / frameLength });
      answer = {};
    } else if (flood === null) answer = { error: 'no frames are loaded' };
    else if (command.paced !== undefined)
      answer = flood.run({
        seconds: command.paced.seconds,
        ratePps: command.paced.rate,
        limit: command.paced.limit ?? 0,
      });
    else answer = flood.run({ seconds: command.flat?.seconds ?? 0 });
  } catch (error) {
    answer = { error: (error as Error).message };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
