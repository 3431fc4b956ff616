/**
 * A line of JSON: an object with fields as nginx's `log_format … escape=json`, and other servers, name them. Of each kind the first that is there counts. What decides
 * a unit is the name: `request_time` is in seconds, as nginx has it, `…_ms` in milliseconds, `…_us` in microseconds.
 */
import type { ClfClock } from './log-time.js';
import { inBounds, parseLogTime } from './log-time.js';
import type { BadLine, LogRow } from './log-row.js';

export const JSON_FIELDS = {
  time: ['time_iso8601', 'time', 'timestamp', '@timestamp', 'ts', 'msec', 'time_local', 'datetime'],
  status: ['status', 'status_code', 'http_status', 'response_status'],
  client: ['remote_addr', 'client_ip', 'remote_ip', 'clientip', 'client', 'ip'],
  method: ['request_method', 'method', 'http_method', 'verb'],
  target: ['request_uri', 'uri', 'path', 'url'],
  /** `GET /a?b HTTP/1.1`, for what the fields above do not say. */
  line: ['request'],
  protocol: ['server_protocol', 'protocol', 'http_version'],
  bytesOut: ['body_bytes_sent', 'bytes_sent', 'bytes_out', 'response_size', 'size', 'bytes'],
  bytesIn: ['request_length', 'bytes_in', 'bytes_received', 'request_size'],
  durationS: ['request_time', 'duration_s', 'duration_seconds'],
  durationMs: ['request_time_ms', 'duration_ms', 'latency_ms', 'response_time_ms'],
  durationUs: ['duration_us', 'request_time_us'],
  upstreamS: ['upstream_response_time'],
  upstreamMs: ['upstream_response_time_ms', 'upstream_ms'],
  upstreamUs: ['upstream_us'],
  app: ['app'],
  route: ['route'],
} as const satisfies Readonly<Record<string, readonly string[]>>;

/** Names of apps and routes: what the store lays them together with is kept apart by line breaks. */
const NAME = /^[^\u0000-\u001f\u007f-\u009f\u2028\u2029\ud800-\udfff]{0,200}$/u;
const REQUEST_LINE = /^(\S+) (.*?)(?: (HTTP\/\S+))?$/;
const LONGEST_US = 1e15;
/** A duration of 0.000 is one, shorter than the log can say; in an event 0 says that there is none, and so does what the rollups cannot tell from it. */
const SHORTEST_US = 2;

/** Fills the row from text[start] to text[end]. Null: it is a line of the log; else why not. */
export function parseJsonLine(text: Buffer, start: number, end: number, row: LogRow, clock: ClfClock): BadLine | null {
  row.clear();
  let line: Record<string, unknown>;
  try {
    const value: unknown = JSON.parse(text.toString('utf8', start, end));
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'no JSON object';
    line = value as Record<string, unknown>;
  } catch {
    return 'no JSON';
  }
  const time = find(line, JSON_FIELDS.time);
  if (time === undefined) return `no time: one of ${JSON_FIELDS.time.join(', ')}`;
  const timeMs = parseLogTime(time, clock);
  if (Number.isNaN(timeMs)) return 'its time is none that names its zone, and no seconds or milliseconds since 1970';
  if (!inBounds(timeMs)) return 'its time lies before 1971 or after 2099';
  const said = find(line, JSON_FIELDS.status);
  const status = said === '-' ? 0 : number(said);
  if (!Number.isInteger(status) || status < 0 || status > 999) return `no status: a number in one of ${JSON_FIELDS.status.join(', ')}`;
  const app = find(line, JSON_FIELDS.app);
  const route = find(line, JSON_FIELDS.route);
  if (!isName(app) || !isName(route)) return 'its app or route is no name';

  row.timeMs = timeMs;
  row.status = status;
  row.bytesOut = amount(number(find(line, JSON_FIELDS.bytesOut)), Number.MAX_SAFE_INTEGER);
  row.bytesIn = amount(number(find(line, JSON_FIELDS.bytesIn)), Number.MAX_SAFE_INTEGER);
  row.durationUs = microseconds(line, JSON_FIELDS.durationS, JSON_FIELDS.durationMs, JSON_FIELDS.durationUs);
  row.upstreamUs = Math.min(row.durationUs, microseconds(line, JSON_FIELDS.upstreamS, JSON_FIELDS.upstreamMs, JSON_FIELDS.upstreamUs));
  row.setClient(words(find(line, JSON_FIELDS.client)));
  const whole = find(line, JSON_FIELDS.line);
  const request = typeof whole === 'string' ? REQUEST_LINE.exec(whole) : null;
  row.setMethod(words(find(line, JSON_FIELDS.method) ?? request?.[1]));
  row.setTarget(words(find(line, JSON_FIELDS.target) ?? request?.[2]));
  const protocol = words(find(line, JSON_FIELDS.protocol) ?? request?.[3]);
  if (protocol !== '') row.setProtocol(protocol);
  if (app !== undefined) row.setApp(app);
  if (route !== undefined) row.setRoute(route);
  return null;
}

function find(line: Readonly<Record<string, unknown>>, names: readonly string[]): unknown {
  for (const name of names) {
    const value = Object.hasOwn(line, name) ? line[name] : undefined;
    if (value !== undefined && value !== null && value !== '') return value;
  }
  return undefined;
}

const isName = (value: unknown): value is string | undefined => value === undefined || (typeof value === 'string' && NAME.test(value));
const words = (value: unknown): string => (typeof value === 'string' ? value : '');
const number = (value: unknown): number => (typeof value === 'number' ? value : typeof value === 'string' && value.trim() !== '' ? Number(value) : Number.NaN);
const amount = (value: number, most: number): number => (value > 0 && value <= most ? Math.round(value) : 0);

function microseconds(line: Readonly<Record<string, unknown>>, seconds: readonly string[], milliseconds: readonly string[], micro: readonly string[]): number {
  for (const [names, scale] of [[micro, 1], [milliseconds, 1000], [seconds, 1_000_000]] as const) {
    const value = find(line, names);
    if (value === undefined) continue;
    const us = sumOf(value) * scale;
    return us >= 0 && us < SHORTEST_US ? SHORTEST_US : amount(us, LONGEST_US);
  }
  return 0;
}

/** nginx names the time of each upstream that it asked: `0.120, 0.004 : 0.200`; of one that it did not reach, `-`. NaN: there is no time in it. */
function sumOf(value: unknown): number {
  if (typeof value !== 'string') return number(value);
  const times = value.split(/[,:]/).map((part) => part.trim()).filter((part) => part !== '-' && part !== '').map(Number);
  return times.length === 0 ? Number.NaN : times.reduce((sum, time) => sum + time, 0);
}
