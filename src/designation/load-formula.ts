/**
 * From the fields of a load status to one number: 0 idle, 1 as full as its capacity, more when it says so.
 *
 * Each term with a weight above 0 that the status (or the configuration) lets us compute counts: `mean` is their weighted
 * mean, `max` the greatest of them. Terms: traffic = the greatest of bits in, bits out, packets in and packets out, each
 * against its capacity; cpu and memory as reported; tunnels and sessions against their limits.
 */
export interface LoadTerms {
  readonly traffic: number;
  readonly cpu: number;
  readonly memory: number;
  readonly tunnels: number;
  readonly sessions: number;
  readonly combine: 'mean' | 'max';
}

/** The fields of a status that count; null is unknown. */
export interface LoadFields {
  readonly tunnels: number | null;
  readonly sessions: number | null;
  readonly tunnelLimit: number | null;
  readonly sessionLimit: number | null;
  readonly cpu: number | null;
  readonly memory: number | null;
  readonly packetsIn: number | null;
  readonly packetsOut: number | null;
  readonly bitsIn: number | null;
  readonly bitsOut: number | null;
  readonly packetCapacity: number | null;
  readonly bitCapacity: number | null;
}

/** What the configuration knows of a server, for where its status does not say. */
export interface LoadLimits {
  readonly capacityBits: number | null;
  readonly tunnelLimit: number | null;
  readonly sessionLimit: number | null;
}

/** The load, or null when no term with a weight can be computed. */
export function loadOf(fields: LoadFields, limits: LoadLimits, terms: LoadTerms): number | null {
  const values: readonly (readonly [number, number | null])[] = [
    [terms.traffic, traffic(fields, limits)],
    [terms.cpu, fields.cpu],
    [terms.memory, fields.memory],
    [terms.tunnels, ratio(fields.tunnels, fields.tunnelLimit ?? limits.tunnelLimit)],
    [terms.sessions, ratio(fields.sessions, fields.sessionLimit ?? limits.sessionLimit)],
  ];
  let sum = 0;
  let weights = 0;
  let greatest = 0;
  for (const [weight, value] of values) {
    if (weight <= 0 || value === null) continue;
    sum += weight * value;
    weights += weight;
    greatest = Math.max(greatest, value);
  }
  if (weights === 0) return null;
  return terms.combine === 'max' ? greatest : sum / weights;
}

function traffic(fields: LoadFields, limits: LoadLimits): number | null {
  const bits = fields.bitCapacity ?? limits.capacityBits;
  const known = [
    ratio(fields.bitsIn, bits),
    ratio(fields.bitsOut, bits),
    ratio(fields.packetsIn, fields.packetCapacity),
    ratio(fields.packetsOut, fields.packetCapacity),
  ].filter((value) => value !== null);
  return known.length === 0 ? null : Math.max(...known);
}

function ratio(value: number | null, limit: number | null): number | null {
  return value === null || limit === null || limit <= 0 ? null : value / limit;
}
