/**
 * Which notices there were, and which of them are settled: one JSON line a change, in one file under data_dir. A notice is noted before it is sent and again when it was, so a supervisor that
 * is killed in between sends it again, under the same id. Not flushed to disk: after a power cut the count is known anew, and what it has reached is told again, under the same ids.
 *
 *   {"id":"qpd.acme.2026-11-21.80.1000","at":1763712000000,"notice":{…},"used":800}     due
 *   {"id":"qpd.acme.2026-11-21.80.1000","settled":true}
 */
import { appendFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { QuotaUse } from '../quota-use/quota-use.js';
import type { Notice } from '../quota-use/shared-use.js';

export interface Noted {
  readonly id: string;
  /** When it was noticed, ms since the epoch. */
  readonly at: number;
  readonly notice: Notice & Pick<QuotaUse, 'timeZone' | 'over'>;
  readonly used: number;
}

export interface NotesLog { error(fields: object, message: string): void }

/** Longer than any day of a quota, so that nothing of a day under way is forgotten. */
const KEEP_MS = 4 * 86_400_000;
const TIDY_EVERY_MS = 3_600_000;

interface Line extends Partial<Noted> { readonly settled?: true }

export class WebhookNotes {
  readonly #path: string;
  readonly #log: NotesLog;
  readonly #notes = new Map<string, { readonly noted: Noted; settled: boolean }>();
  #tidyAtMs = 0;
  #failing = false;

  constructor(path: string, log: NotesLog) {
    this.#path = path;
    this.#log = log;
    const text = readText(path);
    for (const line of readLines(text)) this.#apply(line);
    // what is written next begins a line of its own
    if (text !== '' && !text.endsWith('\n')) this.#write(() => { appendFileSync(path, '\n'); });
  }

  has(id: string): boolean { return this.#notes.has(id); }

  get due(): readonly Noted[] {
    return [...this.#notes.values()].filter(({ settled }) => !settled).map(({ noted }) => noted);
  }

  note(noted: Noted): void {
    this.#apply(noted);
    this.#append(noted);
  }

  settle(id: string): void {
    this.#apply({ id, settled: true });
    this.#append({ id, settled: true });
  }

  /** Forgets what is long over, once an hour. @param nowMs ms since the epoch */
  tidy(nowMs: number): void {
    if (nowMs < this.#tidyAtMs) return;
    this.#tidyAtMs = nowMs + TIDY_EVERY_MS;
    for (const [id, { noted, settled }] of this.#notes) if (settled && nowMs - noted.at > KEEP_MS) this.#notes.delete(id);
    if (this.#notes.size === 0 && !this.#failing) return;
    this.#write(() => {
      const lines = [...this.#notes.values()].flatMap(({ noted, settled }): Line[] => (settled ? [noted, { id: noted.id, settled: true }] : [noted]));
      writeFileSync(`${this.#path}.new`, lines.map((line) => `${JSON.stringify(line)}\n`).join(''), { mode: 0o600 });
      renameSync(`${this.#path}.new`, this.#path);
    });
  }

  #apply(line: Line): void {
    const known = line.id === undefined ? undefined : this.#notes.get(line.id);
    if (line.settled === true) {
      if (known !== undefined) known.settled = true;
    } else if (known === undefined && isNoted(line)) this.#notes.set(line.id, { noted: line, settled: false });
  }

  #append(line: Line): void {
    this.#write(() => { appendFileSync(this.#path, `${JSON.stringify(line)}\n`, { mode: 0o600 }); });
  }

  /** What cannot be written is known until the supervisor ends; the next hour writes all of it. */
  #write(write: () => void): void {
    try {
      mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
      write();
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) this.#log.error({ err: error, code: 'ledger_write_failed' }, 'webhooks cannot be noted: after a restart they may be sent again');
      this.#failing = true;
    }
  }
}

function isNoted(line: Line): line is Noted {
  return typeof line.id === 'string' && typeof line.at === 'number' && typeof line.used === 'number' && typeof line.notice?.app === 'string';
}

/** '': there is none. */
function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

/** A torn last line, of a write that was cut off, is no line. */
function readLines(text: string): Line[] {
  return text.split('\n').flatMap((line): Line[] => {
    try {
      const parsed: unknown = JSON.parse(line);
      return typeof parsed === 'object' && parsed !== null ? [parsed] : [];
    } catch {
      return [];
    }
  });
}
