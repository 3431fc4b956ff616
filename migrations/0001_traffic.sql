-- The traffic record: raw events, the rollups that views make of each insert, the coverage by which completeness is proven, and the
-- collector's own notes. Every statement can be repeated.
--
-- Exactly once: an insert carries a token, and the window on ALL chained tables (events, traffic_minute, traffic_quarter_hour, coverage)
-- remembers it, so an insert made again changes nothing, or heals what a crash left half done. A chained table without the window would
-- count the repetition. fsync_after_insert, because the log's segments are deleted once an insert has returned.

CREATE DATABASE IF NOT EXISTS tidegate;

-- One row a request, and further rows (requests = 0) of long connections. Columns as in EVENT_COLUMNS; what is stored differs where that
-- pays, and ALIAS columns keep the names.
--
-- Bytes an event on disk, 1,000,000 rows after OPTIMIZE FINAL; 2 streams, 3,000 requests/s that arrive independently of each other, the
-- gateway's own part lognormal (250 us); test/bench/event-bytes.ts measures it again:
--   200 apps x 20 routes, durations lognormal (9 ms), two networks an app, bodies a third fixed, a third of 200 sizes, a third lognormal: 8.6
--     duration_us 2.1, bytes_out 1.6, caller 1.4, gateway_us 1.3, call 0.7, bytes_in 0.6, seq 0.6, time 0.3, verdict 0.1
--   the same, one network an app, bodies fixed or of 200 sizes: 7.8
--   4 apps x 4 routes, durations lognormal (1 ms), bodies fixed: 5.8
-- What the noise itself holds, for the first: about 7. Before seq, the bodies, method and the verdict were stored as they are now: 9.9, 9.0, 6.7.
CREATE TABLE IF NOT EXISTS tidegate.events (
  stream UInt64 CODEC(ZSTD(3)),
  node LowCardinality(String) CODEC(ZSTD(3)),
  worker UInt16 CODEC(ZSTD(3)),
  -- the order of admission is the table's order, so time and ordinal cost 0.3 bytes together, and a request's id is the primary key.
  -- Ordered by app and route instead, each of the three (with seq) pays 2.
  ordinal UInt64 CODEC(DoubleDelta, ZSTD(3)),
  -- seq (the order of ends) is about ordinal + duration * the stream's rows a second (pace, the same for all of an insert's rows of a stream);
  -- what it is off is stored, sign in the lowest bit: 0.6 bytes, where seq took 1.1
  pace UInt32 CODEC(ZSTD(3)),
  seq_off UInt64 CODEC(ZSTD(3)),
  time DateTime64(3, 'UTC') CODEC(Delta, T64('bit'), ZSTD(3)),
  duration_us UInt64 CODEC(T64, ZSTD(3)),
  -- what the gateway itself took: 1.3 bytes, where upstream_us, as noisy as duration_us, took 2.0. Differences wrap, so the sum is exact always.
  gateway_us UInt64 CODEC(T64, ZSTD(3)),
  -- the lowest byte apart: it and the rest compress by different rules, 0.2 bytes less together
  bytes_in_low UInt8 CODEC(ZSTD(3)),
  bytes_in_high UInt64 CODEC(T64, ZSTD(3)),
  bytes_out_low UInt8 CODEC(ZSTD(3)),
  bytes_out_high UInt64 CODEC(T64, ZSTD(3)),
  -- bits, from the lowest: status 16, outcome 8, protocol 8, kind 8, attempts 8, requests 1, counted 1, billable 1. Few of them occur, and one
  -- tells the others: 0.1 bytes, where apart they took 0.3
  verdict LowCardinality(FixedString(8)) CODEC(ZSTD(3)),
  config_version LowCardinality(String) CODEC(ZSTD(3)),
  -- app and client together: 1.4 bytes, where apart they took 2.2, for a client tells its app. The same for service, route, target and method
  -- (as its number): 0.7 for 1.6.
  caller LowCardinality(String) CODEC(ZSTD(3)),
  call LowCardinality(String) CODEC(ZSTD(3)),
  path LowCardinality(String) CODEC(ZSTD(3)),
  trace_id String CODEC(ZSTD(3)),
  stored_at DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta, ZSTD(3)),

  seq UInt64 ALIAS ordinal + intDiv(duration_us * pace, 1000000) + bitXor(bitShiftRight(seq_off, 1), toUInt64(0) - bitAnd(seq_off, 1)),
  bytes_in UInt64 ALIAS bitOr(bitShiftLeft(bytes_in_high, 8), bytes_in_low),
  bytes_out UInt64 ALIAS bitOr(bitShiftLeft(bytes_out_high, 8), bytes_out_low),
  status UInt16 ALIAS toUInt16(bitAnd(reinterpretAsUInt64(verdict), 65535)),
  outcome Enum8('answered' = 1, 'client_aborted' = 2, 'upstream_unavailable' = 3, 'no_healthy_target' = 4, 'upstream_timeout' = 5, 'upstream_broken' = 6, 'malformed_request' = 7, 'route_not_found' = 8, 'ip_denied' = 9, 'unauthenticated' = 10, 'forbidden' = 11, 'rate_limited' = 12, 'quota_exhausted' = 13, 'ledger_unavailable' = 14, 'request_timeout' = 15, 'draining' = 16, 'internal_error' = 17, 'unframed' = 18) ALIAS CAST(toInt8(bitAnd(bitShiftRight(reinterpretAsUInt64(verdict), 16), 255)), 'Enum8(''answered'' = 1, ''client_aborted'' = 2, ''upstream_unavailable'' = 3, ''no_healthy_target'' = 4, ''upstream_timeout'' = 5, ''upstream_broken'' = 6, ''malformed_request'' = 7, ''route_not_found'' = 8, ''ip_denied'' = 9, ''unauthenticated'' = 10, ''forbidden'' = 11, ''rate_limited'' = 12, ''quota_exhausted'' = 13, ''ledger_unavailable'' = 14, ''request_timeout'' = 15, ''draining'' = 16, ''internal_error'' = 17, ''unframed'' = 18)'),
  protocol Enum8('http/1.0' = 1, 'http/1.1' = 2, 'h2' = 3, 'websocket' = 4, 'grpc' = 5, 'tcp' = 6) ALIAS CAST(toInt8(bitAnd(bitShiftRight(reinterpretAsUInt64(verdict), 24), 255)), 'Enum8(''http/1.0'' = 1, ''http/1.1'' = 2, ''h2'' = 3, ''websocket'' = 4, ''grpc'' = 5, ''tcp'' = 6)'),
  kind Enum8('request' = 1, 'interim' = 2, 'import' = 3) ALIAS CAST(toInt8(bitAnd(bitShiftRight(reinterpretAsUInt64(verdict), 32), 255)), 'Enum8(''request'' = 1, ''interim'' = 2, ''import'' = 3)'),
  attempts UInt8 ALIAS toUInt8(bitAnd(bitShiftRight(reinterpretAsUInt64(verdict), 40), 255)),
  requests UInt8 ALIAS toUInt8(bitAnd(bitShiftRight(reinterpretAsUInt64(verdict), 48), 1)),
  counted UInt8 ALIAS toUInt8(bitAnd(bitShiftRight(reinterpretAsUInt64(verdict), 49), 1)),
  billable UInt8 ALIAS toUInt8(bitAnd(bitShiftRight(reinterpretAsUInt64(verdict), 50), 1)),
  method Enum8('other' = 0, 'GET' = 1, 'HEAD' = 2, 'POST' = 3, 'PUT' = 4, 'DELETE' = 5, 'PATCH' = 6, 'OPTIONS' = 7, 'TRACE' = 8, 'CONNECT' = 9, 'PROPFIND' = 10, 'PROPPATCH' = 11, 'MKCOL' = 12, 'COPY' = 13, 'MOVE' = 14, 'LOCK' = 15, 'UNLOCK' = 16, 'REPORT' = 17, 'SEARCH' = 18, 'PURGE' = 19, 'QUERY' = 20) ALIAS CAST(toInt8(extract(call, '([0-9]+)$')), 'Enum8(''other'' = 0, ''GET'' = 1, ''HEAD'' = 2, ''POST'' = 3, ''PUT'' = 4, ''DELETE'' = 5, ''PATCH'' = 6, ''OPTIONS'' = 7, ''TRACE'' = 8, ''CONNECT'' = 9, ''PROPFIND'' = 10, ''PROPPATCH'' = 11, ''MKCOL'' = 12, ''COPY'' = 13, ''MOVE'' = 14, ''LOCK'' = 15, ''UNLOCK'' = 16, ''REPORT'' = 17, ''SEARCH'' = 18, ''PURGE'' = 19, ''QUERY'' = 20)'),
  upstream_us UInt64 ALIAS duration_us - gateway_us,
  app LowCardinality(String) ALIAS extract(caller, '^([^\n]*)'),
  client LowCardinality(String) ALIAS extract(caller, '\n([^\n]*)$'),
  service LowCardinality(String) ALIAS extract(call, '^([^\n]*)'),
  route LowCardinality(String) ALIAS extract(call, '^[^\n]*\n([^\n]*)'),
  target LowCardinality(String) ALIAS extract(call, '\n([^\n]*)\n[0-9]+$'),
  -- 2 for 2xx; 0: no status was sent
  status_class UInt8 ALIAS intDiv(status, 100),
  -- as wasLetThrough() beside the table of outcomes
  let_through Bool ALIAS outcome IN ('answered', 'upstream_unavailable', 'no_healthy_target', 'upstream_timeout', 'upstream_broken', 'unframed') OR (outcome = 'client_aborted' AND attempts > 0),
  error Bool ALIAS outcome IN ('upstream_unavailable', 'no_healthy_target', 'upstream_timeout', 'upstream_broken', 'ledger_unavailable', 'draining', 'internal_error') OR (outcome IN ('answered', 'unframed') AND status >= 500)
)
ENGINE = MergeTree
PARTITION BY toDate(time)
ORDER BY (stream, ordinal)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60;

