-- The billing ledger, and what it was made by. Only ever appended to. Every statement can be repeated.

-- batch: entries are written a batch at a time, each batch by an insert whose token is its number, so that of several who write the next one exactly one does (ADR 0032).
-- No partitions: an insert is one part, there or not there. writer: who made the batch. over: of an app with a quota, what became of requests beyond it.
-- as_of, coverage: up to when the log was stored when the day was counted, and the SHA-256 of what each stream of the day had come to.
CREATE TABLE IF NOT EXISTS tidegate.billing_days (
  batch UInt64,
  place UInt32,
  writer String,
  entry_id String,
  kind LowCardinality(String),
  customer String,
  app String,
  day Date,
  for_day Date,
  time_zone LowCardinality(String),
  day_start DateTime64(3, 'UTC'),
  day_end DateTime64(3, 'UTC'),
  received Int64,
  refused Int64,
  requests Int64,
  billable Int64,
  quota UInt64,
  over LowCardinality(String),
  over_quota Int64,
  complete Bool,
  reason String,
  checksum String,
  as_of DateTime64(3, 'UTC'),
  coverage String,
  written_at DateTime64(3, 'UTC') DEFAULT now64(3),
  INDEX by_day day TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
ORDER BY (batch, place)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

-- What the configuration said of an app from a time on. removed: it named the app no more. least_day: an app that was named so late that days were exported meanwhile
-- has its first date not before this; '' where nothing had been closed yet.
CREATE TABLE IF NOT EXISTS tidegate.billing_terms (
  app String,
  from_ms Int64,
  customer String,
  time_zone String,
  quota UInt64,
  over String,
  removed Bool,
  least_day String,
  noted_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(noted_at)
ORDER BY (app, from_ms)
SETTINGS fsync_after_insert = 1;
