-- What an operator notes on an entry of the ledger for operators alone: not in the entry, so in no checksum, no export and nothing that an app reads (ADR 0055). Every statement can be repeated.

-- Notes are only added. One is written before its entry; a note without one is of an attempt that came to nothing, and is told to nobody.
CREATE TABLE IF NOT EXISTS tidegate.billing_notes (
  entry_id String,
  at DateTime64(3, 'UTC'),
  note String
)
ENGINE = ReplacingMergeTree
ORDER BY (entry_id, at)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
