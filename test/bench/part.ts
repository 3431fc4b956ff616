/** A part of the bench: what it needs, and what it measures. Parts run one after the other, and by themselves with `--only`. */
import type { RequestPathTools } from './request-path.js';

export type Size = 'full' | 'quick';

export interface PartContext {
  readonly size: Size;
  /** The part's own, and empty. */
  readonly folder: string;
  readonly tools: RequestPathTools;
  /** A file for docs/, written when the report is. */
  readonly keep: (name: string, content: string) => void;
}

export interface Part {
  /** As `--only` takes it. */
  readonly name: string;
  /** Programs that the bench does not begin without, besides taskset. */
  readonly programs: readonly string[];
  /** Null: it can run here; else what the part is left out for. */
  readonly missing: () => string | null;
  /** The report's sections, markdown. What it has started may still run: the bench ends it. */
  readonly run: (context: PartContext) => Promise<string[]>;
}

/** How much a part does, by the size of the run. */
export type Sizes<T> = Readonly<Record<Size, T>>;
