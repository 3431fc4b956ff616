/**
 * The one table of metrics: what writes them takes name, help, labels and bounds from here, and so do the reference page, the boards and
 * the rules: a name or a label that does not exist does not compile. No label may hold an app, a path, or anything else that clients
 * choose: `route` is the route's name, `method` one of a fixed list, `code` a status.
 *
 * A counter or a bucket is born at 0: known label values stand there from the start, any other series is told to each scraper as 0 once
 * before its value (docs/decisions/0038).
 */

/** Upper bounds in seconds of every duration of a request; the last bucket, +Inf, has no bound. OpenTelemetry's advice for HTTP, and 2 and 30. */
export const DURATION_BUCKETS_S = [
  0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2, 2.5, 5, 7.5, 10, 30,
] as const;

/** Of the time that the gateway itself takes: a tenth of a millisecond is usual. */
export const GATEWAY_BUCKETS_S = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1] as const;

/** Of bodies; 0: none. */
export const SIZE_BUCKETS_BYTES = [0, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8] as const;

/** Of an insert into the store. */
export const INSERT_BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30] as const;

/** As prom-client has them, so that boards made for it hold. */
export const GC_BUCKETS_S = [0.001, 0.01, 0.1, 1, 2, 5] as const;

export interface MetricEntry {
  /** A summary here is of quantiles alone: it has no sum and no count. */
  readonly type: 'counter' | 'gauge' | 'histogram' | 'summary';
  readonly help: string;
  /** In the order in which they are written; a histogram's `le` is not among them. */
  readonly labels: readonly string[];
  /** Of a histogram: upper bounds, rising, without +Inf. */
  readonly buckets?: readonly number[];
  /** Counted by a process that outlives the supervisor: what is heard of it for the first time may be its whole life, and is no birth. */
  readonly outlives?: true;
}

