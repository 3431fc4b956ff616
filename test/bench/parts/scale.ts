/** One request among many routes and apps beside one among few. */
import type { Part, Sizes } from '../part.js';
import { scalePeer } from '../peers/tidegate.js';
import { proxyContext, REQUEST_PATH_PROGRAMS, runPairs, startPeers, type Arm, type RoundPlan } from '../request-path.js';
import { notes, scaleTable, type ScaleRow } from '../request-path-report.js';
import { ratios } from '../statistics.js';

const PAIRS: Sizes<RoundPlan> = { full: { rounds: 7, seconds: 2 }, quick: { rounds: 2, seconds: 1 } };
const FEW = scalePeer(10, 10);
const MANY = [scalePeer(10_000, 10_000), scalePeer(10, 100_000)];

export const scalePart: Part = {
  name: 'scale',
  programs: REQUEST_PATH_PROGRAMS,
  missing: () => null,
  run: async ({ size, folder, tools }) => {
    const { arms, leftOut } = await startPeers([FEW, ...MANY], await proxyContext(folder, tools), tools);
    const few = arms.find(({ peer }) => peer === FEW);
    if (few === undefined) return notes(arms, leftOut);
    const rows: ScaleRow[] = [];
    for (const arm of arms.filter((other) => other !== few)) {
      const beside: Arm = { ...few, samples: [] };
      await runPairs(arm, beside, PAIRS[size], tools);
      few.samples.push(...beside.samples);
      rows.push({ arm, timesFew: ratios(arm.samples.map((s) => s.cpuUs), beside.samples.map((s) => s.cpuUs)), reload: await reload(arm) });
    }
    if (rows.length === 0) return notes(arms, leftOut);
    return [scaleTable([{ arm: few, timesFew: [], reload: await reload(few) }, ...rows]), ...notes(arms, leftOut)];
  },
};

/** As the table shows it: a reload that fails costs no other figure. */
async function reload({ running }: Arm): Promise<string> {
  try {
    return (await running.reload?.())?.toFixed(2) ?? '';
  } catch {
    return 'failed';
  }
}
