/**
 * Run-time commands on servers: states and weights are words in shared memory, effective at once in every shard.
 * A drain may carry a deadline, after which the tunnels that are left are closed.
 */
import { DesignatorError } from '../../errors.js';
import type { ServerStates } from '../../designation/server-states.js';
import { CELL_WORDS, SERVER_CELL, SERVER_REASON, SERVER_STATE, type TableMemory } from '../../flow/layout.js';
import { markChanged } from '../../designation/servers.js';
import type { ServerCommand } from '../../ops/appliance.js';
import type { Binding, BoundServer } from './binding.js';
import type { InactivationKeeper } from './inactivation-keeper.js';

const WEIGHT_LIMIT = 1000;

export class ServerCommands {
  /** Server index → CLOCK_MONOTONIC seconds. */
  readonly #deadlines = new Map<number, number>();

  constructor(
    readonly memory: TableMemory,
    readonly binding: Binding,
    readonly now: () => number,
    readonly states: ServerStates,
    /** Closes every tunnel of a server. */
    readonly closeTunnels: (server: number) => void,
    readonly inactivation: Pick<InactivationKeeper, 'inactivate' | 'activate' | 'overruled'>,
  ) {}

  /** Errors: TD_NOT_FOUND a name that no server has, TD_USAGE none at all. */
  named(names: readonly string[]): BoundServer[] {
    const found = names.map((name) => {
      const server = this.binding.servers.find((candidate) => candidate.name === name && !candidate.removed);
      if (server === undefined) throw new DesignatorError('TD_NOT_FOUND', `no server is named "${name}"`, { name });
      return server;
    });
    if (found.length === 0) throw new DesignatorError('TD_USAGE', 'name at least one server');
    return found;
  }

  /** Errors: TD_NOT_FOUND a name that no server has, TD_USAGE a bad weight; nothing is changed then. */
  run(command: ServerCommand): BoundServer[] {
    const found = this.named(command.names);
    if (command.action === 'weight') {
      const { weight } = command;
      if (weight === undefined || !Number.isInteger(weight) || weight < 0 || weight > WEIGHT_LIMIT) {
        throw new DesignatorError('TD_USAGE', `a weight is a whole number from 0 to ${WEIGHT_LIMIT}`);
      }
      for (const server of found) {
        this.memory.servers[server.index * CELL_WORDS + SERVER_CELL.weight] = weight;
        markChanged(this.memory, server.index);
      }
      return found;
    }
    for (const server of found) {
      this.#deadlines.delete(server.index);
      const { index } = server;
      if (command.action === 'inactivate') {
        this.inactivation.inactivate(index, command.deadlineSeconds);
        continue;
      }
      const isOut = this.states.state(index) === SERVER_STATE.inactive;
      // One that is powered off takes no tunnels, whatever is ordered: it has to come first.
      if (command.action === 'activate' || (command.action === 'enable' && isOut)) {
        const isUnderWay = this.inactivation.activate(index);
        if (!isUnderWay && isOut) this.states.comeBack(index, SERVER_REASON.command);
        continue;
      }
      this.inactivation.overruled(index);
      if (command.action === 'enable') this.states.order(index, SERVER_STATE.up, SERVER_REASON.configured);
      else if (command.action === 'disable') this.states.order(index, SERVER_STATE.disabled, SERVER_REASON.command);
      else {
        this.states.order(index, SERVER_STATE.draining, SERVER_REASON.command);
        if (command.deadlineSeconds !== undefined)
          this.#deadlines.set(server.index, this.now() + command.deadlineSeconds);
      }
    }
    return found;
  }

  /** Several times a second: deadlines that have come. */
  tick(): void {
    const now = this.now();
    for (const [server, deadline] of this.#deadlines) {
      if (now < deadline) continue;
      this.#deadlines.delete(server);
      this.closeTunnels(server);
    }
  }
}
