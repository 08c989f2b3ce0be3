/** Puts frames on a wire as they are: run by tests under `ip netns exec`. Argument: the device. Reads hex, one frame a line; says `sent` for each. */
import { createInterface } from 'node:readline';
import { native } from '../../src/io/native.js';

const { Flood } = native();
for await (const line of createInterface({ input: process.stdin })) {
  const frames = Uint8Array.from(Buffer.from(line, 'hex'));
  const flood = new Flood({ device: process.argv[2], frames, frameLength: frames.length, count: 1 });
  flood.run({ seconds: 1, limit: 1 });
  flood.close();
  process.stdout.write('sent\n');
}
