/**
 * Every metric, as data: the recorders' types, what Prometheus is told and `docs/reference/metrics.md` come from these lines.
 *
 * Labels have few values each: roles, methods, route templates, kinds, codes, hosts. Never an id, a name that a user
 * chose, or a path as it was asked for.
 */

export interface Metric {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels: readonly string[];
  /** Upper bounds of a histogram, in seconds. */
  readonly buckets?: readonly number[];
}

/** An answer: from what comes out of memory to what waits for a hypervisor. */
const ANSWER = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120] as const;
/** A transaction or a decision. */
const MOMENT = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5] as const;
/** What may take hours. */
const WORK = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200] as const;

export const METRICS = {
  micronova_ready: {
    type: 'gauge',
    help: 'Whether a part of this process is ready (1) or not (0), as /readyz says.',
    labels: ['part'],
  },
  micronova_http_request_duration_seconds: {
    type: 'histogram',
    help: 'Requests answered by the API, from their headers to the end of the answer. `route` is the template; `status` the class.',
    labels: ['service', 'method', 'route', 'status'],
    buckets: ANSWER,
  },
  micronova_http_requests_in_flight: {
    type: 'gauge',
    help: 'Requests that the API has not answered yet.',
    labels: [],
  },
  micronova_operation_duration_seconds: {
    type: 'histogram',
    help: 'Operations that ended, from when they were accepted; `outcome` is done, undone or needs_attention.',
    labels: ['kind', 'outcome'],
    buckets: WORK,
  },
  micronova_step_duration_seconds: {
    type: 'histogram',
    help: 'Steps of operations, done or taken back (`phase` do, undo), with all their attempts.',
    labels: ['kind', 'step', 'phase'],
    buckets: WORK,
  },
  micronova_step_failures_total: {
    type: 'counter',
    help: 'Attempts at steps that failed, by the error’s code; many of them are tried again.',
    labels: ['kind', 'step', 'phase', 'code'],
  },
  micronova_step_retries_total: {
    type: 'counter',
    help: 'Attempts at steps after the first.',
    labels: ['kind', 'step', 'phase'],
  },
  micronova_operations_running: {
    type: 'gauge',
    help: 'Operations that this process runs at the moment.',
    labels: [],
  },
  micronova_operations_open: {
    type: 'gauge',
    help: 'Operations of the whole cloud that have not ended, by state; needs_attention waits for a person. From the record.',
    labels: ['kind', 'state'],
  },
  micronova_operation_oldest_age_seconds: {
    type: 'gauge',
    help: 'Age of the oldest operation that is under way (not waiting for a person). From the record.',
    labels: ['kind'],
  },
  micronova_outbox_messages: {
    type: 'gauge',
    help: 'Accepted operations that no conductor has taken yet. From the record.',
    labels: [],
  },
  micronova_outbox_oldest_age_seconds: {
    type: 'gauge',
    help: 'How long the oldest of them waits; 0 when there is none. From the record.',
    labels: [],
  },
  micronova_host_up: {
    type: 'gauge',
    help: 'Whether a compute host is up (1): heard of lately, and not declared dead. From the record.',
    labels: ['host'],
  },
  micronova_host_enabled: {
    type: 'gauge',
    help: 'Whether a compute host takes new servers (1). From the record.',
    labels: ['host'],
  },
  micronova_servers: {
    type: 'gauge',
    help: 'Servers by host and state; `host` is empty for those that have none. From the record.',
    labels: ['host', 'state'],
  },
  micronova_images: { type: 'gauge', help: 'Images by status. From the record.', labels: ['status'] },
  micronova_image_bytes: { type: 'gauge', help: 'Bytes of their data. From the record.', labels: ['status'] },
  micronova_bus_messages_sent_total: {
    type: 'counter',
    help: 'Messages given to the bus; `outcome` is held or refused. `queue` is the role’s name; all hosts are one.',
    labels: ['queue', 'outcome'],
  },
  micronova_bus_messages_received_total: {
    type: 'counter',
    help: 'Messages taken from the bus, with those that come again.',
    labels: ['queue'],
  },
  micronova_bus_messages_redelivered_total: {
    type: 'counter',
    help: 'Of those, the ones that came before: their handler failed, or its process or connection went.',
    labels: ['queue'],
  },
  micronova_bus_messages_dead_total: {
    type: 'counter',
    help: 'Messages that failed every delivery and were given up.',
    labels: ['queue'],
  },
  micronova_rpc_call_duration_seconds: {
    type: 'histogram',
    help: 'Calls and jobs that this process asked for, until their answer; `outcome` is ok or the error’s code.',
    labels: ['role', 'method', 'outcome'],
    buckets: ANSWER,
  },
  micronova_rpc_handler_duration_seconds: {
    type: 'histogram',
    help: 'Calls, casts and jobs that this process did; `outcome` is ok or the error’s code.',
    labels: ['role', 'method', 'outcome'],
    buckets: ANSWER,
  },
  micronova_db_transaction_duration_seconds: {
    type: 'histogram',
    help: 'Transactions with the waiting for their turn. `kind` is single, or grouped where several share a commit; `outcome` ok or failed.',
    labels: ['kind', 'outcome'],
    buckets: MOMENT,
  },
  micronova_db_retries_total: {
    type: 'counter',
    help: 'Transactions and statements that were run again because others changed the same at the same time.',
    labels: [],
  },
  micronova_db_connections: {
    type: 'gauge',
    help: 'Connections to PostgreSQL: busy and idle ones, and how many callers wait for one (`state` waiting).',
    labels: ['state'],
  },
  micronova_scheduler_decisions_total: {
    type: 'counter',
    help: 'Claims that were answered: claimed, repeated (it had its host already), no_valid_host.',
    labels: ['outcome'],
  },
  micronova_scheduler_claims_lost_total: {
    type: 'counter',
    help: 'Picks that came too late: the host had changed when its room was to be booked, and another look was taken.',
    labels: [],
  },
  micronova_scheduler_pick_duration_seconds: {
    type: 'histogram',
    help: 'Picking a host among all, without the claim.',
    labels: [],
    buckets: [0.00001, 0.00005, 0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1],
  },
  micronova_hypervisor_command_duration_seconds: {
    type: 'histogram',
    help: 'Commands to QEMU over QMP; `outcome` is ok or failed.',
    labels: ['command', 'outcome'],
    buckets: ANSWER,
  },
  micronova_spans_total: {
    type: 'counter',
    help: 'Spans handed to the OpenTelemetry collector; `outcome` is sent or lost.',
    labels: ['outcome'],
  },
} as const satisfies Record<string, Metric>;

