/** Chooses what carries the packets, by what the configuration asks for and what this machine can do. */
import fs from 'node:fs';
import path from 'node:path';
import type { CompiledConfig, InterfaceSpec } from '../../config/compiled.js';
import { DesignatorError } from '../../errors.js';
import { LAYOUT_VERSION, tableLayout } from '../../flow/layout.js';
import { type NativeAddon, native } from '../../io/native.js';
import type { XdpDevice } from '../../io/xdp-attachment.js';
import { readXdpDevice } from '../../io/xdp-features.js';
import { restoreTags } from '../../io/rx-vlan.js';
import { decideIo, type IoDecision, readXdpFacts, type XdpFacts } from '../../io/xdp-probe.js';
import { XdpProgram } from '../../io/xdp-program.js';
import { type PinnedTable, readPinnedTable, unpinAll } from '../../io/xdp-unpin.js';
import type { Logger } from '../../ops/log.js';
import { type Datapath, PacketDatapath } from './datapath.js';
import { type OpenedTable, openTableFile, tableFile, tagFile } from './table-file.js';
import { importPinned, openTableMap, refusalOf, saveTable } from './table-map.js';
import { XdpDatapath } from './xdp-datapath.js';

export interface DatapathOrder {
  readonly config: CompiledConfig;
  readonly shards: number;
  readonly logger: Logger;
  /** A number of this process. */
  readonly processId: number;
}

/**
 * Opens the adapter and with it the table. Errors: TD_UNAVAILABLE or TD_NO_PERMISSION what was asked for cannot be,
 * TD_CONFLICT another process has the table, another program the interface, or the kernel forwards by a table that this
 * version cannot adopt.
 */
export function openDatapath(order: DatapathOrder): Datapath {
  const { config, logger } = order;
  const addon = native();
  const [outside, inside] = [deviceOf(addon, config.outside), deviceOf(addon, config.inside)];
  const pinned = config.io === 'packet' && !mayAsk(addon) ? null : findPinned(addon, config, [outside, inside]);
  try {
    if (pinned !== null) checkPinned(pinned, config);
    const sides = [config.outside, config.inside];
    const tagged = sides.filter(({ vlan }) => vlan !== 0).map(({ device }) => device);
    const facts = config.io === 'packet' ? null : readXdpFacts(addon, outside, inside, tagged);
    const [mtu, mtuInside] = sides.map(({ device }) => addon.interfaceInfo(device).mtu);
    const decision = facts === null ? null : decideIo(config.io, config.offload && mtu === mtuInside, facts);
    const reasons = [...(decision?.reasons ?? [])];
    if (decision?.io === 'xdp' && config.offload && mtu !== mtuInside)
      // The kernel drops what is too long for the other side without a word; a shard tells the sender.
      logger.warn({ outside: mtu, inside: mtuInside }, 'the sides have different MTUs: no offload, shards forward');
    const datapath =
      (facts !== null && decision?.io === 'xdp' ? openBest(order, addon, facts, decision, reasons) : null) ??
      openPacket(order, addon, reasons, pinned, [outside, inside]);
    logger.info({ io: datapath.words, offload: datapath.offload, reasons: datapath.reasons }, 'io chosen');
    return datapath;
  } finally {
    if (pinned !== null) addon.closeFd(pinned.fd);
  }
}

function deviceOf(addon: NativeAddon, { device }: InterfaceSpec): XdpDevice {
  try {
    return { name: device, index: addon.interfaceInfo(device).index };
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENODEV') throw cause;
    throw new DesignatorError('TD_CONFIG', `no interface ${device}`, { device }, cause);
  }
}

/** Whether bpf(2) answers at all: with `packet` it is only asked for what another process may have left. */
function mayAsk(addon: NativeAddon): boolean {
  try {
    addon.bpf.possibleCpus();
    addon.closeFd(
      addon.bpf.createMap({ type: 2, keyLength: 4, valueLength: 4, entries: 1, flags: 0, name: 'td_probe' }),
    );
    return true;
  } catch {
    return false;
  }
}

/** What a process left in the kernel; null also where bpf(2) may not be asked, as nothing of ours can be there then. */
function findPinned(addon: NativeAddon, config: CompiledConfig, devices: readonly XdpDevice[]): PinnedTable | null {
  try {
    return readPinnedTable(addon, config.state.pin, devices);
  } catch (error) {
    if (config.io !== 'xdp' && error instanceof DesignatorError && error.code === 'TD_NO_PERMISSION') return null;
    throw error;
  }
}

