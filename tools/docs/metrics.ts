/** Every metric as a page. */
import { METRICS, type Metric } from '#observe/metrics.ts';
import { page, table } from './markdown.ts';

export function metricsPage(): string {
  const rows = Object.entries<Metric>(METRICS).map(([name, { type, labels, help }]) => [
    `\`${name}\``,
    type,
    labels.map((label) => `\`${label}\``).join(', '),
    help,
  ]);
  return page(
    'Metrics',
    'src/observe/metrics.ts',
    `At \`/metrics\` of \`health_listen\`, in Prometheus' text format; how to use them: [observing](../guide/observing.md). Times are in
seconds. Those "from the record" are shown by every conductor's process and are the same in each: take \`max by (…)\`.

${table(['metric', 'type', 'labels', 'what it says'], rows)}

Beside them are the usual ones of a process and of Node: \`process_cpu_seconds_total\`, \`process_resident_memory_bytes\`,
\`process_open_fds\`, \`process_start_time_seconds\`, \`nodejs_eventloop_lag_p99_seconds\`, \`nodejs_heap_size_used_bytes\`,
\`nodejs_gc_duration_seconds\` and their like.`,
  );
}
