/** What the collector answers: reports, completeness, requests. Streamed through; who asks is said by this side alone. */
import { pipeline } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { errors, Pool, type Dispatcher } from 'undici';
import { TidegateError } from '../../errors/tidegate-error.js';
import { forwardedBody } from './bodies.js';
import type { ControlDeps, Principal } from './control-deps.js';
import { eventsWithNodeLive, withNodeLive } from './live.js';

/** A report may wait for others before its own time begins. */
const HEADERS_TIMEOUT_MS = 60_000;
/** How often, while an answer is waited for, it is looked at whether the collector is still there to give it. */
const LOOK_EVERY_MS = 250;
/** A report that is sent as it is read waits for others' between its pages. */
const BODY_TIMEOUT_MS = 300_000;
/** The rest is for one connection only, or not the collector's to say. */
const PASSED_ON = ['content-type', 'content-disposition', 'etag', 'cache-control', 'vary', 'x-tidegate-as-of', 'x-tidegate-complete', 'x-tidegate-clipped', 'x-tidegate-recorded', 'x-tidegate-next'];

export class CollectorForward {
  readonly #deps: ControlDeps;
  readonly #pool: Pool | null;

  constructor(deps: ControlDeps) {
    this.#deps = deps;
    // as many connections as there are askers: those who read the live stream must not stand in the way of the others
    this.#pool = deps.collectorSocket === null ? null : new Pool('http://collector', { socketPath: deps.collectorSocket, headersTimeout: HEADERS_TIMEOUT_MS, bodyTimeout: BODY_TIMEOUT_MS });
  }

  /**
   * @param path as the collector knows it, without the query
   * @param timeoutMs for the answer's head
   * @throws collector_unavailable, collector_elsewhere, and what a body is refused for
   */
  async answer(path: string, principal: Principal, request: FastifyRequest, reply: FastifyReply, timeoutMs = HEADERS_TIMEOUT_MS): Promise<FastifyReply> {
    const answer = await this.#answered(path, principal, request, reply, timeoutMs);
    return reply.send(answer.body);
  }

  /** The live numbers, to which this node adds its own, as often as the collector says them. @throws as answer() */
  async answerLive(path: string, principal: Principal, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { statusCode, headers, body } = await this.#answered(path, principal, request, reply, HEADERS_TIMEOUT_MS);
    const live = () => this.#deps.live(principal.kind === 'app' ? principal.app : null);
    if (statusCode !== 200) return reply.send(body);
    if (String(headers['content-type']).startsWith('text/event-stream')) {
      // a stream that breaks off, at either end, ends the other
      return reply.send(pipeline(body, eventsWithNodeLive(live), () => undefined));
    }
    return reply.send(withNodeLive(await body.text(), await live()));
  }

  /** Status and fields are put into `reply`. */
  async #answered(path: string, principal: Principal, request: FastifyRequest, reply: FastifyReply, timeoutMs: number): Promise<Dispatcher.ResponseData> {
    const at = request.url.indexOf('?');
    const gone = new AbortController();
    reply.raw.once('close', () => gone.abort());
    const body = forwardedBody(request);
    const answer = await this.#ask({
      method: request.method === 'POST' ? 'POST' : 'GET', path: at < 0 ? path : path + request.url.slice(at), headersTimeout: timeoutMs,
      body: body === null ? null : body.stream,
      headers: {
        ...(body === null ? {} : { 'content-type': 'application/json' }),
        accept: request.headers.accept ?? '*/*',
        ...(request.headers['if-none-match'] === undefined ? {} : { 'if-none-match': request.headers['if-none-match'] }),
        'x-tidegate-principal': toldAs(principal),
        'x-tidegate-time-zone': this.#timeZone(principal, request),
      },
    }, gone.signal).catch((error: unknown) => { throw body?.fault() ?? error; });
    for (const name of PASSED_ON) {
      const value = answer.headers[name];
      if (value !== undefined) void reply.header(name, value);
    }
    void reply.code(answer.statusCode);
    return answer;
  }

  async close(): Promise<void> {
    await this.#pool?.destroy();
  }

  /** @param signal the asker has left */
  async #ask(options: Dispatcher.RequestOptions, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    if (this.#pool === null) throw new TidegateError('collector_elsewhere', 'This node is a gateway alone (tidegate gateway): ask the control origin of a node that runs tidegate collector.');
    const inVain = new AbortController();
    const look = (): void => { if (this.#deps.collectorStandsStill()) inVain.abort(); };
    look();
    const looking = setInterval(look, LOOK_EVERY_MS);
    try {
      return await this.#pool.request({ ...options, signal: AbortSignal.any([signal, inVain.signal]) });
    } catch (error) {
      if (error instanceof errors.InvalidArgumentError) throw new TidegateError('malformed_request', 'The query has characters that must be percent-encoded.', { cause: error });
      throw new TidegateError('collector_unavailable', 'The collector does not answer; requests go on and are recorded meanwhile.', { cause: error });
    } finally {
      clearInterval(looking);
    }
  }

  /** An app's days are its own also where the operator asks about that app alone. */
  #timeZone(principal: Principal, request: FastifyRequest): string {
    if (principal.kind === 'app') return this.#deps.timeZoneOf(principal.app) ?? 'UTC';
    const asked = (request.query as Readonly<Record<string, unknown>>)['app'];
    return (typeof asked === 'string' ? this.#deps.timeZoneOf(asked) : null) ?? 'UTC';
  }
}

/** What is there for more than one app, the table of endpoints decides: to the collector whoever came this far reads as the operator does, in a line of its own. */
function toldAs(principal: Principal): string {
  switch (principal.kind) {
    case 'operator': return 'operator';
    case 'app': return `app:${principal.app}`;
    case 'read_only':
    case 'billing': return `operator:${principal.name}`;
  }
}
