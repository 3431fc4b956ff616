/**
 * A receiver of spans: OTLP over HTTP in protobuf, as a collector takes it. It reads strictly, by the numbers and types of opentelemetry-proto 1.x
 * (collector/trace/v1, trace/v1, common/v1, resource/v1): what is not in there, or not so, is answered with 400 and kept as a fault.
 */
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { eventually } from './deadline.js';

export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** '' of a root. */
  readonly parentSpanId: string;
  readonly traceState: string;
  readonly name: string;
  readonly kind: 'server' | 'client' | 'other';
  /** ns since the epoch. */
  readonly start: bigint;
  readonly end: bigint;
  readonly flags: number;
  readonly error: boolean;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly resource: Readonly<Record<string, unknown>>;
}

export class OtlpReceiver implements AsyncDisposable {
  readonly spans: ReceivedSpan[] = [];
  /** Of each export. */
  readonly headers: IncomingHttpHeaders[] = [];
  /** What was no OTLP. */
  readonly faults: string[] = [];
  /** Exports are answered with this from now on. */
  status = 200;
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      const pieces: Buffer[] = [];
      request.on('data', (piece: Buffer) => { pieces.push(piece); });
      request.on('end', () => {
        const body = Buffer.concat(pieces);
        let { status } = this;
        try {
          if (request.method !== 'POST' || request.url !== '/v1/traces') throw new Error(`${String(request.method)} ${String(request.url)}`);
          if (request.headers['content-type'] !== 'application/x-protobuf') throw new Error(`content-type ${String(request.headers['content-type'])}`);
          this.headers.push(request.headers);
          const spans = readExport(request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body);
          if (status === 200) this.spans.push(...spans);
        } catch (error) {
          this.faults.push((error as Error).message);
          status = 400;
        }
        // an ExportTraceServiceResponse without fields has no bytes
        response.writeHead(status, { 'content-type': 'application/x-protobuf' }).end();
      });
    });
  }

  static async start(port = 0): Promise<OtlpReceiver> {
    const receiver = new OtlpReceiver();
    await new Promise<void>((resolve) => { receiver.#server.listen(port, '127.0.0.1', resolve); });
    return receiver;
  }

  get url(): string { return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`; }

  /** The spans of a trace once there are `count`, each behind its parent. */
  async trace(traceId: string, count: number): Promise<ReceivedSpan[]> {
    return await eventually(`${count} spans of ${traceId}`, () => {
      if (this.faults.length > 0) throw new Error(this.faults.join('\n'));
      const found = this.spans.filter((span) => span.traceId === traceId);
      return found.length >= count ? asTree(found) : null;
    }, 20_000);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => { this.#server.close(() => { resolve(); }); });
  }
}

/** Each behind its parent, and children of one by their beginning: between processes, whose clocks differ, times tell no order. */
function asTree(spans: readonly ReceivedSpan[]): ReceivedSpan[] {
  const ids = new Set(spans.map(({ spanId }) => spanId));
  const below = (isChild: (span: ReceivedSpan) => boolean): ReceivedSpan[] => spans.filter(isChild).sort((a, b) => Number(a.start - b.start))
    .flatMap((span) => [span, ...below(({ parentSpanId }) => parentSpanId === span.spanId)]);
  return below(({ parentSpanId }) => !ids.has(parentSpanId));
}

/** Of a field: its name, and how it is written. */
type Shape = 'string' | 'bytes' | 'varint' | 'fixed64' | 'fixed32' | 'double' | Message;
interface Message { readonly [number: number]: readonly [name: string, shape: Shape] }

const ANY_VALUE: Message = { 1: ['string', 'string'], 2: ['bool', 'varint'], 3: ['int', 'varint'], 4: ['double', 'double'] };
const KEY_VALUE: Message = { 1: ['key', 'string'], 2: ['value', ANY_VALUE] };
const SPAN: Message = {
  1: ['traceId', 'bytes'], 2: ['spanId', 'bytes'], 3: ['traceState', 'string'], 4: ['parentSpanId', 'bytes'], 5: ['name', 'string'], 6: ['kind', 'varint'],
  7: ['start', 'fixed64'], 8: ['end', 'fixed64'], 9: ['attributes', KEY_VALUE], 10: ['droppedAttributes', 'varint'], 12: ['droppedEvents', 'varint'], 14: ['droppedLinks', 'varint'],
  15: ['status', { 2: ['message', 'string'], 3: ['code', 'varint'] }], 16: ['flags', 'fixed32'],
};
const SCOPE: Message = { 1: ['name', 'string'], 2: ['version', 'string'], 3: ['attributes', KEY_VALUE], 4: ['droppedAttributes', 'varint'] };
const RESOURCE: Message = { 1: ['attributes', KEY_VALUE], 2: ['droppedAttributes', 'varint'] };
const EXPORT: Message = { 1: ['resourceSpans', { 1: ['resource', RESOURCE], 2: ['scopeSpans', { 1: ['scope', SCOPE], 2: ['spans', SPAN], 3: ['schemaUrl', 'string'] }], 3: ['schemaUrl', 'string'] }] };

/** By field name everything that came of it, in order. */
type Decoded = Readonly<Record<string, readonly unknown[]>>;

function decode(bytes: Buffer, message: Message): Decoded {
  const found: Record<string, unknown[]> = {};
  let at = 0;
  const varint = (): bigint => {
    for (let value = 0n, shift = 0n; ; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined || shift > 63n) throw new Error('a varint that does not end');
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const take = (length: number): Buffer => {
    if (at + length > bytes.length) throw new Error('a field beyond its message\'s end');
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const field = message[tag >> 3];
    if (field === undefined) throw new Error(`no field ${tag >> 3} among ${Object.values(message as Record<number, readonly [string, Shape]>).map(([known]) => known).join(', ')}`);
    const [name, shape] = field;
    const wire = shape === 'varint' ? 0 : shape === 'fixed64' || shape === 'double' ? 1 : shape === 'fixed32' ? 5 : 2;
    if ((tag & 7) !== wire) throw new Error(`${name} has wire type ${tag & 7}`);
    let value: unknown;
    if (shape === 'varint') value = varint();
    else if (shape === 'fixed64') value = take(8).readBigUInt64LE();
    else if (shape === 'double') value = take(8).readDoubleLE();
    else if (shape === 'fixed32') value = take(4).readUInt32LE();
    else {
      const content = take(Number(varint()));
      value = shape === 'string' ? new TextDecoder('utf8', { fatal: true }).decode(content) : shape === 'bytes' ? content.toString('hex') : decode(content, shape);
    }
    (found[name] ??= []).push(value);
  }
  return found;
}

/** @throws Error: it is no ExportTraceServiceRequest, or holds what OTLP does not allow */
function readExport(bytes: Buffer): ReceivedSpan[] {
  const list = (from: Decoded, name: string): Decoded[] => (from[name] ?? []) as Decoded[];
  return list(decode(bytes, EXPORT), 'resourceSpans').flatMap((perResource) => {
    const resource = attributesOf(list(perResource, 'resource')[0] ?? {});
    return list(perResource, 'scopeSpans').flatMap((perScope) => list(perScope, 'spans').map((span) => readSpan(span, resource)));
  });
}

function readSpan(span: Decoded, resource: ReceivedSpan['resource']): ReceivedSpan {
  const text = (name: string): string => (span[name]?.[0] ?? '') as string;
  const [traceId, spanId, parentSpanId] = [text('traceId'), text('spanId'), text('parentSpanId')];
  if (!isId(traceId, 16) || !isId(spanId, 8) || (parentSpanId !== '' && !isId(parentSpanId, 8))) throw new Error(`ids ${traceId} ${spanId} ${parentSpanId}`);
  const [start, end] = [span['start']?.[0], span['end']?.[0]] as [bigint, bigint];
  if (!(start > 0n && end >= start)) throw new Error(`from ${String(start)} to ${String(end)}`);
  if (text('name') === '') throw new Error('a span without a name');
  const kind = span['kind']?.[0];
  const [status] = (span['status'] ?? []) as Decoded[];
  return {
    traceId, spanId, parentSpanId, traceState: text('traceState'), name: text('name'), kind: kind === 2n ? 'server' : kind === 3n ? 'client' : 'other',
    start, end, flags: (span['flags']?.[0] ?? 0) as number, error: status?.['code']?.[0] === 2n, attributes: attributesOf(span), resource,
  };
}

function isId(text: string, bytes: number): boolean {
  return text.length === 2 * bytes && /[^0]/.test(text);
}

function attributesOf(message: Decoded): Record<string, unknown> {
  const attributes: Record<string, unknown> = {};
  for (const { key, value } of (message['attributes'] ?? []) as Decoded[]) {
    const name = key?.[0] as string;
    const one = Object.entries<readonly unknown[]>(value?.[0] as Decoded).map(([type, [content]]) => (type === 'int' ? Number(content) : type === 'bool' ? content === 1n : content));
    if (one.length !== 1 || Object.hasOwn(attributes, name)) throw new Error(`attribute ${name}`);
    attributes[name] = one[0];
  }
  return attributes;
}
