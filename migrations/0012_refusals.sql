-- Who refused a request, and why (docs/reference/outcomes.md); both '' where it was let through, and in rows from before. Every statement can be repeated. An insert names its columns, so a
-- collector of an earlier version goes on beside one of this.
ALTER TABLE tidegate.events ADD COLUMN IF NOT EXISTS refused_by LowCardinality(String) CODEC(ZSTD(3)) AFTER trace_id;
ALTER TABLE tidegate.events ADD COLUMN IF NOT EXISTS reason LowCardinality(String) CODEC(ZSTD(3)) AFTER refused_by;
ALTER TABLE tidegate.events_mended ADD COLUMN IF NOT EXISTS refused_by LowCardinality(String) CODEC(ZSTD(3)) AFTER trace_id;
ALTER TABLE tidegate.events_mended ADD COLUMN IF NOT EXISTS reason LowCardinality(String) CODEC(ZSTD(3)) AFTER refused_by;
