/** A gap that only an operator knows of: a disk's snapshot was put back, which nothing in it tells from a crash. */
import { InvalidParameterError } from '../../errors/invalid-parameter.js';
import { durationMs } from '../config/units.js';
import type { DeclaredGap } from '../control/control-deps.js';
import { putGap } from '../events/gap-stream.js';
import { spoolDirOf, type ConfigInForce } from './run-files.js';

/**
 * Notes that requests which this node answered in [fromMs, toMs] may be missing. The same again is the same gap. It cannot be taken back, so what is likely a slip is refused.
 * @throws invalid_parameter; what the file system says
 */
export function declareGap({ config, dataDir }: ConfigInForce, { fromMs, toMs }: { readonly fromMs: number; readonly toMs: number }, nowMs: number, log: { warn(fields: object, message: string): void }): DeclaredGap {
  const { events, minutes, quarter_hours: quarters } = config.store.keep;
  const keptFromMs = nowMs - Math.max(...[events, minutes, quarters].map(durationMs));
  if (toMs > nowMs) throw new InvalidParameterError('to', `${iso(toMs)} is in the future; it is ${iso(nowMs)}`);
  if (fromMs >= toMs) throw new InvalidParameterError('from', `${iso(fromMs)} is not before to, ${iso(toMs)}; without to, the gap ends when this node was started`);
  if (fromMs < keptFromMs) throw new InvalidParameterError('from', `${iso(fromMs)} is before ${iso(keptFromMs)}, and nothing is kept for longer`);
  const node = config.node ?? '';
  const gap = { node, from: iso(fromMs), to: iso(toMs) };
  const stream = putGap(spoolDirOf(dataDir), { node, fromMs, toMs }, ['declared', gap.from, gap.to]);
  log.warn({ stream, from: gap.from, to: gap.to }, 'a gap was declared: what was answered in it may be missing, and its days do not close by themselves');
  return { stream, ...gap };
}

const iso = (ms: number): string => new Date(ms).toISOString();
