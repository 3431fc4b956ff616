-- What everybody asks of all apps together, by time and status class: the engine keeps these sums beside each part of the rollups, and takes them by itself where a
-- report groups and filters by nothing else. 90 days of 100,000,000 events are 34,560 rows in place of 26,600,000. Every statement can be repeated.

-- Merges make them anew from the merged rows.
ALTER TABLE tidegate.traffic_minute MODIFY SETTING deduplicate_merge_projection_mode = 'rebuild';
ALTER TABLE tidegate.traffic_quarter_hour MODIFY SETTING deduplicate_merge_projection_mode = 'rebuild';
ALTER TABLE tidegate.traffic_minute ADD PROJECTION IF NOT EXISTS by_status_class (
  SELECT time, status_class, sum(requests), sum(errors), sum(refused), sum(bytes_in), sum(bytes_out), sum(duration_us), sumMap(latency) GROUP BY time, status_class
);
ALTER TABLE tidegate.traffic_quarter_hour ADD PROJECTION IF NOT EXISTS by_status_class (
  SELECT time, status_class, sum(requests), sum(errors), sum(refused), sum(bytes_in), sum(bytes_out), sum(duration_us), sumMap(latency) GROUP BY time, status_class
);
-- Of what is stored already, in the background: until then reports read the rows.
ALTER TABLE tidegate.traffic_minute MATERIALIZE PROJECTION by_status_class;
ALTER TABLE tidegate.traffic_quarter_hour MATERIALIZE PROJECTION by_status_class;
