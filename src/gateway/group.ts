/**
 * One group at one gateway, without I/O: frames of the segment, time and load go in; frames, virtual-MAC actions and
 * events come out (document 004). Nothing that comes in makes it throw.
 */
import type { Mac } from './mac.js';
import type {
  CommandResult,
  ForwarderRow,
  GatewayLoad,
  GroupOptions,
  GroupOutput,
  GroupSettings,
  GroupStatus,
  HostFilter,
  HostRow,
  MemberRow,
  Tracking,
} from './types.js';

export class GatewayGroup {
  readonly #options: GroupOptions;
  #output: GroupOutput = { frames: [], actions: [], events: [] };

  constructor(options: GroupOptions) {
    this.#options = options;
  }

  /** A frame of the segment, whole from its Ethernet header, tag removed; valid during the call. `arrived`: when the host got it. */
  receive(_frame: Uint8Array, _now: number, _arrived: number = _now): void {}

  tick(_now: number): void {}

  /** When `tick` is due. */
  get nextTime(): number {
    return Number.POSITIVE_INFINITY;
  }

  setLoad(_load: GatewayLoad, _now: number): void {}

  setTracking(_tracking: Tracking, _now: number): void {}

  setLink(_up: boolean, _now: number): void {}

  /** Changes what may change while the group runs. */
  configure(_settings: Partial<GroupSettings>, _now: number): void {}

  /** Gives up the office of master; goes on as a forwarder and may be elected again after a while. */
  resign(_now: number): void {}

  /** Says good-bye: office and virtual MACs go to others at once. Nothing is sent after the frames of this turn. */
  stop(_now: number): void {}

  /** Gives a host (null: every host of the group) to the forwarder of a gateway. */
  move(_host: Mac | null, _to: number, _now: number): CommandResult {
    return { ok: false, why: 'not running' };
  }

  /** Takes a dead gateway for permanently failed: its hosts are redistributed now. */
  declareDead(_number: number, _now: number): CommandResult {
    return { ok: false, why: 'not running' };
  }

  /** What has come up since the last call; the arrays are the caller's. */
  output(): GroupOutput {
    const output = this.#output;
    this.#output = { frames: [], actions: [], events: [] };
    return output;
  }

  status(_now: number): GroupStatus {
    const { name, group, number, addresses } = this.#options;
    return { name, group, number, addresses, state: 'listen', master: 0, term: 0, version: 0, hosts: 0, since: 0 };
  }

  members(_now: number): MemberRow[] {
    return [];
  }

  forwarders(_now: number): ForwarderRow[] {
    return [];
  }

  hosts(_now: number, _filter: HostFilter = {}): HostRow[] {
    return [];
  }

  counters(): Record<string, number> {
    return {};
  }
}
