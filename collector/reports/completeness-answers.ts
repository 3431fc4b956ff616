/**
 * Completeness as it is told: judged in the line of reports, for it reads the store as they do; good for a second, so that a page which
 * polls costs nothing; and without the other apps' numbers where an app asks.
 */
import type { Principal } from './principal.js';
import type { Asker, ReportStore } from './report-store.js';

export interface Verdict {
  readonly complete: boolean;
  /** Why not: a sentence each, with streams, nodes and counts of all apps. */
  readonly reasons: readonly string[];
  /** Events dropped because the spool was full, by app. */
  readonly dropped?: readonly { readonly app: string; readonly count: number }[];
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
  /** Of [fromMs, toMs). */
  judge(fromMs: number, toMs: number): Promise<Judged>;
  nowMs(): number;
}

export class CompletenessAnswers {
  readonly #deps: CompletenessDeps;
  /** By range. */
  readonly #fresh = new Map<string, { readonly askedMs: number; readonly atMs: number; readonly answer: CompletenessAnswer }>();

  constructor(deps: CompletenessDeps) {
    this.#deps = deps;
  }

  /** @throws report_busy; the signal's reason; what the store throws */
  async of(fromMs: number, toMs: number, asker: Asker): Promise<CompletenessAnswer> {
    const range = `${fromMs}-${toMs}`;
    // looked at again when the turn has come: of many who ask for a range at once, the first has it judged
    return this.#known(range, toMs) ?? this.#deps.line.turn(asker, async () => this.#known(range, toMs) ?? this.#judge(range, fromMs, toMs));
  }

  async #judge(range: string, fromMs: number, toMs: number): Promise<CompletenessAnswer> {
    const askedMs = this.#deps.nowMs();
    const asOf = new Date(this.#deps.asOfMs()).toISOString();
    const answer = { as_of: asOf, ...await this.#deps.judge(fromMs, toMs) };
    this.#fresh.set(range, { askedMs, atMs: this.#deps.nowMs(), answer });
    return answer;
  }

  #known(range: string, toMs: number): CompletenessAnswer | null {
    const nowMs = this.#deps.nowMs();
    for (const [key, { atMs }] of this.#fresh) if (nowMs - atMs >= FRESH_MS || nowMs < atMs) this.#fresh.delete(key);
    const known = this.#fresh.get(range);
    // of a time under way less is asked than of one that is over
    return known === undefined || (known.askedMs < toMs && toMs <= nowMs) ? null : known.answer;
  }
}

const NOT_WHOLE = 'Something of this time is missing, or not proven to be there; the operator can see what.';

/** The operator is told all; an app whether the record is whole, and what of its own was dropped. */
export function toldTo(principal: Principal, { complete, reasons, dropped = [] }: Verdict): Required<Verdict> {
  if (principal.kind === 'operator') return { complete, reasons, dropped };
  const own = dropped.filter(({ app }) => app === principal.app);
  const sentences = own.map(({ count }) => `${count} events of this app were dropped: its requests were answered, and not recorded.`);
  return { complete, reasons: complete ? [] : [NOT_WHOLE, ...sentences], dropped: own };
}
