/**
 * What the boards Tenants and Billing ask of the traffic record. Each question has two forms, whose answers have the same names: SQL, where a ClickHouse server listens, and the report API, where
 * the store is chDB inside a collector, which nobody else can open (ADR 0039).
 */
import type * as cog from '@grafana/grafana-foundation-sdk/cog';
import type { AnnotationQueryBuilder, VariableModel } from '@grafana/grafana-foundation-sdk/dashboard';
import type { Query } from './panels.js';

export interface StoreQuestions {
  /** Files of this form are there. */
  readonly folder: 'clickhouse' | 'report-api';
  /** `store`, the data source, and `app`. */
  readonly variables: readonly cog.Builder<VariableModel>[];
  readonly closedDays: AnnotationQueryBuilder;

  /** app, requests, errors, refused, bytes_out, p99_ms: the 20 with the most requests of the range. */
  readonly topApps: Query;
  /** app, time_zone, day, used, quota: today of each app that has a quota, in its own zone. */
  readonly quotas: Query;
  /** Of the app, by time: requests, errors, refused. */
  readonly traffic: Query;
  /** Of the app, by time: requests of each status_class. */
  readonly statusClasses: Query;
  /** Of the app, by time: requests of each service. */
  readonly byService: Query;
  /** Of the app, by time: refused of each route. */
  readonly refusedByRoute: Query;
  /** Of the app, by time: p50, p90, p95, p99, in ms. */
  readonly percentiles: Query;
  /** Of the app, by time: requests of each of HEAT_COLUMNS. */
  readonly heat: Query;
  /** Of the app, by time: bytes_in, bytes_out. */
  readonly bytes: Query;

  /** Of the month that the range ends in, one value each. */
  readonly billable: Query;
  readonly overQuota: Query;
  readonly closedEntries: Query;
  readonly acceptedGaps: Query;
  /** Of the month, by day: billable of each app; over_quota of each app. */
  readonly billableByDay: Query;
  readonly overQuotaByDay: Query;
  /** Of the month, by day: entries of each status. */
  readonly daysByStatus: Query;
  /** Of the month: day, app, customer, kind, for_day, requests, billable, quota, over_quota, status, complete, reason. */
  readonly entries: Query;
}

/** Columns of the latency heatmap: each a factor of two wide, named by its end; `fromMs` and `toMs` are bounds of the store's buckets. */
export const HEAT_COLUMNS: readonly { readonly name: string; readonly power: number; readonly fromMs: number; readonly toMs: number }[] = Array.from({ length: 18 }, (_, index) => {
  // 2^9 us is 0.512 ms, 2^26 us is 67 s: what is faster is in the first one, what is slower in the last
  const power = index + 9;
  const boundMs = (exponent: number): number => Number((2 ** exponent / 1000).toPrecision(4));
  const end = 2 ** power / 1000;
  return {
    name: end < 1000 ? `${Number(end.toPrecision(3))} ms` : `${Number((end / 1000).toPrecision(3))} s`, power,
    fromMs: index === 0 ? 0 : boundMs(power - 1), toMs: index === 17 ? 1e12 : boundMs(power),
  };
});
