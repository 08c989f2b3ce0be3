/**
 * From measurements to advice: which adapter and how many workers suit this machine and this mix of packets. Pure; the
 * measuring is the benchmarks' (`designator bench forward`).
 */

/** One measured cell, as `designator bench forward` gives it. */
export interface TuningRow {
  /** `xdp`, `af-xdp` (xdp without offload) or `designator` (packet). */
  readonly peer: string;
  readonly workers: number | null;
  /** Bytes of a frame. */
  readonly size: number;
  readonly path: string;
  /** CPU time of a packet that arrived; null: no figure, for too much was lost at any rate. */
  readonly nsPerPacket: number | null;
  /** Packets a second at 90 % of the rate at which nothing is lost. */
  readonly kpps: number | null;
}

export interface MixPart {
  readonly size: number;
  /** Share of the packets, of any sum. */
  readonly share: number;
}

/** An adapter with a number of workers, over the whole mix. */
export interface Candidate {
  readonly settings: { readonly io: 'xdp' | 'packet'; readonly offload: boolean; readonly workers: number };
  readonly name: string;
  /** Of this mix, without loss; in and out taken together. */
  readonly kpps: number;
  readonly nsPerPacket: number;
}

export interface Advice {
  /** Best first. */
  readonly candidates: readonly Candidate[];
  readonly best: Candidate;
  /** Sentences. */
  readonly reasons: readonly string[];
  /** To be put into the configuration file. */
  readonly yaml: string;
}

/** Rates closer than this are the same: less could not be told apart on a machine that does other things as well. */
const SAME_RATE = 0.1;

const SETTINGS: Readonly<Record<string, { io: 'xdp' | 'packet'; offload: boolean }>> = {
  xdp: { io: 'xdp', offload: true },
  'af-xdp': { io: 'xdp', offload: false },
  designator: { io: 'packet', offload: false },
};

/** `64:7,576:4,1400:1` → parts; null when it is no such thing. */
export function parseMix(text: string): MixPart[] | null {
  const parts: MixPart[] = [];
  for (const word of text.split(',')) {
    const found = /^(\d{2,5})(?::(\d{1,6}))?$/.exec(word.trim());
    if (found === null) return null;
    const [size, share] = [Number(found[1]), Number(found[2] ?? 1)];
    if (size < 64 || size > 9000 || share < 1 || parts.some((part) => part.size === size)) return null;
    parts.push({ size, share });
  }
  return parts;
}

/** Null when nothing was measured that could be recommended. */
export function advise(rows: readonly TuningRow[], mix: readonly MixPart[]): Advice | null {
  const candidates: Candidate[] = [];
  const keys = new Set(rows.filter(({ peer }) => peer in SETTINGS).map(({ peer, workers }) => `${peer} ${workers}`));
  for (const key of keys) {
    const own = rows.filter(({ peer, workers }) => `${peer} ${workers}` === key);
    const candidate = combine(own, mix);
    if (candidate !== null) candidates.push(candidate);
  }
  if (candidates.length === 0) return null;
  const fastest = Math.max(...candidates.map(({ kpps }) => kpps));
  const fast = (candidate: Candidate): boolean => candidate.kpps >= fastest * (1 - SAME_RATE);
  candidates.sort(
    (a, b) =>
      Number(fast(b)) - Number(fast(a)) ||
      (fast(a) ? a.nsPerPacket - b.nsPerPacket : b.kpps - a.kpps) ||
      a.settings.workers - b.settings.workers,
  );
  const [best] = candidates;
  return { candidates, best, reasons: reasonsFor(best, candidates), yaml: yamlOf(best) };
}

/** Of a mix the time of its packets counts: rates are averaged by what they take. Null when a part is missing. */
function combine(rows: readonly TuningRow[], mix: readonly MixPart[]): Candidate | null {
  const paths = [...new Set(rows.map(({ path }) => path))];
  let [weight, time, cost] = [0, 0, 0];
  for (const { size, share } of mix) {
    for (const path of paths) {
      const row = rows.find((candidate) => candidate.size === size && candidate.path === path);
      if (row === undefined || row.kpps === null || row.nsPerPacket === null || row.kpps <= 0) return null;
      weight += share;
      time += share / row.kpps;
      cost += share * row.nsPerPacket;
    }
  }
  if (weight === 0) return null;
  const { peer, workers } = rows[0];
  const settings = { ...SETTINGS[peer], workers: workers ?? 1 };
  return { settings, name: nameOf(settings), kpps: weight / time, nsPerPacket: cost / weight };
}

function nameOf({ io, offload, workers }: Candidate['settings']): string {
  const adapter = io === 'packet' ? 'packet' : offload ? 'xdp' : 'xdp without offload';
  return `${adapter}, ${workers} ${workers === 1 ? 'worker' : 'workers'}`;
}

function reasonsFor(best: Candidate, all: readonly Candidate[]): string[] {
  const reasons = [
    `${best.name}: ${Math.round(best.kpps)} thousand packets a second of this mix at 90 % of what it carries without loss, ${Math.round(best.nsPerPacket)} ns of CPU time each`,
  ];
  const adapter = all.find(
    ({ settings }) => settings.io !== best.settings.io || settings.offload !== best.settings.offload,
  );
  if (adapter !== undefined) reasons.push(`${adapter.name}: ${compared(adapter, best)}`);
  for (const other of all) {
    const sameAdapter = other.settings.io === best.settings.io && other.settings.offload === best.settings.offload;
    if (other !== best && sameAdapter) reasons.push(`${other.name}: ${compared(other, best)}`);
  }
  if (best.settings.io === 'xdp' && best.settings.offload) {
    reasons.push('with offload the workers only set tunnels up: more of them help set-up rate, not throughput');
  }
  return reasons;
}

function compared(other: Candidate, best: Candidate): string {
  const rate = other.kpps / best.kpps;
  const cost = other.nsPerPacket / best.nsPerPacket;
  const faster = Math.abs(rate - 1) <= SAME_RATE ? 'about the same rate' : `${rate.toFixed(2)} times the rate`;
  return `${faster}, ${cost.toFixed(2)} times the CPU time`;
}

function yamlOf({ settings }: Candidate): string {
  const offload = settings.io === 'xdp' ? `offload: ${settings.offload}\n` : '';
  return `io: ${settings.io}\n${offload}workers: ${settings.workers}\n`;
}
