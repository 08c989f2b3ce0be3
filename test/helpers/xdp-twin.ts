/**
 * One table, two readers: every frame goes through the XDP program (by test-run) and then through the shard that owns the
 * table, and the two must agree. Before each frame all entries count as offloaded, and what the program writes into
 * them is taken back, so that both see the same table and TypeScript's virtual clock is the only one.
 */
import { xdpRoles } from '../../src/roles/designator/xdp-roles.js';
import { expect } from 'vitest';
import { writeDirectory } from '../../src/flow/directory-segment.js';
import {
  ADDRESS_WORDS,
  ENTRY,
  ENTRY_WORDS,
  FINGERPRINT_FIRST,
  FLAG_OFFLOADED,
  XDP_FLAG,
} from '../../src/flow/layout.js';
import { PORT_INSIDE, PORT_OUTSIDE } from '../../src/io/port.js';
import { configOf, MemoryAppliance, type Outcome } from './memory-appliance.js';
import { viewOf } from './packet-builder.js';
import { XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_REDIRECT, XDP_TX, XdpRig, type XdpRun } from './xdp-rig.js';

/** An interface that is not there: the side where no frame comes in. */
const ELSEWHERE = 0x7fff;
const FORWARDED = ['inToOutside', 'inToInside', 'inTx', 'outToOutside', 'outToInside', 'outTx'] as const;
const UDP = 17;

export interface TwinOptions {
  /** XDP_FLAG bits besides `offload`. */
  readonly flags?: number;
  /** False: entries keep the flags that they have. */
  readonly offloadAll?: boolean;
}

export class XdpTwin {
  readonly appliance: MemoryAppliance;
  readonly rig: XdpRig;
  /** Frames that the program forwarded, left to the host, handed to a shard. */
  forwarded = 0;
  passed = 0;
  handed = 0;

  constructor(
    yaml: string,
    readonly options: TwinOptions = {},
  ) {
    const config = configOf(yaml);
    this.rig = new XdpRig(config.table.connections);
    this.appliance = new MemoryAppliance(config, { memory: this.rig.memory });
    const { roles, places } = xdpRoles(this.appliance.binding);
    const { addresses } = this.rig.memory;
    writeDirectory(
      this.rig.memory,
      [...roles].map(([index, role]) => {
        const at = index * ADDRESS_WORDS;
        return { index, role, words: [addresses[at], addresses[at + 1], addresses[at + 2], addresses[at + 3]] };
      }),
    );
    for (const [place, role] of places) this.rig.place(place >>> 16, place & 0xffff, role);
    this.rig.sides({ flags: XDP_FLAG.offload | (options.flags ?? 0) });
  }

  close(): void {
    this.rig.close();
  }

  /** Frames of the lab's servers come in inside. */
  ingressOf(frame: Uint8Array): number {
    if (frame.length < 34) return PORT_OUTSIDE;
    const view = viewOf(frame);
    const type = view.getUint16(12);
    if (type === 0x0800) return view.getUint16(26) === 0x0a0a ? PORT_INSIDE : PORT_OUTSIDE;
    return type === 0x86dd && view.getUint16(22) === 0xfd00 ? PORT_INSIDE : PORT_OUTSIDE;
  }

  /** The program alone. What it wrote into the table stays only when `keep`. */
  program(frame: Uint8Array, ingress = this.ingressOf(frame), keep = false): XdpRun {
    const inside = ingress === PORT_INSIDE;
    const { rig } = this;
    rig.sides({
      outsideInterface: inside ? ELSEWHERE : rig.interface,
      insideInterface: inside ? rig.interface : ELSEWHERE,
    });
    const { entries, fingerprints } = rig.memory;
    const live: [number, Int32Array][] = [];
    fingerprints.forEach((print, slot) => {
      if (print < FINGERPRINT_FIRST) return;
      const at = slot * ENTRY_WORDS;
      live.push([at, entries.slice(at, at + ENTRY_WORDS)]);
      if (this.options.offloadAll !== false) entries[at + ENTRY.record] |= FLAG_OFFLOADED;
    });
    const run = rig.run(frame);
    if (!keep) for (const [at, words] of live) entries.set(words, at);
    return run;
  }