export const METRICS = {
  // -- traffic
  tidegate_requests_total: { type: 'counter', labels: ['service', 'route', 'method', 'code'], help: 'Requests ended, by the status sent (0: none).' },
  tidegate_request_duration_seconds: {
    type: 'histogram', labels: ['service', 'route'], buckets: DURATION_BUCKETS_S,
    help: 'From the request\'s first byte to the response\'s end. In OpenMetrics, buckets have the trace id of a sampled request as their exemplar.',
  },
  tidegate_upstream_duration_seconds: { type: 'histogram', labels: ['service', 'target'], buckets: DURATION_BUCKETS_S, help: 'From the attempt\'s start to the end of the target\'s response.' },
  tidegate_gateway_duration_seconds: { type: 'histogram', labels: ['service'], buckets: GATEWAY_BUCKETS_S, help: 'A request\'s duration minus the time of its upstream.' },
  tidegate_request_size_bytes: { type: 'histogram', labels: ['service'], buckets: SIZE_BUCKETS_BYTES, help: 'Body bytes of a request, as received.' },
  tidegate_response_size_bytes: { type: 'histogram', labels: ['service'], buckets: SIZE_BUCKETS_BYTES, help: 'Body bytes of a response, as sent.' },
  tidegate_request_bytes_total: { type: 'counter', labels: ['service'], help: 'Body bytes received from clients.' },
  tidegate_response_bytes_total: { type: 'counter', labels: ['service'], help: 'Body bytes sent to clients.' },
  tidegate_refused_total: { type: 'counter', labels: ['service', 'reason'], help: 'Requests that reached no upstream, by reason.' },
  tidegate_retries_total: { type: 'counter', labels: ['service', 'reason'], help: 'Upstream attempts retried, by reason.' },
  tidegate_in_flight_requests: { type: 'gauge', labels: ['service'], help: 'Requests read and not answered yet; without a service: those without a matching route, or not routed yet.' },
  tidegate_connections: { type: 'gauge', labels: ['listener'], help: 'Open client connections.' },

  // -- services and targets
  tidegate_services: { type: 'gauge', labels: [], help: 'Services configured.' },
  tidegate_service_info: { type: 'gauge', labels: ['service', 'team'], help: 'Each service with its team, as configured ("": none). Always 1.' },
  tidegate_targets: { type: 'gauge', labels: ['service'], help: 'Targets configured.' },
  tidegate_targets_healthy: { type: 'gauge', labels: ['service'], help: 'Targets that no worker skips. One that was not tried yet counts as healthy.' },
  tidegate_target_healthy: {
    type: 'gauge', labels: ['service', 'target'],
    help: '1: each worker\'s last connection succeeded; 0: one or more were refused or timed out.',
  },

  // -- what is promised of a service, and what its alerts compare with
  tidegate_slo_availability_ratio: { type: 'gauge', labels: ['service'], help: 'Objective: share of requests answered without an error of the service; only if configured.' },
  tidegate_slo_latency_threshold_seconds: { type: 'gauge', labels: ['service', 'bound'], help: 'Objective: the longest a request should take; only if configured. `bound`: the bucket of tidegate_request_duration_seconds that ends there.' },
  tidegate_slo_latency_share_ratio: { type: 'gauge', labels: ['service'], help: 'Objective: share of requests that should take no longer; only if configured.' },
  tidegate_alert_error_ratio: { type: 'gauge', labels: ['service'], help: 'Share of failed requests above which HighErrorRate fires.' },
  tidegate_alert_server_error_ratio: { type: 'gauge', labels: ['service'], help: 'Share of 5xx responses above which HighServerErrorRate fires.' },
  tidegate_alert_latency_p95_seconds: { type: 'gauge', labels: ['service', 'bound'], help: 'The longest that 95 % of requests should take. `bound`: the bucket that ends there.' },
  tidegate_alert_latency_p99_seconds: { type: 'gauge', labels: ['service', 'bound'], help: 'The longest that 99 % of requests should take. `bound`: the bucket that ends there.' },

  // -- events
  tidegate_events_total: { type: 'counter', outlives: true, labels: ['stage'], help: 'Events by the stage they have reached: recorded, shipped (to Kafka), stored.' },
  tidegate_events_dropped_total: { type: 'counter', labels: ['reason'], help: 'Events that could not be written, by reason; counted by app in the spool.' },
  tidegate_events_quarantined_total: { type: 'counter', outlives: true, labels: [], help: 'Pieces of the spool that could not be read.' },
  tidegate_event_gaps_total: { type: 'counter', outlives: true, labels: [], help: 'Events found missing from their streams; some may have arrived since.' },
  tidegate_events_missing: { type: 'gauge', labels: [], help: 'Events of today and yesterday (UTC) that are missing from their streams now.' },
  tidegate_event_repeats_total: { type: 'counter', outlives: true, labels: [], help: 'Events read more than once: skipped, or, if GET /v1/completeness says so, stored twice.' },
  tidegate_event_lag_seconds: {
    type: 'gauge', labels: [],
    help: 'How far the store is behind what was recorded; grows while the collector is down. Absent until a collector has answered, and on a node without one.',
  },
  tidegate_spool_bytes: { type: 'gauge', labels: [], help: 'Bytes of all spool segments of this node.' },
  tidegate_spool_limit_bytes: { type: 'gauge', labels: [], help: 'Bytes at which the spool is full, and events are dropped.' },
  tidegate_quarantine_bytes: { type: 'gauge', labels: [], help: 'Bytes in quarantine because they could not be read. Absent with Kafka: they are in the quarantine topic.' },
  tidegate_shipping_lag_seconds: { type: 'gauge', labels: [], help: 'Age of the oldest event that Kafka has not acknowledged.' },
  tidegate_shipping_lag_bytes: { type: 'gauge', labels: [], help: 'Bytes of the spool that Kafka has not acknowledged.' },
  tidegate_shipping_failures_total: { type: 'counter', labels: ['code'], help: 'Connections and requests to Kafka that failed, by code.' },
  tidegate_shipping_clock_ahead_seconds: { type: 'gauge', labels: [], help: 'How far this machine\'s clock is ahead of Kafka\'s, from Kafka\'s responses; negative: behind. A lower bound while Kafka rejects this machine\'s timestamps. Absent while Kafka does not report its time.' },
  tidegate_shipping_broker_time: { type: 'gauge', labels: [], help: '1: Kafka retains events by its own clock; 0: by the gateways\' clocks (kafka_topic_clock). Absent until known.' },

  // -- the collector and its store: absent on a node without one
  tidegate_collector_up: { type: 'gauge', labels: [], help: '1: the collector answers; 0: it does not. Absent on a node without one.' },
  tidegate_inserts_total: { type: 'counter', outlives: true, labels: ['result'], help: 'Inserts into the store by result; unknown: no response, so it is repeated, and counts once.' },
  tidegate_insert_rows_total: { type: 'counter', outlives: true, labels: [], help: 'Events inserted into the store.' },
  tidegate_insert_duration_seconds: { type: 'histogram', outlives: true, labels: [], buckets: INSERT_BUCKETS_S, help: 'Duration of inserts into the store, including failed ones.' },
  tidegate_store_failing: { type: 'gauge', labels: [], help: '1: the collector cannot store; 0: it can.' },
  tidegate_stored_rows_missing: { type: 'gauge', labels: ['day'], help: 'Rows that were stored of a day (UTC) and are not in the store any more; absent for days that lack none. Looked at each minute.' },
  tidegate_store_check_last_success_timestamp_seconds: { type: 'gauge', labels: [], help: 'When the collector last compared what the store holds with what was stored, in seconds since the epoch; 0: not since it began. It looks each minute.' },
  tidegate_store_detached_parts: { type: 'gauge', labels: [], help: 'Parts that the store has set aside, of all its tables: damaged, half written at a kill, or detached by an administrator. Absent while it does not say.' },
  tidegate_billing_days_closing: { type: 'gauge', labels: [], help: 'Days of apps that are over and not closed.' },
  tidegate_billing_closing_age_seconds: { type: 'gauge', labels: [], help: 'How long ago the oldest of them ended; 0: there is none.' },
  tidegate_billing_days_incomplete: { type: 'gauge', labels: [], help: 'Past days with an incomplete record, which wait for an operator. A day that ends for several apps at once counts once.' },
  tidegate_billing_failing: { type: 'gauge', labels: [], help: '1: no day can be closed; 0: days can be closed.' },

  // -- limits
  tidegate_quota_leases_total: { type: 'counter', labels: ['result'], help: 'Limit leases requested from the ledger, by result.' },
  tidegate_quota_apps: { type: 'gauge', labels: ['used'], help: 'Apps that have used at least this percentage of their daily quota: 80, 100. Which apps: GET /v1/reports/live.' },
  tidegate_ledger_up: { type: 'gauge', labels: [], help: '1: the ledger of limits can be used; 0: Redis cannot be reached. Absent on a node that serves no requests.' },
  tidegate_spans_total: { type: 'counter', labels: ['result'], help: 'Spans by result: exported, dropped (refused by the receiver, or too many waiting).' },
  tidegate_webhooks_total: {
    type: 'counter', labels: ['result'],
    help: 'Quota webhooks by result: delivered, retried (an attempt failed, another follows), failed (given up), dropped (the app or its webhook was removed).',
  },

  // -- the control origin and the apps' listener
  tidegate_wrong_tokens_total: {
    type: 'counter', labels: ['origin', 'result'],
    help: 'Wrong tokens at the control origin and the apps\' listener (reports): refused, or limited (not checked, because the address had sent too many).',
  },

  // -- configuration and processes
  tidegate_build_info: { type: 'gauge', labels: ['version', 'node_version'], help: 'The program and the Node.js that runs it. Always 1.' },
  tidegate_config_info: { type: 'gauge', labels: ['version'], help: 'The configuration in force. Always 1.' },
  tidegate_config_reloads_total: { type: 'counter', labels: ['result'], help: 'Reloads by result.' },
  tidegate_config_rejected: { type: 'gauge', labels: [], help: '1: the newest file was rejected and an older configuration is in force; 0: otherwise.' },
  tidegate_config_applied_timestamp_seconds: { type: 'gauge', labels: [], help: 'When the configuration in force was applied, in seconds since the epoch.' },
  tidegate_workers: { type: 'gauge', labels: [], help: 'Workers connected to the supervisor.' },
  tidegate_worker_restarts_total: { type: 'counter', outlives: true, labels: [], help: 'Workers restarted after an unexpected exit.' },
  tidegate_log_lines_suppressed_total: { type: 'counter', outlives: true, labels: [], help: 'Log lines of all processes that were suppressed as repeats, or could not be written.' },
  tidegate_worker_resident_memory_bytes: { type: 'gauge', labels: ['worker'], help: 'Resident memory of a worker.' },
  tidegate_worker_heap_used_bytes: { type: 'gauge', labels: ['worker'], help: 'JavaScript heap in use in a worker.' },
  tidegate_worker_cpu_seconds_total: { type: 'counter', outlives: true, labels: ['worker'], help: 'CPU time of a worker since its start.' },
  tidegate_worker_event_loop_delay_seconds: { type: 'summary', labels: ['worker', 'quantile'], help: 'Delay of a worker\'s event loop since its counts were last collected, a second or less.' },
  tidegate_worker_gc_seconds_total: { type: 'counter', outlives: true, labels: ['worker', 'kind'], help: 'Time that a worker was paused for garbage collection since its start, by kind: minor, major, incremental, weakcb.' },
  tidegate_worker_sockets: { type: 'gauge', labels: ['worker', 'side'], help: 'Open sockets of a worker: client, upstream.' },

  // -- the supervisor's own process, under the names that every exporter has
  process_cpu_user_seconds_total: { type: 'counter', labels: [], help: 'User processor time of the supervisor.' },
  process_cpu_system_seconds_total: { type: 'counter', labels: [], help: 'System processor time of the supervisor.' },
  process_cpu_seconds_total: { type: 'counter', labels: [], help: 'User and system processor time of the supervisor.' },
  process_start_time_seconds: { type: 'gauge', labels: [], help: 'When the supervisor was started, in seconds since the epoch.' },
  process_resident_memory_bytes: { type: 'gauge', labels: [], help: 'Resident memory of the supervisor.' },
  process_virtual_memory_bytes: { type: 'gauge', labels: [], help: 'Virtual memory of the supervisor (Linux).' },
  process_heap_bytes: { type: 'gauge', labels: [], help: 'Data segment of the supervisor (Linux).' },
  process_open_fds: { type: 'gauge', labels: [], help: 'Open file descriptors of the supervisor (Linux).' },
  process_max_fds: { type: 'gauge', labels: [], help: 'File descriptors that the supervisor may open (Linux).' },
  nodejs_eventloop_lag_seconds: { type: 'gauge', labels: [], help: 'By how much the supervisor\'s event loop was late at this scrape.' },
  nodejs_eventloop_lag_min_seconds: { type: 'gauge', labels: [], help: 'Smallest delay of the supervisor\'s event loop since the scrape before.' },
  nodejs_eventloop_lag_max_seconds: { type: 'gauge', labels: [], help: 'Largest delay of the supervisor\'s event loop since the scrape before.' },
  nodejs_eventloop_lag_mean_seconds: { type: 'gauge', labels: [], help: 'Mean delay of the supervisor\'s event loop since the scrape before.' },
  nodejs_eventloop_lag_stddev_seconds: { type: 'gauge', labels: [], help: 'Standard deviation of the supervisor\'s event loop delay since the scrape before.' },
  nodejs_eventloop_lag_p50_seconds: { type: 'gauge', labels: [], help: 'Median delay of the supervisor\'s event loop since the scrape before.' },
  nodejs_eventloop_lag_p90_seconds: { type: 'gauge', labels: [], help: '90th percentile of the supervisor\'s event loop delay since the scrape before.' },
  nodejs_eventloop_lag_p99_seconds: { type: 'gauge', labels: [], help: '99th percentile of the supervisor\'s event loop delay since the scrape before.' },
  nodejs_active_resources: { type: 'gauge', labels: ['type'], help: 'Resources that keep the supervisor\'s event loop alive, by type.' },
  nodejs_heap_size_total_bytes: { type: 'gauge', labels: [], help: 'Size of the supervisor\'s JavaScript heap.' },
  nodejs_heap_size_used_bytes: { type: 'gauge', labels: [], help: 'Use of the supervisor\'s JavaScript heap.' },
  nodejs_external_memory_bytes: { type: 'gauge', labels: [], help: 'Memory outside the supervisor\'s JavaScript heap that is bound to it.' },
  nodejs_heap_space_size_total_bytes: { type: 'gauge', labels: ['space'], help: 'Size of each space of the supervisor\'s JavaScript heap.' },
  nodejs_heap_space_size_used_bytes: { type: 'gauge', labels: ['space'], help: 'Use of each space of the supervisor\'s JavaScript heap.' },
  nodejs_heap_space_size_available_bytes: { type: 'gauge', labels: ['space'], help: 'Room in each space of the supervisor\'s JavaScript heap.' },
  nodejs_version_info: { type: 'gauge', labels: ['version', 'major', 'minor', 'patch'], help: 'The Node.js that runs the supervisor. Always 1.' },
  nodejs_gc_duration_seconds: { type: 'histogram', labels: ['kind'], buckets: GC_BUCKETS_S, help: 'Duration of the supervisor\'s garbage collections, by kind: minor, major, incremental, weakcb.' },
} as const satisfies Readonly<Record<string, MetricEntry>>;

export type MetricName = keyof typeof METRICS;
export type MetricOf<Type extends MetricEntry['type']> = { [Name in MetricName]: (typeof METRICS)[Name]['type'] extends Type ? Name : never }[MetricName];
export type LabelOf<Name extends MetricName> = (typeof METRICS)[Name]['labels'][number];

/** The lines that a scrape has of a metric: a histogram's are of three names. */
export function seriesNames(name: MetricName): readonly string[] {
  return METRICS[name].type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name];
}

/**
 * A bound as the label `le` has it in the Prometheus text format, and as `bound` has it: `0.5`, `2`. OpenMetrics, which Prometheus asks for first, writes
 * `2.0`, and Prometheus 3 reads `2` as `2.0` too: a matcher has to hold for both (`le=~"2(\\.0)?"`).
 */
export function boundText(bound: number): string {
  return String(bound);
}
