/**
 * `tidegate report --before-after`: traffic on both sides of a change of the configuration, by the version that each event carries: on several nodes a change
 * is in force at no one moment.
 */
import { TidegateError } from '../../errors/tidegate-error.js';
import type { HistoryEntry } from '../../gateway/config/history.js';
import type { ControlClient, Query } from '../control-client.js';
import type { TrafficAnswer, TrafficAnswerRow } from '../render/traffic.js';

/** What a version is compared with, and for how long both were in force. */
export interface ChangeWindow {
  readonly version: string;
  readonly previous: string;
  readonly changeMs: number;
  readonly lengthMs: number;
  /** Since when the one, and until when the other was in force. */
  readonly sinceMs: number;
  readonly untilMs: number;
}

const MAX_LENGTH_MS = 86_400_000;
const MIN_LENGTH_MS = 1000;
/** How far apart nodes take a change, and how long a request admitted before it may still be on its way into the log. */
const APART_MS = 60_000;
/** Of the history. */
const ENTRIES = '1000';

/**
 * @param wanted the beginning of a version; '': the newest change
 * @throws invalid_parameter: there is no such change, nothing before it, or too little time on one side
 */
export function changeWindow(entries: readonly HistoryEntry[], wanted: string, nowMs: number): ChangeWindow {
  // a start with the configuration of the last time is no change; newest first
  const dated = entries.filter(({ time }) => !Number.isNaN(Date.parse(time)));
  const changes = dated.filter((entry, index) => entry.version !== dated[index + 1]?.version);
  const at = changes.findIndex(({ version }) => version.startsWith(wanted));
  const [change, before] = [changes[at], changes[at + 1]];
  if (change === undefined) throw refused(wanted === '' ? 'the history is empty' : `no change to a version ${wanted} is among the last ${entries.length} entries of tidegate config history`);
  if (before === undefined) throw refused(`${change.version} is the oldest version in the history (of ${entries.length} entries): nothing is before it`);
  const changeMs = Date.parse(change.time);
  const endMs = at === 0 ? nowMs : Date.parse(changes[at - 1]?.time ?? '');
  const sinceMs = Date.parse(before.time);
  const lengthMs = Math.min(changeMs - sinceMs, endMs - changeMs, MAX_LENGTH_MS);
  if (lengthMs < MIN_LENGTH_MS) throw refused(`${before.version} was in force for ${seconds(changeMs - sinceMs)} and ${change.version} for ${seconds(endMs - changeMs)}: a second of both is needed`);
  return { version: change.version, previous: before.version, changeMs, lengthMs, sinceMs, untilMs: endMs };
}

const refused = (why: string): TidegateError => new TidegateError('invalid_parameter', `--before-after: ${why}`);
const seconds = (ms: number): string => `${Math.floor(ms / 1000)} s`;

export async function findChange(client: ControlClient, wanted: string, nowMs: number): Promise<ChangeWindow> {
  const { entries } = await client.get<{ readonly entries: readonly HistoryEntry[] }>('/v1/config/history', { limit: ENTRIES });
  return changeWindow(entries, wanted, nowMs);
}

/** Both sides as one report, each row beside its `previous`; the most requests first. */
export async function bothSides(client: ControlClient, { version, previous, changeMs, lengthMs, sinceMs, untilMs }: ChangeWindow, asked: Query): Promise<TrafficAnswer> {
  const side = (fromMs: number, toMs: number, of: string) => client.get<TrafficAnswer>('/v1/reports/traffic', {
    ...asked, interval: 'total', from: new Date(fromMs).toISOString(), to: new Date(toMs).toISOString(), config_version: of,
  });
  // either may have been in force before and behind: a change that was taken back
  const before = await side(changeMs - lengthMs, Math.min(changeMs + APART_MS, untilMs), previous);
  const after = await side(Math.max(changeMs - APART_MS, sinceMs), changeMs + lengthMs, version);
  for (const { clipped, from } of [before, after]) if (clipped === true) throw new TidegateError('range_not_kept', `--before-after: what it is read from is kept since ${from}, and both sides are compared over the same length.`);
  const keyOf = (row: TrafficAnswerRow): string => JSON.stringify(groupsOf(row, asked).map((group) => row[group]));
  const earlier = new Map(before.rows.map((row) => [keyOf(row), row]));
  const rows: TrafficAnswerRow[] = after.rows.map((row) => {
    const then = earlier.get(keyOf(row));
    earlier.delete(keyOf(row));
    return { ...row, previous: then ?? NOTHING };
  });
  for (const row of earlier.values()) rows.push({ ...row, ...NOTHING, previous: row });
  return {
    ...after, complete: before.complete && after.complete, missing: [...new Set([...before.missing, ...after.missing])],
    previous: { from: before.from, to: before.to }, rows: rows.sort((a, b) => b.requests - a.requests || (b.previous?.requests ?? 0) - (a.previous?.requests ?? 0)),
  };
}

const groupsOf = (row: TrafficAnswerRow, { group_by: groups }: Query): readonly string[] => (typeof groups === 'string' ? groups.split(',') : []).filter((group) => group in row);
const NOTHING: NonNullable<TrafficAnswerRow['previous']> = { time: '', requests: 0, errors: 0, refused: 0, bytes_in: 0, bytes_out: 0, duration_ms: { avg: null, p50: null, p90: null, p95: null, p99: null } };
