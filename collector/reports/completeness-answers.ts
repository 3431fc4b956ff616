/**
 * Completeness as it is told: judged in the line of reports, for it reads the store as they do; good for a second, so that a page which
 * polls costs nothing; and without the other apps' numbers where an app asks.
 */
import type { Principal } from './principal.js';
import type { Span } from '../completeness/completeness.js';
import type { Asker, ReportStore } from './report-store.js';

export interface Verdict {
  readonly complete: boolean;
  /** Why not: a sentence each, with streams, nodes and counts of all apps. */
  readonly reasons: readonly string[];
  /** Events dropped because the spool was full, by app. */
  readonly dropped?: readonly { readonly app: string; readonly count: number }[];
  /** RFC 3339: since when there is a record. Null: there is none yet; absent: not known. */
  readonly recorded_from?: string | null;
}

export interface Judged extends Verdict {
  /** Every stream with a part in the range. */
  readonly streams: readonly unknown[];
}

export interface CompletenessAnswer extends Judged {
  /** RFC 3339: all that was recorded before it is stored, and judged. */
  readonly as_of: string;
}

/** How long an answer is good for. */
const FRESH_MS = 1000;

export interface CompletenessDeps {
  readonly line: ReportStore;
  /** ms since the epoch; everything recorded before it is stored. */
  asOfMs(): number;
  /** Of each of these times, which follow each other. */
  judge(spans: readonly Span[]): Promise<readonly Judged[]>;
  nowMs(): number;
}

export class CompletenessAnswers {
  readonly #deps: CompletenessDeps;
  /** By range, or ranges. */
  readonly #fresh = new Map<string, { readonly askedMs: number; readonly atMs: number; readonly answers: readonly CompletenessAnswer[] }>();

  constructor(deps: CompletenessDeps) {
    this.#deps = deps;
  }

  /** @throws report_busy; the signal's reason; what the store throws */
  async of(fromMs: number, toMs: number, asker: Asker): Promise<CompletenessAnswer> {
    const [only] = await this.ofEach([{ fromMs, toMs }], asker);
    return only as CompletenessAnswer;
  }

  /** @param spans one or more, ascending. @throws as of() */
  async ofEach(spans: readonly Span[], asker: Asker): Promise<readonly CompletenessAnswer[]> {
    const key = spans.map(({ fromMs, toMs }) => `${fromMs}-${toMs}`).join();
    // looked at again when the turn has come: of many who ask for a range at once, the first has it judged
    return this.#known(key, spans) ?? this.#deps.line.turn(asker, async () => this.#known(key, spans) ?? this.#judge(key, spans));
  }

  async #judge(key: string, spans: readonly Span[]): Promise<readonly CompletenessAnswer[]> {
    const askedMs = this.#deps.nowMs();
    const asOf = new Date(this.#deps.asOfMs()).toISOString();
    const answers = (await this.#deps.judge(spans)).map((judged) => ({ as_of: asOf, ...judged }));
    this.#fresh.set(key, { askedMs, atMs: this.#deps.nowMs(), answers });
    return answers;
  }

  #known(key: string, spans: readonly Span[]): readonly CompletenessAnswer[] | null {
    const nowMs = this.#deps.nowMs();
    for (const [each, { atMs }] of this.#fresh) if (nowMs - atMs >= FRESH_MS || nowMs < atMs) this.#fresh.delete(each);
    const known = this.#fresh.get(key);
    // of a time under way less is asked than of one that is over
    return known === undefined || spans.some(({ toMs }) => known.askedMs < toMs && toMs <= nowMs) ? null : known.answers;
  }
}

/** False: a time was over when the record began, or has not begun. */
export function isRecorded({ recorded_from: since }: Pick<Verdict, 'recorded_from'>, { fromMs, toMs }: Span, nowMs: number): boolean {
  return fromMs <= nowMs && (since === undefined || (since !== null && Date.parse(since) < toMs));
}

const NOT_WHOLE = 'Something of this time is missing, or not proven to be there; the operator can see what.';

/** The operator is told all; an app whether the record is whole, and what of its own was dropped. */
export function toldTo(principal: Principal, { complete, reasons, dropped = [] }: Verdict): Required<Omit<Verdict, 'recorded_from'>> {
  if (principal.kind === 'operator') return { complete, reasons, dropped };
  const own = dropped.filter(({ app }) => app === principal.app);
  const sentences = own.map(({ count }) => `${count} events of this app were dropped: its requests were answered, and not recorded.`);
  return { complete, reasons: complete ? [] : [NOT_WHOLE, ...sentences], dropped: own };
}