type NameOf<Type extends Metric['type']> = {
  [Name in keyof typeof METRICS]: (typeof METRICS)[Name]['type'] extends Type ? Name : never;
}[keyof typeof METRICS];

export type CounterName = NameOf<'counter'>;
export type GaugeName = NameOf<'gauge'>;
export type HistogramName = NameOf<'histogram'>;
export type Labels<Name extends keyof typeof METRICS> = Readonly<
  Record<(typeof METRICS)[Name]['labels'][number], string>
>;

/** One value of a gauge. */
export type Sample = {
  readonly [Name in GaugeName]: { readonly name: Name; readonly labels: Labels<Name>; readonly value: number };
}[GaugeName];

/** What measures; every layer gets it from its process. Nothing of it throws, and a call costs less than a microsecond. */
export interface Meter {
  count<Name extends CounterName>(name: Name, labels: Labels<Name>, by?: number): void;
  observe<Name extends HistogramName>(name: Name, labels: Labels<Name>, seconds: number): void;
  /** Asked for the values of gauges at each scrape; what it does not answer is not shown. One that fails is left out. */
  gauges(source: () => Promise<readonly Sample[]> | readonly Sample[]): void;
}

/** Where nobody scrapes. */
export const NO_METER: Meter = { count: () => {}, observe: () => {}, gauges: () => {} };

/** Seconds since a `performance.now()`. */
export function secondsSince(begun: number): number {
  return (performance.now() - begun) / 1000;
}
