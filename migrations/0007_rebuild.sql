-- What `tidegate rebuild` and `tidegate apps erase` need: a place beside each rollup in which it is made again, which days of raw events are not whole, and which apps were erased. Every statement can be repeated.

-- A partition made here takes the place of the rollup's (REPLACE PARTITION), so columns, order, partitions and projections are the same. No window: a rebuild repeats nothing.
CREATE TABLE IF NOT EXISTS tidegate.traffic_minute_rebuilt (
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
  latency SimpleAggregateFunction(sumMap, Map(UInt16, UInt64)) CODEC(ZSTD(3)),
  PROJECTION by_status_class (
    SELECT time, status_class, sum(requests), sum(errors), sum(refused), sum(bytes_in), sum(bytes_out), sum(duration_us), sumMap(latency) GROUP BY time, status_class
  )
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(time)
ORDER BY (app, service, route, status_class, time)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60, deduplicate_merge_projection_mode = 'rebuild';

CREATE TABLE IF NOT EXISTS tidegate.traffic_quarter_hour_rebuilt (
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
  latency SimpleAggregateFunction(sumMap, Map(UInt16, UInt64)) CODEC(ZSTD(3)),
  PROJECTION by_status_class (
    SELECT time, status_class, sum(requests), sum(errors), sum(refused), sum(bytes_in), sum(bytes_out), sum(duration_us), sumMap(latency) GROUP BY time, status_class
  )
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (app, service, route, status_class, time)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60, deduplicate_merge_projection_mode = 'rebuild';

-- Days of which raw events were dropped, noted before they are: what comes of such a day later (a straggler, an imported log) is not all of it, and the rollups are never made of that.
CREATE TABLE IF NOT EXISTS tidegate.dropped_days (
  day Date,
  noted_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(noted_at)
ORDER BY day
SETTINGS fsync_after_insert = 1;

-- Those that went before this was noted.
INSERT INTO tidegate.dropped_days (day)
SELECT DISTINCT toDate(time) AS day FROM tidegate.traffic_quarter_hour
WHERE day < toDate(now('UTC')) AND formatDateTime(day, '%Y%m%d') NOT IN (SELECT DISTINCT _partition_id FROM tidegate.events);

-- What of an app is to be erased: all of before this time, noted before anything is, and for good: what of it comes later (from a spool, from Kafka, with an imported log) goes too.
CREATE TABLE IF NOT EXISTS tidegate.erasures (
  app String,
  before DateTime64(3, 'UTC'),
  noted_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(noted_at)
ORDER BY app
SETTINGS fsync_after_insert = 1;
