/**
 * The algorithms as one would write them down: every decision looks at all servers. What the rankings in shared memory
 * must agree with, whatever happens in between.
 */
export interface ScanServer {
  weight: number;
  up: boolean;
  tunnels: number;
  halfOpen: number;
  sessions: number;
  /** Of its last load status; null none. */
  load: number | null;
  tunnelLoad: number;
  predicted: number;
  current: number;
  lastUse: number;
  bucket: number;
}

export interface Scan {
  readonly servers: ScanServer[];
  now: number;
  uses: number;
  cursor: number;
  rate: number;
  burst: number;
}

export const newScan = (weights: readonly number[], rate: number, burst: number): Scan => ({
  servers: weights.map((weight) => ({
    weight,
    up: true,
    tunnels: 0,
    halfOpen: 0,
    sessions: 0,
    load: null,
    tunnelLoad: 0,
    predicted: 0,
    current: 0,
    lastUse: 0,
    bucket: 0,
  })),
  now: 0,
  uses: 0,
  cursor: -1,
  rate,
  burst,
});

type Less = (a: ScanServer, b: ScanServer, scan: Scan) => number;

const byUse: Less = (a, b) => a.lastUse - b.lastUse;
const first =
  (...orders: Less[]): Less =>
  (a, b, scan) => {
    for (const order of orders) {
      const difference = order(a, b, scan);
      if (difference !== 0) return difference;
    }
    return 0;
  };
const perWeight =
  (count: (server: ScanServer) => number): Less =>
  (a, b) =>
    count(a) * b.weight - count(b) * a.weight;
const heavier: Less = (a, b) => b.weight - a.weight;
const leastTunnels = first(
  perWeight(({ tunnels }) => tunnels),
  heavier,
  byUse,
);
const loadOf = ({ load, predicted }: ScanServer): number => (load ?? 0) + predicted;
const classOf = (server: ScanServer): number => (server.load === null ? 1 : loadOf(server) < 1_000_000 ? 0 : 2);
const leakedBy = ({ bucket, weight }: ScanServer, { rate }: Scan): number => bucket + 1 / rate / weight;

const ORDERS: Record<string, Less> = {
  'least-recent-use': byUse,
  'least-tunnels': leastTunnels,
  'least-sessions': first(
    perWeight(({ sessions, halfOpen }) => sessions + halfOpen),
    leastTunnels,
  ),
  'least-load': (a, b, scan) => {
    if (classOf(a) !== classOf(b)) return classOf(a) - classOf(b);
    return a.load === null ? leastTunnels(a, b, scan) : first((x, y) => loadOf(x) - loadOf(y), byUse)(a, b, scan);
  },
  'leaky-bucket': first((a, b, scan) => leakedBy(a, scan) - leakedBy(b, scan), byUse),
};
export const SCANNED = ['round-robin', 'weighted-round-robin', ...Object.keys(ORDERS)];

/** Position of the server, −1 none, −2 no room; the turn is taken. */
export function designate(algorithm: string, scan: Scan): number {
  const { servers } = scan;
  const may = servers.map((_, i) => i).filter((i) => servers[i].up && servers[i].weight > 0);
  const chosen = choose(algorithm, scan, may);
  if (chosen < 0) return chosen;
  const server = servers[chosen];
  if (algorithm === 'weighted-round-robin') {
    for (const i of may) servers[i].current += servers[i].weight;
    server.current -= may.reduce((sum, i) => sum + servers[i].weight, 0);
  }
  if (algorithm === 'round-robin') scan.cursor = chosen;
  if (algorithm === 'least-load' && server.load !== null) server.predicted += server.tunnelLoad;
  if (algorithm === 'leaky-bucket') server.bucket = Math.max(scan.now, server.bucket) + 1 / (scan.rate * server.weight);
  server.lastUse = ++scan.uses;
  return chosen;
}

function choose(algorithm: string, scan: Scan, may: readonly number[]): number {
  const { servers } = scan;
  if (may.length === 0) return -1;
  if (algorithm === 'round-robin') return may.find((i) => i > scan.cursor) ?? may[0];
  if (algorithm === 'weighted-round-robin')
    return may.reduce((best, i) =>
      servers[i].current + servers[i].weight > servers[best].current + servers[best].weight ? i : best,
    );
  const order = ORDERS[algorithm];
  const best = may.reduce((b, i) => (order(servers[i], servers[b], scan) < 0 ? i : b));
  if (algorithm !== 'leaky-bucket') return best;
  const { bucket } = servers[best];
  return bucket <= scan.now || leakedBy(servers[best], scan) <= scan.now + scan.burst / scan.rate ? best : -2;
}
