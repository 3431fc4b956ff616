-- How far each partition of the log is stored, so that any of several collectors can say it of all of them. Every statement can be repeated.

-- log: topic/partition. as_of: all that had reached the partition before it is stored, as the collector that reads it says each second.
-- What is lost of it in a crash of the server only takes as_of back, so it is not flushed to disk at each insert.
CREATE TABLE IF NOT EXISTS tidegate.log_places (
  log String,
  as_of DateTime64(3, 'UTC'),
  noted_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(noted_at)
ORDER BY log;
