/**
 * The XDP program as far as order and reach go: a frame of an offloaded tunnel is out at once, every other one waits in
 * its shard's ring. Data frames carry a number; `log` has the numbers in the order in which they went out, whoever sent.
 */
import { ENTRY, ENTRY_WORDS, FLAG_OFFLOADED, RECORD, RECORD_WORDS } from '../../src/flow/layout.js';
import { PORT_OUTSIDE } from '../../src/io/port.js';
import { l2tpData, udpFrame, u32, viewOf } from './packet-builder.js';
import { CLIENT, type Harness, VIP } from './shard-harness.js';

export class KernelModel {
  readonly log: number[] = [];
  forwarded = 0;
  #next = 1;
  #taken: number[];

  constructor(readonly h: Harness) {
    this.#taken = h.ports.map((port) => port.sent.length);
  }

  /** The next data frame of the client's tunnel, from outside; `shard` has its ring. */
  arrive(record: number, tunnel: number, shard: number): void {
    const number = this.#next++;
    const { entries, records } = this.h.memory;
    const at = (records[record * RECORD_WORDS + RECORD.entryForward] - 1) * ENTRY_WORDS;
    if ((entries[at + ENTRY.record] & FLAG_OFFLOADED) !== 0) {
      entries[at + ENTRY.packets]++;
      entries[at + ENTRY.lastSeen] = Math.floor(this.h.now);
      this.log.push(number);
      this.forwarded++;
      return;
    }
    const payload = l2tpData({ tunnel, session: 1, payload: u32(number) });
    this.h.ports[shard].waiting.push({
      frame: udpFrame(`${CLIENT}:1701`, `${VIP}:1701`, payload),
      ingress: PORT_OUTSIDE,
    });
  }

  /** One turn of a shard; what it sent goes into the log. */
  turn(shard: number): void {
    this.h.shards[shard].turn(0);
    const { sent } = this.h.ports[shard];
    for (; this.#taken[shard] < sent.length; this.#taken[shard]++) {
      const { frame } = sent[this.#taken[shard]];
      this.log.push(viewOf(frame).getUint32(frame.length - 4));
    }
  }

  pass(seconds: number): void {
    for (const port of this.h.ports) port.clock[0] += seconds;
  }

  /** Frames that went out after one that came in later. */
  get overtaken(): number {
    let latest = 0;
    let count = 0;
    for (const number of this.log) {
      if (number < latest) count++;
      latest = Math.max(latest, number);
    }
    return count;
  }
}
