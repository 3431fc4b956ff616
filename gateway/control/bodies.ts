/**
 * What requests bring. The supervisor serves limits beside the control origin, so it parses only what is small: a body for the collector goes on to it unparsed, and a
 * configuration to a process of its own. Each endpoint has a bound of bytes, JSON one of depth, and large bodies one of what is under way together.
 */
import type { IncomingMessage } from 'node:http';
import { Transform, type Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { TidegateError } from '../../errors/tidegate-error.js';
import { BodyNesting, MAX_NESTING } from './body-nesting.js';
import { bodyLimit, SMALL_BODY_BYTES, type Endpoint } from './endpoints.js';
import { untilAnswered } from './until-answered.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    readonly endpoint?: Endpoint;
  }
}

const MAX_DISCARDED_BYTES = 64 * 1024 * 1024;
const MAX_DISCARDING_MS = 5000;

/** Replaces Fastify's own parsers. What the collector answers stays unread until `forwardedBody` is asked for it. */
export function parseBodies(server: FastifyInstance): void {
  const parseJson = server.getDefaultJsonParser('error', 'error');
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('application/json', (request, payload, done) => {
    const endpoint = endpointOf(request);
    if (endpoint.forwarded === true) done(null, undefined);
    else readText(endpoint, payload, new BodyNesting()).then((text) => { void parseJson(request, text, done); }, done);
  });
  server.addContentTypeParser(['application/yaml', 'application/x-yaml', 'text/yaml', 'text/plain'], async (request: FastifyRequest, payload: IncomingMessage) => {
    const endpoint = endpointOf(request);
    const { body } = endpoint;
    if (body?.types.includes('application/yaml') !== true) throw new TidegateError('malformed_request', body === undefined ? 'No body is taken here.' : `The body must be ${body.types.join(' or ')}.`);
    return readText(endpoint, payload, null);
  });
}

export interface ForwardedBody {
  /** As it comes; it ends in an error where `fault` is not null. */
  readonly stream: Readable;
  /** What it is refused for, so far. */
  readonly fault: () => TidegateError | null;
}

/** The body of a request for the collector, within its bounds; null: it has none that anybody reads. */
export function forwardedBody(request: FastifyRequest): ForwardedBody | null {
  const endpoint = endpointOf(request);
  if (endpoint.body === undefined || !hasBody(request)) return null;
  const source = request.raw;
  const nesting = new BodyNesting();
  let bytes = 0;
  let fault: TidegateError | null = null;
  const stream = new Transform({
    transform(piece: Buffer, _encoding, done) {
      bytes += piece.length;
      fault = faultOf(piece, bytes, endpoint, nesting);
      done(fault, fault === null ? piece : undefined);
    },
  });
  // not by pipeline(), which ends the asker's connection with the body that it refuses: the refusal has to be sent there
  source.once('close', () => { if (!source.readableEnded) stream.destroy(); });
  return { stream: source.pipe(stream), fault: () => fault };
}

async function readText(endpoint: Endpoint, payload: IncomingMessage, nesting: BodyNesting | null): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const piece of payload.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      bytes += piece.length;
      const fault = faultOf(piece, bytes, endpoint, nesting);
      if (fault !== null) throw fault;
      pieces.push(piece);
    }
  } catch (error) {
    throw error instanceof TidegateError ? error : new TidegateError('malformed_request', 'The body did not come to its end.', { cause: error });
  }
  return Buffer.concat(pieces, bytes).toString('utf8');
}

/**
 * The rest of a body that was refused is read and thrown away, within bounds: of a connection that ends while its client still writes, the client may never read why.
 */
export function discardRest(request: FastifyRequest, reply: FastifyReply): void {
  const { raw } = request;
  if (Number(raw.headers['content-length'] ?? 0) > MAX_DISCARDED_BYTES) {
    void reply.header('connection', 'close');
    return;
  }
  void reply.removeHeader('connection');
  const cut = setTimeout(() => { raw.socket.destroy(); }, MAX_DISCARDING_MS).unref();
  let bytes = 0;
  raw.on('data', (piece: Buffer) => {
    bytes += piece.length;
    if (bytes > MAX_DISCARDED_BYTES) raw.socket.destroy();
  });
  raw.once('close', () => { clearTimeout(cut); });
  raw.resume();
}

function faultOf(piece: Buffer, bytesSoFar: number, endpoint: Endpoint, nesting: BodyNesting | null): TidegateError | null {
  if (bytesSoFar > bodyLimit(endpoint)) return tooLarge(endpoint);
  return nesting?.exceededBy(piece) === true ? new TidegateError('malformed_request', `The body nests deeper than ${MAX_NESTING}.`) : null;
}

function tooLarge(endpoint: Endpoint): TidegateError {
  return new TidegateError('body_too_large', `At most ${bodyLimit(endpoint)} bytes are taken here.`);
}

function endpointOf(request: FastifyRequest): Endpoint {
  const { endpoint } = request.routeOptions.config;
  if (endpoint === undefined) throw new Error('a route without its endpoint');
  return endpoint;
}

function hasBody({ headers }: FastifyRequest): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
}

/**
 * Large bodies under way, by endpoint: from their first byte to the end of the response, because whoever responds holds what it made of them as long. Together they
 * may be as large as one may be alone.
 */
export class BodyRoom {
  readonly #taken = new Map<Endpoint, number>();

  /**
   * Before the body is read.
   * @throws body_too_large, bodies_busy
   */
  take(endpoint: Endpoint, request: FastifyRequest, reply: FastifyReply): void {
    if (!hasBody(request)) return;
    const limit = bodyLimit(endpoint);
    // one that does not say how long it is may be as long as any
    const bytes = Number(request.headers['content-length'] ?? limit);
    if (!(bytes <= limit)) throw tooLarge(endpoint);
    if (limit <= SMALL_BODY_BYTES) return;
    const taken = this.#taken.get(endpoint) ?? 0;
    if (taken + bytes > limit) throw new TidegateError('bodies_busy', `${taken} bytes are under way here, of ${limit} at a time.`);
    this.#taken.set(endpoint, taken + bytes);
    untilAnswered(request, reply, () => { this.#taken.set(endpoint, (this.#taken.get(endpoint) ?? 0) - bytes); });
  }
}
