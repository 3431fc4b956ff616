/**
 * The forms that a log line can have. Whoever logs knows one set of names (docs/logs.md); here they become those of others:
 *
 *   ecs    Elastic Common Schema 8: one object, `@timestamp`, `log.level`, `message`; what it has no name for is under `tidegate`
 *   otlp   OTLP's log data model as its file exporter writes it: one LogsData a line, which the Collector's receiver otlp_json_file reads
 *   text   for people
 *
 * Made here and not by pino's own formatters, because the form is known only when the configuration has been read, and loggers are there before.
 */
import pinoPretty from 'pino-pretty';
import type { LogSettings } from '../../gateway/supervisor/log-settings.js';
import type { LogLine } from './redact-line.js';

export type Format = NonNullable<LogSettings['format']>;
/** With the line's end. */
export type Form = (line: LogLine) => string;

const ECS_VERSION = '8.17.0';
/** Our name to theirs: ECS, then OpenTelemetry's semantic conventions. Null: under `tidegate`. */
const NAMES: Readonly<Record<string, readonly [ecs: string | null, otel: string | null]>> = {
  pid: ['process.pid', 'process.pid'],
  code: ['error.code', 'error.type'],
  request_id: ['http.request.id', null],
  method: ['http.request.method', 'http.request.method'],
  status: ['http.response.status_code', 'http.response.status_code'],
  host: ['url.domain', 'server.address'],
  path: ['url.path', 'url.path'],
  client: ['client.address', 'client.address'],
  user_agent: ['user_agent.original', 'user_agent.original'],
  referer: ['http.request.referrer', 'http.request.header.referer'],
  bytes_in: ['http.request.body.bytes', 'http.request.body.size'],
  bytes_out: ['http.response.body.bytes', 'http.response.body.size'],
};

export function formOf(format: Format, fields: Readonly<Record<string, string | number>>, colours: boolean): Form {
  switch (format) {
    case 'json': return (line) => `${JSON.stringify(line)}\n`;
    case 'ecs': return (line) => `${JSON.stringify(toEcs(line))}\n`;
    case 'otlp': return (line) => `${JSON.stringify(toOtlp(line))}\n`;
    case 'text': {
      // a line's own `worker` is the one it speaks of, and is shown with its other fields
      const ignore = fields['worker'] === undefined ? 'pid,role' : 'pid,role,worker';
      const pretty = pinoPretty.prettyFactory({ translateTime: 'SYS:HH:MM:ss.l', ignore, colorize: colours, messageFormat: `${fields['role'] ?? ''}${fields['worker'] ?? ''} {msg}` });
      return (line) => pretty(line) ?? '';
    }
  }
}

function toEcs({ time, level, msg, err, trace_id, ...fields }: LogLine): LogLine {
  const own: Record<string, unknown> = {};
  const line: Record<string, unknown> = {
    '@timestamp': time, 'log.level': level, message: msg, ecs: { version: ECS_VERSION }, service: { name: 'tidegate', type: 'tidegate' }, event: { dataset: 'tidegate.log' },
  };
  if (trace_id !== undefined) put(line, 'trace.id', trace_id);
  for (const [name, value] of Object.entries(fields)) {
    const theirs = nameIn(name, 'ecs');
    if (theirs === null) own[name] = value; else put(line, theirs, value);
  }
  // in nanoseconds there
  if (typeof fields['duration_us'] === 'number') put(line, 'event.duration', fields['duration_us'] * 1000);
  if (isMap(err)) for (const [theirs, value] of [['error.type', err['type']], ['error.message', err['message']], ['error.stack_trace', err['stack']]] as const) put(line, theirs, value);
  return Object.keys(own).length === 0 ? line : { ...line, tidegate: own };
}

/** https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/ */
const SEVERITIES: Readonly<Record<string, number>> = { trace: 1, debug: 5, info: 9, warn: 13, error: 17, fatal: 21 };

function toOtlp({ time, level, msg, err, trace_id, pid, role, worker, ...fields }: LogLine): LogLine {
  const timeUnixNano = `${Date.parse(String(time))}000000`;
  const exception = isMap(err) ? { 'exception.type': err['type'], 'exception.message': err['message'], 'exception.stacktrace': err['stack'] } : {};
  const own = Object.entries(fields).map(([name, value]): [string, unknown] => [nameIn(name, 'otel') ?? `tidegate.${name}`, value]);
  const logRecord = {
    timeUnixNano, observedTimeUnixNano: timeUnixNano, severityNumber: SEVERITIES[String(level)] ?? 0, severityText: String(level).toUpperCase(), body: { stringValue: String(msg) },
    attributes: attributes([...own, ...Object.entries(exception)]), ...(typeof trace_id === 'string' ? { traceId: trace_id } : {}),
  };
  const resource = { attributes: attributes([['service.name', 'tidegate'], ['process.pid', pid], ['tidegate.role', role], ['tidegate.worker', worker]]) };
  return { resourceLogs: [{ resource, scopeLogs: [{ scope: { name: 'tidegate' }, logRecords: [logRecord] }] }] };
}

function attributes(entries: readonly (readonly [string, unknown])[]): readonly LogLine[] {
  return entries.filter(([, value]) => value !== undefined && value !== null).map(([key, value]) => ({ key, value: anyValue(value) }));
}

/** AnyValue of OTLP in JSON, where 64-bit integers are text. */
function anyValue(value: unknown): LogLine {
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  if (typeof value === 'number') return Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value };
  if (Array.isArray(value)) return { arrayValue: { values: value.map(anyValue) } };
  return isMap(value) ? { kvlistValue: { values: attributes(Object.entries(value)) } } : {};
}

function nameIn(name: string, of: 'ecs' | 'otel'): string | null {
  const names = Object.hasOwn(NAMES, name) ? NAMES[name] : undefined;
  return names?.[of === 'ecs' ? 0 : 1] ?? null;
}

/** `http.request.id` as nested objects. */
function put(line: Record<string, unknown>, path: string, value: unknown): void {
  if (value === undefined) return;
  const names = path.split('.');
  const last = names.pop() ?? '';
  let at = line;
  for (const name of names) at = (at[name] ??= {}) as Record<string, unknown>;
  at[last] = value;
}

function isMap(value: unknown): value is LogLine {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
