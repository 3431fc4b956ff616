-- Which days hold rows of imported logs, noted before they are inserted. Every statement can be repeated.
--
-- A partition that has such rows stays for as long after stored_at as it would after its end; what is noted of the stream stays as long as they do; live counters of such a
-- day leave them out. The rollups' views stay as they are: under a view that was altered (MODIFY QUERY, be it to the same text) the engine knows the tokens of its table no more,
-- and the insert that a collector makes again after the upgrade would count twice.
CREATE TABLE IF NOT EXISTS tidegate.imports (
  stream UInt64,
  day Date,
  stored_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(stored_at)
ORDER BY (stream, day)
SETTINGS fsync_after_insert = 1;
