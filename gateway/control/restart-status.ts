/** How the last `tidegate restart` went: the launcher tells each supervisor, which shows it in `GET /v1/status`. */
import type { ErrorCode } from '../../errors/codes.js';

export interface RestartStatus {
  /** 1 for the first since the launcher's start. */
  readonly number: number;
  /** `failed`: processes that were not replaced go on as they were. */
  readonly state: 'running' | 'done' | 'failed';
  /** RFC 3339. */
  readonly started_at: string;
  readonly ended_at: string | null;
  /** In the order in which they were replaced: `collector`, `supervisor`, `worker 1`. */
  readonly replaced: readonly string[];
  /** What is under way, in words; null: nothing any more. */
  readonly step: string | null;
  /** Why it failed. */
  readonly fault: { readonly code: ErrorCode; readonly detail: string } | null;
}

/** How far one under way is, in words: its step, since when, and what is done. */
export function restartProgress({ started_at: started, step, replaced }: Pick<RestartStatus, 'started_at' | 'step' | 'replaced'>): string {
  return `${step === null ? '' : `${step}; `}since ${started.slice(0, 19)}Z, replaced: ${replaced.join(', ') || 'nothing yet'}`;
}
