/** Reports, panels and a billing day, asked of a store of 90 days. The 100,000,000 events have an entry of their own: queries/main.ts. */
import { collectorMissing } from '../collector-bench.js';
import type { Part, Sizes } from '../part.js';
import { QUERIES_FULL, QUERIES_QUICK, queriesSections, queriesTools, type QueriesPlan } from '../queries/queries-bench.js';

const PLANS: Sizes<QueriesPlan> = { full: QUERIES_FULL, quick: QUERIES_QUICK };

export const queriesPart: Part = {
  name: 'queries',
  programs: [],
  missing: collectorMissing,
  run: ({ size, folder, tools: { processes, say } }) => queriesSections(PLANS[size], queriesTools(processes, folder, say)),
};
