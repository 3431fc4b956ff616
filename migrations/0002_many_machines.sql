-- What the notes on streams and on quarantine need once events come through Kafka, from many machines. Every statement can be repeated.

-- log: where the stream's events come from, topic/partition; '': the spool of the collector's own machine.
-- log_next: one past the offset of the message that says so; an older message does not undo a newer one.
-- instance: tells two nodes of one name apart. marked_at: when last_seq was last moved or confirmed.
-- shipped_seq: all that was written up to it had been sent before the message; null: not said.
ALTER TABLE tidegate.streams
  ADD COLUMN IF NOT EXISTS log LowCardinality(String) DEFAULT '',
  ADD COLUMN IF NOT EXISTS log_next UInt64 DEFAULT 0,
  ADD COLUMN IF NOT EXISTS instance LowCardinality(String) DEFAULT '',
  ADD COLUMN IF NOT EXISTS marked_at DateTime64(3, 'UTC') DEFAULT noted_at,
  ADD COLUMN IF NOT EXISTS shipped_seq Nullable(Int64);

-- log: as above. Of Kafka, segment is the partition, from_offset the message's offset, and file names the copy as topic/partition/offset.
ALTER TABLE tidegate.quarantine
  ADD COLUMN IF NOT EXISTS log LowCardinality(String) DEFAULT '',
  ADD COLUMN IF NOT EXISTS replayed_at Nullable(DateTime64(3, 'UTC'));
