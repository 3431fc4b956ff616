/** A ramp to three times what saturates Tidegate, and back: what is still answered, and how soon it is as it was. */
import type { Part, Sizes } from '../part.js';
import { tidegatePeer } from '../peers/tidegate.js';
import { rssBytes, untilQuiet } from '../proc-cpu.js';
import { overloadMarks, overloadTable, type OverloadStep } from '../rate/overload-report.js';
import { runAtRate } from '../rate/run-at-rate.js';
import { proxyContext, REQUEST_PATH_PROGRAMS, runRounds, startPeers, type RoundPlan } from '../request-path.js';
import { notes } from '../request-path-report.js';
import { spreadOf } from '../statistics.js';

const SATURATION: Sizes<RoundPlan> = { full: { rounds: 3, seconds: 3 }, quick: { rounds: 1, seconds: 2 } };
const STEP_SECONDS: Sizes<number> = { full: 5, quick: 2 };
/** Seconds of the calm afterwards, each a step of its own. */
const AFTERWARDS = 8;
/** As many as one address may open. */
const CONNECTIONS = 1000;
/** Whoever finds no connection free goes after a second. */
const PATIENCE_MS = 1000;
const SAMPLE_EVERY_MS = 250;
const QUIET_WITHIN_MS = 8000;

const CALM = 1 / 2;
const RAMP = [CALM, 1, 2, 3, 2, 1] as const;

export const overloadPart: Part = {
  name: 'overload',
  programs: REQUEST_PATH_PROGRAMS,
  missing: () => null,
  run: async ({ size, folder, tools }) => {
    const { arms, leftOut } = await startPeers([tidegatePeer], await proxyContext(folder, tools), tools);
    const [arm] = arms;
    if (arm === undefined) return notes(arms, leftOut);
    await runRounds([arm], SATURATION[size], tools);
    const saturating = spreadOf(arm.samples.map(({ rps }) => rps)).median;
    await untilQuiet(arm.running.all, QUIET_WITHIN_MS);
    const plan = [...RAMP.map((times) => ({ times, seconds: STEP_SECONDS[size] })), ...Array.from({ length: AFTERWARDS }, () => ({ times: CALM, seconds: 1 }))];
    tools.say(`a ramp to ${Math.round(saturating * Math.max(...RAMP))} requests/s`);
    const { url, headers } = arm.load;
    const memory = { before: rssBytes(arm.running.own()), most: 0, after: 0 };
    const sampling = setInterval(() => { memory.most = Math.max(memory.most, rssBytes(arm.running.own())); }, SAMPLE_EVERY_MS);
    const steps = plan.map(({ times, seconds }) => ({ rate: Math.max(1, Math.round(saturating * times)), seconds }));
    const figures = await runAtRate(tools, { url, headers, steps, connections: CONNECTIONS, patienceMs: PATIENCE_MS }).finally(() => { clearInterval(sampling); });
    await untilQuiet(arm.running.all, QUIET_WITHIN_MS);
    memory.after = rssBytes(arm.running.own());
    const measured: OverloadStep[] = figures.map((ofStep, i) => ({ ...plan[i] as { times: number; seconds: number }, ...ofStep }));
    return [overloadTable(measured.slice(0, RAMP.length), saturating), overloadMarks(measured, RAMP.length, memory), ...notes(arms, leftOut)];
  },
};
