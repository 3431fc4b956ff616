/** A request that went well at its first target. */
import { randomId } from './random-id.js';
import type { TracedRequest } from './traced-request.js';

export function tracedRequest(more: Partial<TracedRequest> = {}): TracedRequest {
  return {
    traceId: randomId(16), spanId: randomId(8), parentId: '', state: '', sampledBy: 'ratio', endMs: 1_795_000_000_000.25, durationUs: 2500, requestId: '0123456789abcdef-7',
    method: 'GET', scheme: 'http', path: '', authority: 'api.example.com', userAgent: '', protocolVersion: '1.1', pattern: '/products/:id', route: 'product', service: 'shop', app: 'acme',
    configVersion: '0123456789ab', status: 200, outcome: 'answered',
    attempts: [{ spanId: randomId(8), target: 'http://127.0.0.1:9001', beganUs: 100, durationUs: 2000, status: 200, failure: '' }], ...more,
  };
}
