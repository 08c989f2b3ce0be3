/**
 * NetworkTakeOver in a network namespace: run by tests under `ip netns exec`. Argument: the LNS's `takeOver` section as
 * JSON. Reads `[method, …arguments]` as JSON lines, answers each with what the method returned; the end of its input stops it.
 */
import { createInterface } from 'node:readline';

const { compileTakeOver, takeOverSchema } = await import('../../dist/config/take-over.js');
const { NetworkTakeOver } = await import('../../dist/roles/take-over/network-take-over.js');

const nobody = () => {};
const settings = compileTakeOver(takeOverSchema.parse(JSON.parse(process.argv[2])));
const network = new NetworkTakeOver(settings, { info: nobody, warn: nobody });
process.stdout.write('"ready"\n');
for await (const line of createInterface({ input: process.stdin })) {
  const [method, ...words] = JSON.parse(line);
  process.stdout.write(`${JSON.stringify((await network[method](...words)) ?? null)}\n`);
}
await network.stop();
