/**
 * The metrics of one process, as Prometheus reads them: the only importer of `prom-client`, loaded only where there is somebody
 * to scrape.
 *
 * A registry of its own, so that several clouds in one process (tests) do not share anything. Measured: a count costs 0.1 µs,
 * an observation 0.7 µs, a scrape of 3500 lines 14 ms.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Log } from './log.ts';
import { METRICS, type Meter, type Metric, type Sample } from './metrics.ts';

/** A query of the record that hangs must not hold up what the others answer. */
const SOURCE_MS = 5_000;

export interface Exposition extends Meter {
  readonly contentType: string;
  /** Everything as text. Several who ask at once get the same answer. */
  scrape(): Promise<string>;
}

type Values = Readonly<Record<string, string>>;

/** Begins to watch the process (memory, event loop, garbage collection) under Prometheus' and Node's usual names. */
export function prometheus(log: Pick<Log, 'warn'>): Exposition {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const counters = new Map<string, Counter>();
  const gauges = new Map<string, Gauge>();
  const histograms = new Map<string, Histogram>();
  for (const [name, metric] of Object.entries<Metric>(METRICS)) {
    const { help, labels, buckets } = metric;
    const base = { name, help, labelNames: [...labels], registers: [registry] };
    if (metric.type === 'counter') counters.set(name, new Counter(base));
    else if (metric.type === 'gauge') gauges.set(name, new Gauge(base));
    else histograms.set(name, new Histogram({ ...base, ...(buckets && { buckets: [...buckets] }) }));
  }
  const sources: (() => Promise<readonly Sample[]> | readonly Sample[])[] = [];
  let scraping: Promise<string> | undefined;

  const read = async () => {
    const answers = await Promise.allSettled(sources.map((source) => withinTime(source)));
    for (const [name, gauge] of gauges) {
      gauge.reset();
      // One without labels would now be 0, which nobody has said.
      if (METRICS[name as keyof typeof METRICS].labels.length === 0) gauge.remove();
    }
    for (const answer of answers) {
      if (answer.status === 'rejected') log.warn({ err: answer.reason }, 'some metrics are left out of a scrape');
      else for (const { name, labels, value } of answer.value) gauges.get(name)?.set(labels as Values, value);
    }
    return registry.metrics();
  };

  return {
    contentType: registry.contentType,
    count(name, labels, by = 1) {
      counters.get(name)?.inc(labels as Values, by);
    },
    observe(name, labels, seconds) {
      histograms.get(name)?.observe(labels as Values, seconds);
    },
    gauges(source) {
      sources.push(source);
    },
    scrape() {
      scraping ??= read().finally(() => {
        scraping = undefined;
      });
      return scraping;
    },
  };
}

async function withinTime(source: () => Promise<readonly Sample[]> | readonly Sample[]): Promise<readonly Sample[]> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`no answer within ${SOURCE_MS} ms`)), SOURCE_MS);
  try {
    return await Promise.race([source(), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