/** Before anything is touched: a table that is forwarded by and cannot be adopted is an operator's to end. */
function checkPinned(pinned: PinnedTable, config: CompiledConfig): void {
  if (pinned.magic === 0) return;
  const otherSize = pinned.length !== tableLayout(config.table.connections).length;
  const refusal =
    pinned.layoutVersion !== LAYOUT_VERSION
      ? refusalOf('other-layout', config.state.pin)
      : otherSize
        ? refusalOf('other-size', config.state.pin)
        : null;
  if (refusal !== null) throw refusal;
}

function openPacket(
  { config, processId, logger }: DatapathOrder,
  addon: NativeAddon,
  reasons: readonly string[],
  pinned: PinnedTable | null,
  devices: readonly XdpDevice[],
): Datapath {
  let table = openTableFile(addon, tableFile(config.control.socket), config.table.connections);
  if (pinned !== null) {
    // Nothing may write there any more when it is copied.
    for (const done of unpinAll({ addon, pinPath: config.state.pin, devices })) logger.warn({}, done);
    table = importPinned(addon, table, pinned, config.state.pin);
  }
  for (const device of restoreTags(addon, tagFile(config.control.socket)))
    logger.info({ device }, 'VLAN offload is on again');
  return new PacketDatapath(config, reasons, processId, table);
}

/**
 * As decided, or what the kernel takes of it: generic where a driver refuses the program. Null, with one more reason:
 * nothing of it, and the configuration leaves the choice to us. Errors: those of `openXdp`.
 */
function openBest(
  order: DatapathOrder,
  addon: NativeAddon,
  facts: XdpFacts,
  decision: IoDecision,
  reasons: string[],
): Datapath | null {
  try {
    try {
      return openXdp(order, addon, facts, decision);
    } catch (error) {
      if (decision.mode !== 'native' || !(error instanceof DriverRefusal)) throw error;
      reasons.push(error.cause.message);
      return openXdp(order, addon, facts, { ...decision, mode: 'generic', copy: 'copy', reasons });
    }
  } catch (error) {
    const failure = error instanceof DriverRefusal ? error.cause : error;
    const canBeDoneWithout =
      failure instanceof DesignatorError && (failure.code === 'TD_UNAVAILABLE' || failure.code === 'TD_NO_PERMISSION');
    if (order.config.io !== 'auto' || !canBeDoneWithout) throw failure;
    reasons.push(failure.message);
    return null;
  }
}

class DriverRefusal extends Error {
  constructor(override readonly cause: DesignatorError) {
    super(cause.message);
  }
}

function rehearse(program: XdpProgram): void {
  try {
    program.rehearse();
  } catch (error) {
    throw error instanceof DesignatorError && error.code === 'TD_UNAVAILABLE' ? new DriverRefusal(error) : error;
  }
}

function openXdp(
  { config, shards, logger }: DatapathOrder,
  addon: NativeAddon,
  facts: XdpFacts,
  decision: IoDecision,
): Datapath {
  const file = tableFile(config.control.socket);
  const fileLock = lockTableFile(addon, file);
  let program: XdpProgram | null = null;
  let table: OpenedTable | null = null;
  try {
    const [outside, inside = outside] = facts.devices;
    const queues = facts.devices.map((device) => device.queues);
    program = XdpProgram.open({
      addon,
      pinPath: config.state.pin,
      outside,
      inside,
      mode: decision.mode,
      tableLength: tableLayout(config.table.connections).length,
      queues: Math.max(...queues),
      shards,
    });
    rehearse(program);
    for (const story of program.stories) logger.info({}, story);
    const { fd, found } = program.table;
    const { connections } = config.table;
    table = openTableMap(addon, { fd, connections, found, file, pin: config.state.pin });
    const takesRedirects = (name: string): boolean => {
      const index = facts.devices.find((device) => device.name === name)?.index;
      if (decision.mode === 'generic' || index === undefined) return true;
      return readXdpDevice(addon, { name, index }).redirectInto !== false;
    };
    const { mode, offload, copy, reasons } = decision;
    const transmits = facts.devices.every(({ transmit }) => transmit);
    const abilities = { mode, offload, copy, queues, reasons, transmits, takesRedirects };
    return new XdpDatapath({ addon, config, shards, abilities, program, table, fileLock });
  } catch (error) {
    program?.close();
    addon.closeFd(fileLock);
    // The tunnels of a process that ended in order have just been taken out of the file.
    if (table !== null && program?.table.found === false) saveTable(addon, table.memory, file);
    throw error;
  }
}

function lockTableFile(addon: NativeAddon, file: string): number {
  try {
    fs.mkdirSync(path.dirname(file), { recursive: true });
    return addon.lockPath(file);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'EAGAIN')
      throw new DesignatorError('TD_CONFLICT', `another designator uses the table ${file}`, { file }, cause);
    throw new DesignatorError('TD_UNAVAILABLE', `the table file ${file} cannot be locked: ${message}`, { file }, cause);
  }
}
