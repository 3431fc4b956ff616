/** Tidegate with everything on, and with so much of its traffic traced. The upstream, nginx, takes the spans too: it answers 200 to whatever is posted. */
import { everythingOn, type NodePeer } from './tidegate.js';

export const UNTRACED = 'not traced';

/** @param share of requests that are sampled; 0: there is no tracing at all */
export function tracedPeer(name: string, share: number): NodePeer {
  return everythingOn(name, `tracing-${share * 100}`, null, ({ upstream }) => (share === 0 ? {} : { tracing: { otlp: { url: upstream }, ratio: share } }));
}
