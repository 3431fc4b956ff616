-- Where a range's rows are put beside the table that a crash of the server took them from, before they are moved there in one step (ADR 0043). Empty otherwise. Every statement
-- can be repeated.

-- Without views, so that nothing is counted a second time. Columns, order, partitions and projections are the tables' own, or MOVE PARTITION is refused: what alters one alters the other.
CREATE TABLE IF NOT EXISTS tidegate.events_mended AS tidegate.events
ENGINE = MergeTree
PARTITION BY toDate(time)
ORDER BY (stream, ordinal)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60;

CREATE TABLE IF NOT EXISTS tidegate.traffic_minute_mended AS tidegate.traffic_minute
ENGINE = AggregatingMergeTree
PARTITION BY toDate(time)
ORDER BY (app, service, route, status_class, time)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60, deduplicate_merge_projection_mode = 'rebuild';