-- requests, errors, refused: sums of `requests`, so an interim row counts nothing; bytes: of all rows. duration_us and latency: of requests
-- let through. latency: bucket -> requests; the bucket of d microseconds is floor(8 * log2(max(d, 1))), so each is 9 % wide.
CREATE TABLE IF NOT EXISTS tidegate.traffic_minute (
  time DateTime('UTC') CODEC(DoubleDelta, ZSTD(3)),
  app LowCardinality(String),
  service LowCardinality(String),
  route LowCardinality(String),
  status_class UInt8,
  requests SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(3)),
  errors SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(3)),
  refused SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(3)),
  bytes_in SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(3)),
  bytes_out SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(3)),
  duration_us SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(3)),
  latency SimpleAggregateFunction(sumMap, Map(UInt16, UInt64)) CODEC(ZSTD(3))
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(time)
ORDER BY (app, service, route, status_class, time)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60;

CREATE TABLE IF NOT EXISTS tidegate.traffic_quarter_hour (
  time DateTime('UTC') CODEC(DoubleDelta, ZSTD(3)),
  app LowCardinality(String),
  service LowCardinality(String),
  route LowCardinality(String),
  status_class UInt8,
  requests SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(3)),
  errors SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(3)),
  refused SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(3)),
  bytes_in SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(3)),
  bytes_out SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(3)),
  duration_us SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(3)),
  latency SimpleAggregateFunction(sumMap, Map(UInt16, UInt64)) CODEC(ZSTD(3))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (app, service, route, status_class, time)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60;