  /** The frame through both; fails where they disagree. */
  both(frame: Uint8Array, ingress = this.ingressOf(frame)): { run: XdpRun; outcome: Outcome } {
    const run = this.program(frame, ingress);
    const before = this.appliance.drops();
    const outcome = this.appliance.send(frame, ingress);
    const after = this.appliance.drops();
    const dropped = Object.keys(after).filter((reason) => after[reason] !== before[reason]);
    const told = `${Buffer.from(frame).toString('hex')} → ${JSON.stringify({ ...run, data: undefined, dropped })}`;
    expect(run.action, told).not.toBe(XDP_ABORTED);
    const way = FORWARDED.find((name) => run.counted[name] === 1);
    if (way !== undefined) {
      this.forwarded++;
      expect(run.action, told).toBe(way.endsWith('Tx') ? XDP_TX : XDP_REDIRECT);
      expect(outcome.sent.length, told).toBe(1);
      expect(Buffer.from(run.data).toString('hex'), told).toBe(Buffer.from(outcome.sent[0].frame).toString('hex'));
      expect(outcome.sent[0].port, told).toBe(way.endsWith('ToInside') ? PORT_INSIDE : PORT_OUTSIDE);
      expect(run.counted, told).toEqual({ [way]: 1, [way.startsWith('in') ? 'bytesIn' : 'bytesOut']: ipLength(frame) });
    } else if (run.action === XDP_TX) {
      expect(run.counted, told).toEqual({ answered: 1 });
      const answer = outcome.sent[0].frame;
      expect(Buffer.from(run.data.subarray(0, answer.length))).toEqual(Buffer.from(answer));
    } else if (run.action === XDP_PASS) {
      this.passed++;
      expect(run.counted, told).toEqual({ passed: 1 });
      expect(outcome.sent.length, told).toBe(0);
      // The host's own filter judges what is no tunnel traffic, and what a server sends from another port to nobody of ours.
      if (outcome.passed.length === 0 && !dropped.includes('firewall-denied')) {
        expect(this.#fromOtherPortOfServer(frame), told).toBe(true);
      }
    } else {
      expect(run.action, told).toBe(XDP_DROP);
      expect(run.counted, told).toEqual({ noSocket: 1 });
      this.handed++;
      expect(Buffer.from(run.data)).toEqual(Buffer.from(frame));
      if (outcome.passed.length > 0) expect(this.#isIcmp(frame), told).toBe(true);
    }
    if (outcome.sent.length === 1 && isPlainData(frame)) expect(way, told).toBeDefined();
    return { run, outcome };
  }

  #fromOtherPortOfServer(frame: Uint8Array): boolean {
    if (this.ingressOf(frame) !== PORT_INSIDE) return false;
    const view = viewOf(frame);
    const v6 = view.getUint16(12) === 0x86dd;
    if (!v6 && view.getUint8(23) !== UDP) return false;
    const l4 = v6 ? 54 : 14 + (view.getUint8(14) & 15) * 4;
    const port = view.getUint16(l4);
    return this.appliance.plan.servers.every((server) => server.port !== port);
  }

  #isIcmp(frame: Uint8Array): boolean {
    const view = viewOf(frame);
    return view.getUint16(12) === 0x86dd || view.getUint8(23) === 1;
  }
}

function ipLength(frame: Uint8Array): number {
  const view = viewOf(frame);
  return view.getUint16(12) === 0x86dd ? 40 + view.getUint16(18) : view.getUint16(16);
}

/** L2TPv2 data over UDP without IP options or extension headers, no reserved bit, some payload, ids not 0. */
function isPlainData(frame: Uint8Array): boolean {
  if (frame.length < 54) return false;
  const view = viewOf(frame);
  const v6 = view.getUint16(12) === 0x86dd;
  if (v6 ? view.getUint8(20) !== UDP : view.getUint16(12) !== 0x0800 || view.getUint8(14) !== 0x45) return false;
  const l4 = v6 ? 54 : 34;
  if (frame.length < l4 + 16 || (!v6 && view.getUint8(23) !== UDP)) return false;
  const flags = view.getUint16(l4 + 8);
  const session = view.getUint16(l4 + ((flags & 0x4000) !== 0 ? 14 : 12));
  return (flags & 0xb4ff) === 0x0002 && session !== 0;
}
