/** Inserts into the store since this process began, for the metrics. */
import { TidegateError } from '../../errors/tidegate-error.js';
import { INSERT_BUCKETS_S } from '../../gateway/metrics/catalogue.js';

export class InsertCounts {
  stored = 0;
  failed = 0;
  /** Nobody answered: it is made again, and counts once in the store. */
  unknown = 0;
  /** Of those that were stored. */
  rows = 0;
  /** By duration, each bucket alone, the one without a bound last; of all of them. */
  readonly buckets = new Array<number>(INSERT_BUCKETS_S.length + 1).fill(0);
  seconds = 0;

  /** Counts what `insert` comes to. @throws what it throws */
  async count(rows: number, insert: () => Promise<void>): Promise<void> {
    const beganMs = performance.now();
    try {
      await insert();
      this.stored++;
      this.rows += rows;
    } catch (error) {
      if (error instanceof TidegateError && error.code === 'store_unknown') this.unknown++;
      else this.failed++;
      throw error;
    } finally {
      const seconds = (performance.now() - beganMs) / 1000;
      const bucket = INSERT_BUCKETS_S.findIndex((bound) => seconds <= bound);
      const at = bucket === -1 ? INSERT_BUCKETS_S.length : bucket;
      this.buckets[at] = (this.buckets[at] ?? 0) + 1;
      this.seconds += seconds;
    }
  }
}