-- Which seqs of a stream are stored, as edges: +1 where a run of them begins, -1 behind its end. Runs that touch cancel out when parts
-- merge, so a stream without holes is two rows however many inserts it took; the running sum of delta is how often a seq is stored:
-- 0 a hole, 2 a repeat. at: when the run's first, or last, request ended, so that a hole can be laid to its day.
CREATE TABLE IF NOT EXISTS tidegate.coverage (
  stream UInt64,
  edge UInt64,
  delta Int64,
  at DateTime64(3, 'UTC'),
  node LowCardinality(String),
  worker UInt16
)
ENGINE = SummingMergeTree(delta)
ORDER BY (stream, edge)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60;

CREATE MATERIALIZED VIEW IF NOT EXISTS tidegate.traffic_minute_view TO tidegate.traffic_minute AS
SELECT
  toStartOfMinute(events.time) AS time, app, service, route, status_class,
  sum(events.requests) AS requests,
  sumIf(events.requests, error) AS errors,
  sumIf(events.requests, NOT let_through) AS refused,
  sum(events.bytes_in) AS bytes_in,
  sum(events.bytes_out) AS bytes_out,
  sumIf(events.duration_us, let_through AND events.requests = 1) AS duration_us,
  sumMapIf(map(toUInt16(floor(8 * log2(greatest(events.duration_us, 1)))), toUInt64(1)), let_through AND events.requests = 1) AS latency
