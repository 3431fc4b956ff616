/** What a node adds to the collector's live numbers: requests under way at its workers, and today's count against each quota. */
import { Transform } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import type { NodeLive } from './control-deps.js';

/** The collector's answer, or an event of its stream, with this node's part. What is no object of numbers stays as it is. */
export function withNodeLive(text: string, live: NodeLive): string {
  const numbers = JSON.parse(text) as unknown;
  return typeof numbers === 'object' && numbers !== null ? JSON.stringify({ ...numbers, ...live }) : text;
}

const EVENT = /^data: (.*)$/s;

/** Server-sent events, each with this node's part of its moment; comment lines pass. */
export function eventsWithNodeLive(live: () => Promise<NodeLive>): Transform {
  let rest = '';
  const decoder = new StringDecoder();
  return new Transform({
    decodeStrings: false,
    transform(chunk: Buffer | string, _encoding, done) {
      const events = (rest + (typeof chunk === 'string' ? chunk : decoder.write(chunk))).split('\n\n');
      rest = events.pop() ?? '';
      if (events.length === 0) return done();
      live().then((now) => events.map((event) => {
        const data = EVENT.exec(event)?.[1];
        return `${data === undefined ? event : `data: ${withNodeLive(data, now)}`}\n\n`;
      }).join('')).then((text) => { done(null, text); }, done);
    },
  });
}

/** Adds up what the workers have under way. @param app only this one's; null: all, and what belongs to none */
export function sumInFlight(gauges: readonly (readonly [service: string, app: string, count: number])[], app: string | null): NodeLive['in_flight'] {
  const services = new Map<string, number>();
  const apps = new Map<string, number>();
  let site = 0;
  for (const [service, of, count] of gauges) {
    if (app !== null && of !== app) continue;
    site += count;
    if (service !== '') services.set(service, (services.get(service) ?? 0) + count);
    if (of !== '') apps.set(of, (apps.get(of) ?? 0) + count);
  }
  return { site, services: inOrder(services), apps: inOrder(apps) };
}

function inOrder(counts: ReadonlyMap<string, number>): Record<string, number> {
  // fromEntries defines own properties: a service named __proto__ is a name like any other
  return Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
}
