/**
 * Which rows of a stream `events` lacks, by seq: what the coverage says was stored, less what is held. A stream can have many millions of rows, so what is held is counted in buckets
 * of seqs, and looked at row by row in those alone that are not full.
 */
import { StoredSeqs } from '../log/stored-seqs.js';
import { SeqSet, type SeqRun } from '../log/seq-set.js';
import type { Store } from '../store/store.js';

const BUCKET_SEQS = 8192;
/** In one statement. */
const MAX_BUCKETS = 500;

/**
 * The coverage is read first: an insert puts its rows into `events` before it puts them into the coverage, so one that is under way is never taken for a loss. Rows of days that were
 * dropped are among them.
 * @param stream 16 hexadecimal digits. @throws what the store throws
 */
export async function missingSeqs(store: Store, stream: string): Promise<SeqSet> {
  const seqs = new StoredSeqs();
  await seqs.meet(store, [stream]);
  const stored = bucketsOf(seqs.of(stream).runs);
  const counts = await store.query<{ bucket: number; n: number }>(
    `SELECT intDiv(e.seq, ${BUCKET_SEQS}) AS bucket, count() AS n FROM tidegate.events AS e WHERE e.stream = 0x${stream} GROUP BY bucket`);
  const held = new Map(counts.map(({ bucket, n }) => [Number(bucket), Number(n)]));
  const short = [...stored].filter(([bucket, runs]) => (held.get(bucket) ?? 0) < runs.reduce((sum, { first, last }) => sum + last - first + 1, 0));
  const there = await heldIn(store, stream, short.map(([bucket]) => bucket).filter((bucket) => held.has(bucket)), '');
  const missing = new SeqSet();
  for (const [bucket, runs] of short) {
    for (const run of runs) {
      if (!held.has(bucket)) missing.add(run.first, run.last);
      else for (let seq = run.first; seq <= run.last; seq++) if (!there.has(seq)) missing.add(seq, seq);
    }
  }
  return missing;
}

/** Those of the seqs that are held, of one day (UTC). @param day partition, such as 20261121. @throws what the store throws */
export function heldOfDay(store: Store, day: string, stream: string, seqs: readonly number[]): Promise<ReadonlySet<number>> {
  return heldIn(store, stream, [...new Set(seqs.map(bucketOf))], `AND e._partition_id = '${day}'`);
}

const bucketOf = (seq: number): number => Math.floor(seq / BUCKET_SEQS);

/** In order. */
function bucketsOf(runs: readonly SeqRun[]): Map<number, SeqRun[]> {
  const buckets = new Map<number, SeqRun[]>();
  for (const { first, last } of runs) {
    for (let bucket = bucketOf(first); bucket <= bucketOf(last); bucket++) {
      const own = buckets.get(bucket) ?? [];
      buckets.set(bucket, own);
      own.push({ first: Math.max(first, bucket * BUCKET_SEQS), last: Math.min(last, (bucket + 1) * BUCKET_SEQS - 1) });
    }
  }
  return buckets;
}

async function heldIn(store: Store, stream: string, buckets: readonly number[], where: string): Promise<Set<number>> {
  const held = new Set<number>();
  for (let at = 0; at < buckets.length; at += MAX_BUCKETS) {
    const rows = await store.query<{ seqs: readonly number[] }>(
      `SELECT groupArray(e.seq) AS seqs FROM tidegate.events AS e WHERE e.stream = 0x${stream} AND intDiv(e.seq, ${BUCKET_SEQS}) IN (${buckets.slice(at, at + MAX_BUCKETS).join(', ')}) ${where}`);
    for (const { seqs } of rows) for (const seq of seqs) held.add(Number(seq));
  }
  return held;
}