FROM tidegate.events AS events
GROUP BY time, app, service, route, status_class;

-- From the minutes of the same insert, not from raw: a third of the cost.
CREATE MATERIALIZED VIEW IF NOT EXISTS tidegate.traffic_quarter_hour_view TO tidegate.traffic_quarter_hour AS
SELECT
  toStartOfFifteenMinutes(minutes.time) AS time, app, service, route, status_class,
  sum(minutes.requests) AS requests,
  sum(minutes.errors) AS errors,
  sum(minutes.refused) AS refused,
  sum(minutes.bytes_in) AS bytes_in,
  sum(minutes.bytes_out) AS bytes_out,
  sum(minutes.duration_us) AS duration_us,
  sumMap(minutes.latency) AS latency
FROM tidegate.traffic_minute AS minutes
GROUP BY time, app, service, route, status_class;

-- The rows come stream by stream in the order of seq, so seq less the row's number is the same within a run and changes at a hole.
CREATE MATERIALIZED VIEW IF NOT EXISTS tidegate.coverage_view TO tidegate.coverage AS
SELECT stream, side.1 AS edge, side.2 AS delta, side.3 AS at, node, worker
FROM (
  SELECT
    stream, any(node) AS node, any(worker) AS worker,
    arrayJoin([
      (min(seq), toInt64(1), min(time + toIntervalMicrosecond(duration_us))),
      (max(seq) + 1, toInt64(-1), max(time + toIntervalMicrosecond(duration_us)))
    ]) AS side
  FROM tidegate.events
  GROUP BY stream, seq - rowNumberInBlock()
);

-- The life of a stream, noted before its directory goes. sealed_at null: it lives.
CREATE TABLE IF NOT EXISTS tidegate.streams (
  stream UInt64,
  node LowCardinality(String),
  worker UInt16,
  opened_at DateTime64(3, 'UTC'),
  sealed_at Nullable(DateTime64(3, 'UTC')),
  -- last seq written or dropped; -1: none
  last_seq Int64,
  -- the machine did not go down under it: the last seq is known for certain
  proven Bool,
  noted_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(noted_at)
ORDER BY stream
SETTINGS fsync_after_insert = 1;

-- Events not recorded because the spool was full or could not be written: how many, by app, since the stream began.
CREATE TABLE IF NOT EXISTS tidegate.drops (
  stream UInt64,
  app String,
  count UInt64,
  first DateTime64(3, 'UTC'),
  last DateTime64(3, 'UTC'),
  noted_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(noted_at)
ORDER BY (stream, app)
SETTINGS fsync_after_insert = 1;

-- Bytes of the log that could not be read; `file` holds them, in collector/quarantine.
CREATE TABLE IF NOT EXISTS tidegate.quarantine (
  stream UInt64,
  segment UInt32,
  from_offset UInt64,
  to_offset UInt64,
  reason String,
  file String,
  noted_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(noted_at)
ORDER BY (stream, segment, from_offset)
SETTINGS fsync_after_insert = 1;

-- Rows the log held a second time (it was restored from a copy, say), which were left out of the store.
CREATE TABLE IF NOT EXISTS tidegate.repeats (
  stream UInt64,
  first_seq UInt64,
  last_seq UInt64,
  -- the collector's range in which they came
  range UInt64,
  noted_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(noted_at)
ORDER BY (stream, first_seq, last_seq, range)
SETTINGS fsync_after_insert = 1;
