/** The collector alone, from a spool. */
import { benchCollector, collectorMissing, collectorTable } from '../collector-bench.js';
import type { Part, Sizes } from '../part.js';

const EVENTS: Sizes<number> = { full: 2_000_000, quick: 400_000 };

export const collectorPart: Part = {
  name: 'collector',
  programs: [],
  missing: collectorMissing,
  run: async ({ size, folder, tools: { processes, say } }) => [collectorTable([
    await benchCollector(processes, folder, 'wide', EVENTS[size], say),
    // for its bytes on disk: an event of a small deployment holds less noise
    await benchCollector(processes, folder, 'narrow', EVENTS[size] / 4, say),
  ])],
};
