/** What billed-events-maker.ts makes. */
export const APPS = 40;
export const DAYS = 4;
/** Of which day the late and the damaged ones are. */
export const LATE_DAY = 1;
export const GAP_DAY = 2;

/** Requests by `app quarter status`: quarter of an hour since the epoch; `received refused billable` of each. */
export type MadeSums = Readonly<Record<string, readonly [received: number, refused: number, billable: number]>>;
export interface MadeDays {
  /** In the log, each once; of them `lost` are in the frame that cannot be read. */
  readonly prompt: MadeSums;
  readonly late: MadeSums;
  readonly lost: MadeSums;
  readonly counts: Readonly<Record<'prompt' | 'late' | 'lost' | 'twice', number>>;
}
