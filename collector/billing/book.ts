/** What is known of all apps at a time: which day each has next, and which of them end together. */
import { createHash } from 'node:crypto';
import { InvalidParameterError } from '../../errors/invalid-parameter.js';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { AppDay, LastDay, Terms } from './app-days.js';
import type { DueDay } from './closing.js';

/** `next`: null where the app has no more days. */
interface Account { readonly terms: readonly Terms[]; readonly last: LastDay | null; readonly next: AppDay | null }
/** `batch`: the ledger's last, when it was read. */
export interface Book { readonly batch: number; readonly accounts: ReadonlyMap<string, Account> }
/** Days with the same bounds, of several apps. */
export interface DayGroup { readonly startMs: number; readonly endMs: number; readonly due: readonly DueDay[] }

/** Names a time. */
export const boundsOf = ({ startMs, endMs }: { readonly startMs: number; readonly endMs: number }): string => `${startMs}-${endMs}`;

/** Names what was counted: a time, and of which apps. */
export function countedKey(startMs: number, endMs: number, of: readonly { readonly app: string }[]): string {
  return `${startMs}-${endMs}-${createHash('sha256').update(of.map(({ app }) => app).sort().join('\n')).digest('base64')}`;
}

/** Oldest first. */
export function groupsOf(due: readonly DueDay[]): readonly DayGroup[] {
  const groups = new Map<string, DueDay[]>();
  for (const each of due) {
    const its = groups.get(boundsOf(each.day)) ?? [];
    if (its.push(each) === 1) groups.set(boundsOf(each.day), its);
  }
  return [...groups.values()].map((of) => ({ startMs: of[0]?.day.startMs ?? 0, endMs: of[0]?.day.endMs ?? 0, due: of })).sort((a, b) => a.endMs - b.endMs || a.startMs - b.startMs);
}

/** Days of that date which are the next of their apps. @param app null: of all */
export function closableDays({ accounts }: Book, day: string, app: string | null): readonly DueDay[] {
  return [...accounts].flatMap(([name, { terms, next }]) => (next?.day === day && (app === null || name === app) ? [{ app: name, terms, day: next }] : []));
}

/** Why nothing of that day can be closed. */
export function notNext({ accounts }: Book, day: string, app: string | null): TidegateError {
  const account = app === null ? null : accounts.get(app);
  if (account === undefined) return new InvalidParameterError('app', 'no configuration has named it');
  const lasts = account === null ? [...accounts.values()].map(({ last }) => last) : [account.last];
  if (lasts.some((last) => last !== null && last.day >= day)) return new TidegateError('billing_day_closed', `${day}${app === null ? '' : ` of ${app}`} is closed`);
  const next = account?.next ?? null;
  return new TidegateError('billing_day_open', next !== null && next.day < day ? `${next.day} of ${app ?? 'each app'} is closed before it` : `${day} is no day that can be closed yet`);
}
