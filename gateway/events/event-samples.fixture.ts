/** Made-up events, for tests and measurements. */
import { METHODS, PROTOCOLS, outcomeId, KINDS, type EventFacts } from './event.js';
import { encodeLabels } from './labels.js';
import { NOT_REFUSED } from './refusals.js';
import type { SpoolLog } from './spool-log.js';

export interface Names { readonly version: string; readonly service: string; readonly route: string; readonly app: string; readonly target: string }

export const SAMPLE_NAMES: Names = { version: '3f2a9c01b7de', service: 'catalogue', route: 'products', app: 'acme', target: 'http://127.0.0.1:9001' };

/** An ordinary event; `changes` and names in place of its own. */
export function sampleFacts(ordinal: number, changes: Partial<EventFacts> = {}, names: Partial<Names> = {}): EventFacts {
  const { version, service, route, app, target } = { ...SAMPLE_NAMES, ...names };
  return {
    ordinal, timeMs: 1_795_260_000_000 + ordinal, durationUs: 1234 + ordinal, upstreamUs: 1000, bytesIn: 0, bytesOut: 4321, status: 200,
    methodId: METHODS.GET, outcomeId: outcomeId('answered'), protocolId: PROTOCOLS['http/1.1'], kindId: KINDS.request,
    requests: 1, counted: 1, billable: 1, attempts: 1,
    versionLabel: encodeLabels(version), routeLabel: encodeLabels(service, route), appLabel: encodeLabels(app), appName: app, targetLabel: encodeLabels(target),
    client: '203.0.113.0', recordedPath: '/products/*', traceId: '', refusalLabel: NOT_REFUSED,
    ...changes,
  };
}

export const NOTHING_HELD = { release(): void { /* nothing waits for the row */ } };

export interface LogLine { readonly level: 'info' | 'warn' | 'error'; readonly fields: object; readonly message: string }

/** Keeps what is logged. */
export class KeptLog implements SpoolLog {
  readonly lines: LogLine[] = [];

  info(fields: object, message: string): void {
    this.lines.push({ level: 'info', fields, message });
  }

  warn(fields: object, message: string): void {
    this.lines.push({ level: 'warn', fields, message });
  }

  error(fields: object, message: string): void {
    this.lines.push({ level: 'error', fields, message });
  }
}
