/** The request path under other loads than the small GET: Tidegate with everything on, and nginx in the same rounds. */
import type { Part, Sizes } from '../part.js';
import { nginxPeer } from '../peers/nginx.js';
import { proxyContext, REQUEST_PATH_PROGRAMS, runRounds, startPeers, type Arm, type RoundPlan } from '../request-path.js';
import { notes } from '../request-path-report.js';
import { scenariosMark, scenariosTable, type ScenarioResult } from '../scenarios-report.js';
import { answeredWith, loadsOf, postScript, scenarioPeer, scenarios } from '../scenarios.js';

const ROUNDS: Sizes<RoundPlan> = { full: { rounds: 5, seconds: 2 }, quick: { rounds: 2, seconds: 1 } };

export const scenariosPart: Part = {
  name: 'scenarios',
  programs: REQUEST_PATH_PROGRAMS,
  missing: () => null,
  run: async ({ size, folder, tools }) => {
    const { peer, credentials } = scenarioPeer();
    const { arms, leftOut } = await startPeers([peer, nginxPeer], await proxyContext(folder, tools), tools);
    const [tidegate, nginx] = arms;
    if (tidegate === undefined || nginx === undefined) return notes(arms, leftOut);
    const results: ScenarioResult[] = [];
    const failures: string[] = [];
    for (const scenario of scenarios(postScript(folder))) {
      tools.say(scenario.words);
      const loads = loadsOf(scenario, [tidegate.running, nginx.running], credentials);
      try {
        for (const [i, load] of loads.entries()) await answeredWith(scenario.statuses[i as 0 | 1], load);
        const [own, other] = [{ ...tidegate, load: loads[0], samples: [] }, { ...nginx, load: loads[1], samples: [] }] as [Arm, Arm];
        await runRounds([own, other], ROUNDS[size], tools);
        if ([own, other].some(({ samples }) => samples.some(({ rps }) => rps === 0))) throw new Error('a round without an answer');
        results.push({ words: scenario.words, own, nginx: other });
        failures.push(...notes([own, other], []).map((note) => `${scenario.words}: ${note}`));
      } catch (error) {
        failures.push(`Left out: ${scenario.words} (${(error as Error).message.split('\n')[0] ?? ''}).`);
      }
    }
    return [scenariosTable(results), scenariosMark(results), ...failures];
  },
};
