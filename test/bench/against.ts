/** `--against REVISION`: the request path of this tree beside that of another revision of it, in pairs. */
import { join } from 'node:path';
import type { PartContext, Sizes } from './part.js';
import { revisionPeer, tidegatePeer } from './peers/tidegate.js';
import { proxyContext, runPairs, startPeers, type RoundPlan } from './request-path.js';
import { againstTable, notes } from './request-path-report.js';
import { buildRevision } from './revision.js';

/** What two revisions differ by is mostly little. */
const PAIRS: Sizes<RoundPlan> = { full: { rounds: 15, seconds: 2 }, quick: { rounds: 3, seconds: 1 } };

/** @throws Error: one of the two cannot be built or started */
export async function benchAgainst(revision: string, { size, folder, tools }: PartContext): Promise<string[]> {
  const other = join(folder, 'revision');
  tools.say(`building ${revision}`);
  buildRevision(revision, other);
  const { arms, leftOut } = await startPeers([tidegatePeer, revisionPeer(revision, other)], await proxyContext(folder, tools), tools);
  const [own, before] = arms;
  if (own === undefined || before === undefined) throw new Error(notes(arms, leftOut).join('\n'));
  await runPairs(own, before, PAIRS[size], tools);
  return [againstTable(own, before), ...notes(arms, leftOut)];
}
