/**
 * Prometheus metrics of an LNS or a LAC, read at each scrape. The only label is `reason`, whose values are fixed (DESIGN
 * §8: none grows with traffic).
 */
import { Counter, Gauge, Registry } from 'prom-client';
import type { Endpoint, MetricReading } from './endpoint.js';
import { readProcessFacts } from './process-facts.js';

const PREFIX = 'designator_';

export class EndpointMetrics {
  readonly #endpoint: Endpoint;
  readonly #build: { readonly version: string; readonly node: string };

  constructor(endpoint: Endpoint, build: { version: string; node: string }) {
    this.#endpoint = endpoint;
    this.#build = build;
  }

  readonly contentType = Registry.PROMETHEUS_CONTENT_TYPE;

  /** The exposition text. */
  async text(): Promise<string> {
    const registry = registryOf(this.#endpoint.metrics());
    this.#addProcess(registry);
    return registry.metrics();
  }

  #addProcess(registry: Registry): void {
    const gauge = (name: string, help: string, value: number | null): void => {
      if (value !== null) new Gauge({ name: PREFIX + name, help, registers: [registry] }).set(value);
    };
    const facts = readProcessFacts();
    const { version, node } = this.#build;
    gauge('build_info', `Always 1. Version ${version}, Node ${node}.`, 1);
    gauge('process_resident_memory_bytes', 'Resident memory of the process.', facts.residentBytes);
    gauge('process_open_fds', 'Open file descriptors of the process.', facts.openFileDescriptors);
    gauge('process_heap_used_bytes', 'Memory that JavaScript objects of the main thread use.', facts.heapUsedBytes);
    if (facts.cpuSeconds !== null) {
      const help = 'Processor time that the process has used.';
      new Counter({ name: `${PREFIX}process_cpu_seconds_total`, help, registers: [registry] }).inc(facts.cpuSeconds);
    }
  }
}

/** Readings as families of their own registry. */
export function registryOf(readings: readonly MetricReading[]): Registry {
  const registry = new Registry();
  const families = new Map<string, Gauge<'reason'> | Counter<'reason'>>();
  for (const { name, help, kind, value, reason } of readings) {
    let family = families.get(name);
    if (family === undefined) {
      const options = { name: PREFIX + name, help, labelNames: ['reason'] as const, registers: [registry] };
      family = kind === 'gauge' ? new Gauge(options) : new Counter(options);
      families.set(name, family);
    }
    const labels = reason === undefined ? {} : { reason };
    if (family instanceof Gauge) family.set(labels, value);
    else family.inc(labels, value);
  }
  return registry;
}
