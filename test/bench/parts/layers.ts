/** What each layer of policies adds to a request. */
import { LAYERS } from '../peers/layers.js';
import type { Part, Sizes } from '../part.js';
import { nginxPeer } from '../peers/nginx.js';
import { proxyContext, REQUEST_PATH_PROGRAMS, runRounds, startPeers, type RoundPlan } from '../request-path.js';
import { layersTable, notes } from '../request-path-report.js';

const ROUNDS: Sizes<RoundPlan> = { full: { rounds: 5, seconds: 2 }, quick: { rounds: 2, seconds: 1 } };

export const layersPart: Part = {
  name: 'layers',
  programs: REQUEST_PATH_PROGRAMS,
  missing: () => null,
  run: async ({ size, folder, tools }) => {
    const { arms, leftOut } = await startPeers([...LAYERS, nginxPeer], await proxyContext(folder, tools), tools);
    await runRounds(arms, ROUNDS[size], tools);
    const layers = arms.filter(({ peer }) => peer !== nginxPeer);
    const nginx = arms.find(({ peer }) => peer === nginxPeer) ?? null;
    return [...(layers.length === 0 ? [] : [layersTable(layers, nginx)]), ...notes(arms, leftOut)];
  },
};
