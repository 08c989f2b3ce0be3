/** HostFilter in a network namespace, for tests: takes its input as a line of JSON, removes the filter when its input ends. */
import { createInterface } from 'node:readline';
import { HostFilter, type HostFilterInput } from '../../src/io/host-filter.js';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const input = JSON.parse((await lines.next()).value as string) as HostFilterInput;
const say = (word: string): void => console.log(word);
const filter = new HostFilter(input, { onLost: (error) => say(error === null ? 'restored' : error.message) });
await filter.install();
say('installed');
await lines.next();
await filter.remove();
say('removed');
