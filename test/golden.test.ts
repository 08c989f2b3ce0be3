import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { parseConfig } from '../src/config/load.js';
import type { CompiledConfig } from '../src/config/compiled.js';
import { MemoryPort } from '../src/io/memory.js';
import type { PacketPort } from '../src/io/port.js';
import { replay, type ReplayResult, runOffline } from '../src/roles/replay/replay.js';
import { checksum, pseudoHeaderIpv4, pseudoHeaderIpv6 } from '../src/wire/checksum.js';
import { emitPcapHeader, emitPcapRecord, readPcap } from '../src/wire/pcap.js';
import { GOLDEN, DEFAULT_CONFIG } from './helpers/golden-cases.js';
import { viewOf } from './helpers/packet-builder.js';

const FOLDER = join(import.meta.dirname, 'fixtures', 'golden');
const UPDATE = process.env.UPDATE === '1';
const scratch = mkdtempSync(join(tmpdir(), 'designator-golden-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const INTERFACES = 'interfaces: { outside: wan0, inside: lan0 }\n';
const START = 1_700_000_000;

function configOf(yaml: string): CompiledConfig {
  const { config, problems } = parseConfig('config.yaml', yaml);
  expect(problems.filter((problem) => problem.severity === 'error')).toEqual([]);
  return config as CompiledConfig;
}

/** What a run counted, without what cannot be the same in two runs. */
function counts({ drops, tunnels, ...rest }: ReplayResult): object {
  return { ...rest, drops: Object.fromEntries(drops.map(({ reason, packets }) => [reason, packets])), tunnels };
}

/** A capture through the memory adapter, its time stepped as the pcap adapter steps it. */
function throughMemory(
  config: CompiledConfig,
  frames: readonly { at: number; frame: Uint8Array }[],
): { out: Uint8Array[]; result: ReplayResult } {
  let memory: MemoryPort | null = null;
  const result = runOffline(config, (parts) => {
    const port = new MemoryPort(parts);
    memory = port;
    const queue = [...frames];
    let clock = 1;
    port.setTime(clock);
    const inner = port.turn.bind(port);
    const wrapped: PacketPort = Object.create(port, {
      turn: {
        value: (received: number, scratch_: number, waitMs: number): number => {
          const next = queue[0];
          if (next === undefined) {
            const last = inner(received, scratch_, waitMs);
            port.end();
            return last > 0 ? last : -1;
          }
          const due = 1 + next.at;
          if (due - clock > 1) clock += 1;
          else {
            clock = Math.max(clock, due);
            queue.shift();
            const { frame } = next;
            port.inject(frame, parts.ingressOf(viewOf(frame), 0, frame.length));
          }
          port.setTime(clock);
          return inner(received, scratch_, waitMs);
        },
      },
      frames: { value: port.frames },
      columns: { value: port.columns },
      clock: { value: port.clock },
      scratchOffset: { value: port.scratchOffset },
      close: { value: () => {} },
    });
    return wrapped;
  });
  return { out: (memory as unknown as MemoryPort).sent.map(({ frame }) => frame), result };
}

/** Every checksum of a frame, by full recomputation. */
function checksumsValid(frame: Uint8Array): boolean {
  const view = viewOf(frame);
  const type = view.getUint16(12);
  if (type === 0x0806) return true;
  const v6 = type === 0x86dd;
  const l4 = 14 + (v6 ? 40 : (view.getUint8(14) & 15) * 4);
  const end = v6 ? 54 + view.getUint16(18) : 14 + view.getUint16(16);
  if (!v6 && checksum(view, 14, l4) !== 0) return false;
  if (v6 && view.getUint8(20) !== 17) return true; // with extension headers: the pseudo-header is another
  const protocol = view.getUint8(v6 ? 20 : 23);
  if (protocol === 1) return checksum(view, l4, end) === 0;
  if (protocol !== 17 || view.getUint16(l4 + 6) === 0) return true;
  const pseudo = v6 ? pseudoHeaderIpv6(view, 14, 17, end - l4) : pseudoHeaderIpv4(view, 14, 17, end - l4);
  return checksum(view, l4, end, pseudo) === 0;
}

function pcapOf(frames: readonly { at: number; frame: Uint8Array }[]): Uint8Array {
  const length = 24 + frames.reduce((sum, { frame }) => sum + 16 + frame.length, 0);
  const bytes = new Uint8Array(length);
  const view = viewOf(bytes);
  let at = emitPcapHeader(view, 0);
  for (const { at: seconds, frame } of frames) {
    const whole = Math.floor(seconds);
    at += emitPcapRecord(view, at, START + whole, Math.round((seconds - whole) * 1e9), frame.length);
    bytes.set(frame, at);
    at += frame.length;
  }
  return bytes.subarray(0, at);
}

const framesOf = (file: string): Uint8Array[] =>
  readPcap(readFileSync(file)).map((record) => new Uint8Array(record.frame));

describe('golden cases, the same through both adapters', () => {
  test.each(GOLDEN)('$name', ({ name, config: yaml, frames }) => {
    const folder = join(FOLDER, name);
    const file = (part: string): string => join(folder, part);
    if (UPDATE) {
      mkdirSync(folder, { recursive: true });
      writeFileSync(file('config.yaml'), INTERFACES + (yaml ?? DEFAULT_CONFIG));
      writeFileSync(file('in.pcap'), pcapOf(frames));
    }
    const config = configOf(readFileSync(file('config.yaml'), 'utf8'));
    const output = join(scratch, `${name}.pcap`);
    const result = replay({ config, input: file('in.pcap'), output });
    if (UPDATE) {
      writeFileSync(file('out.pcap'), readFileSync(output));
      writeFileSync(file('counters.json'), `${JSON.stringify(counts(result), null, 2)}\n`);
    }
    // The committed input is what the case says: a changed builder shows here.
    expect(framesOf(file('in.pcap'))).toEqual(frames.map(({ frame }) => new Uint8Array(frame)));
    expect(counts(result)).toEqual(JSON.parse(readFileSync(file('counters.json'), 'utf8')));
    const sent = framesOf(output);
    expect(sent).toEqual(framesOf(file('out.pcap')));
    for (const frame of sent) expect(checksumsValid(frame)).toBe(true);
    const memory = throughMemory(config, frames);
    expect(memory.out.map((frame) => new Uint8Array(frame))).toEqual(sent);
    expect(counts(memory.result)).toEqual(counts(result));
  });

  test('every folder is a case', () => {
    expect(existsSync(FOLDER)).toBe(true);
    expect(readdirSync(FOLDER).sort()).toEqual(GOLDEN.map(({ name }) => name).sort());
  });
});
