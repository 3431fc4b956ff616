-- What was stored of each day (UTC), by stream, so that a part of events that goes missing is told (ADR 0044). Coverage knows what was stored of a stream, and of no day; rollups know no
-- stream. Every statement can be repeated.

-- Made of each insert by a view, as the rollups are, so it has the window: an insert that is made again is counted once. A day is a partition, as of events: both are dropped together.
-- rows: all of them; requests: sum of `requests`, so an interim row is none.
CREATE TABLE IF NOT EXISTS tidegate.stored_days (
  day Date,
  stream UInt64,
  rows SimpleAggregateFunction(sum, UInt64),
  requests SimpleAggregateFunction(sum, UInt64)
)
ENGINE = AggregatingMergeTree
PARTITION BY day
ORDER BY (day, stream)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60;

CREATE MATERIALIZED VIEW IF NOT EXISTS tidegate.stored_days_view TO tidegate.stored_days AS
SELECT toDate(events.time) AS day, stream, count() AS rows, sum(events.requests) AS requests
FROM tidegate.events AS events
GROUP BY day, stream;

-- Since when a record is kept; the epoch: since the store's first event. Behind the view: what is stored from then on is in it. What was stored before is judged otherwise, never noted
-- from what happens to be left of it. The latest counts: a history that is copied here brings its own.
CREATE TABLE IF NOT EXISTS tidegate.record_starts (
  record String,
  since DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(since)
ORDER BY record
SETTINGS fsync_after_insert = 1;

INSERT INTO tidegate.record_starts (record, since)
SELECT 'stored_days' AS record, if((SELECT count() FROM tidegate.events) = 0, toDateTime64(0, 3, 'UTC'), now64(3, 'UTC')) AS since
WHERE (SELECT count() FROM tidegate.record_starts) = 0;
