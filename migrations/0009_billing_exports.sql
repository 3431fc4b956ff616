-- What was exported of closed days, kept for ever. Every statement can be repeated.

-- The first Parquet file that was made of a selection, so that it is the same bytes after an upgrade of what writes it, too.
-- selection: SHA-256 over the checksums of its entries, in order. writer: what made the file, by name and version.
CREATE TABLE IF NOT EXISTS tidegate.billing_files (
  selection String,
  writer String,
  pieces UInt32,
  bytes UInt64,
  sha256 String,
  made_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(made_at)
ORDER BY (selection, writer)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Its bytes, in base64. They are there before the row above; without it they are of a file that was not finished, and are written again.
CREATE TABLE IF NOT EXISTS tidegate.billing_file_pieces (
  selection String,
  writer String,
  piece UInt32,
  data String CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (selection, writer, piece)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- What was pushed to which receiver (target), entry by entry: a note before anything is sent (intend), what came of it (received, not_taken), and an operator's
-- word (resend, assume_received). Nothing is changed and nothing goes: what stands of an entry follows from its notes. attempt: one run's one batch.
CREATE TABLE IF NOT EXISTS tidegate.billing_receipts (
  target String,
  entry_id String,
  at DateTime64(3, 'UTC'),
  action LowCardinality(String),
  attempt String,
  status UInt16,
  detail String
)
ENGINE = ReplacingMergeTree
ORDER BY (target, entry_id, at, action, attempt)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
