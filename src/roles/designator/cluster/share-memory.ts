/** What main thread and shards have in common of a table that is shared with other designators. */
import type { ShareMemory } from '../../../dataplane/share.js';
import { IndexRing } from '../../../flow/index-ring.js';
import { RECORD_STATE, type TableMemory } from '../../../flow/layout.js';
import { RecordPool } from '../../../flow/record-pool.js';
import { ShareMap, STREAM_FORMER, STREAM_OURS } from '../../../flow/share-map.js';

export class SharedTable {
  readonly map: ShareMap;
  /** Tunnels that a process before this one left. */
  readonly former: number;
  /** One of each for every shard. */
  readonly marks: readonly IndexRing[];
  readonly looks: readonly IndexRing[];
  readonly shards: readonly ShareMemory[];

  /** Before any shard runs. */
  constructor(
    readonly memory: TableMemory,
    shards: number,
  ) {
    const { recordCount } = memory.layout;
    const map = new SharedArrayBuffer(ShareMap.byteLength(recordCount));
    this.map = new ShareMap(map, recordCount);
    this.shards = Array.from({ length: shards }, () => ({
      map,
      marks: new SharedArrayBuffer(IndexRing.byteLength()),
      looks: new SharedArrayBuffer(IndexRing.byteLength()),
    }));
    this.marks = this.shards.map(({ marks }) => new IndexRing(marks));
    this.looks = this.shards.map(({ looks }) => new IndexRing(looks));
    this.map.setWritten(STREAM_OURS, true);
    const pool = new RecordPool(memory);
    let former = 0;
    for (let record = 0; record < recordCount; record++) {
      if (pool.state(record) === RECORD_STATE.free) continue;
      this.map.give(record, STREAM_FORMER);
      former++;
    }
    this.former = former;
  }
}
