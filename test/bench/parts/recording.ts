/** What recording adds to a request, and the metrics alone, by the data path alone. */
import type { Part, Sizes } from '../part.js';
import { dataPathPeer, type LeftOut } from '../peers/recording.js';
import { proxyContext, REQUEST_PATH_PROGRAMS, runPairs, startPeers, type Arm, type RoundPlan, type Sample } from '../request-path.js';
import { notes, recordingTable } from '../request-path-report.js';

const PAIRS: Sizes<RoundPlan> = { full: { rounds: 4, seconds: 3 }, quick: { rounds: 2, seconds: 1 } };
/** Processes of each arm: what V8 makes of the same code differs from one to the next. */
const LIVES: Sizes<number> = { full: 4, quick: 2 };

const LEFT_OUT: readonly LeftOut[] = ['nothing', 'recording', 'metrics'];

export const recordingPart: Part = {
  name: 'recording',
  programs: REQUEST_PATH_PROGRAMS,
  missing: () => null,
  run: async ({ size, folder, tools }) => {
    const lives = Array.from({ length: LIVES[size] }, (_, i) => i + 1);
    const { arms, leftOut } = await startPeers(lives.flatMap((life) => LEFT_OUT.map((left) => dataPathPeer(left, life))), await proxyContext(folder, tools), tools);
    if (leftOut.length > 0) return notes(arms, leftOut);
    const tables: string[] = [];
    for (const [at, left] of LEFT_OUT.entries()) {
      if (left === 'nothing') continue;
      const whole: Sample[] = [];
      const without: Sample[] = [];
      for (const life of lives.keys()) {
        const own = arms.slice(life * LEFT_OUT.length);
        const [one, other] = [{ ...own[0] as Arm, samples: [] }, { ...own[at] as Arm, samples: [] }];
        await runPairs(one, other, PAIRS[size], tools);
        whole.push(...one.samples);
        without.push(...other.samples);
      }
      tables.push(recordingTable(left, whole, without, lives.length));
    }
    return [tables.join('\n\n'), ...notes(arms, [])];
  },
};
