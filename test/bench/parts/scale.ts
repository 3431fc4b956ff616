/** One request among many routes and apps beside one among few. */
import type { Part, Sizes } from '../part.js';
import { scalePeer } from '../peers/tidegate.js';
import { proxyContext, REQUEST_PATH_PROGRAMS, runPairs, startPeers, type RoundPlan } from '../request-path.js';
import { notes, scaleTable } from '../request-path-report.js';

const PAIRS: Sizes<RoundPlan> = { full: { rounds: 7, seconds: 2 }, quick: { rounds: 3, seconds: 1 } };

export const scalePart: Part = {
  name: 'scale',
  programs: REQUEST_PATH_PROGRAMS,
  missing: () => null,
  run: async ({ size, folder, tools }) => {
    const { arms, leftOut } = await startPeers([scalePeer(10), scalePeer(10_000)], await proxyContext(folder, tools), tools);
    const [few, many] = arms;
    if (few === undefined || many === undefined) return notes(arms, leftOut);
    await runPairs(many, few, PAIRS[size], tools);
    const reloads = [await few.running.reload?.() ?? Number.NaN, await many.running.reload?.() ?? Number.NaN] as const;
    return [scaleTable(few, many, reloads), ...notes(arms, leftOut)];
  },
};
