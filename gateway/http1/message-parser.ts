/**
 * HTTP/1 messages from bytes, by node's own llhttp (the grammar behind node:http, in its strict mode) on plain sockets. It is not a
 * documented interface of node: test/conformance/message-parser.test.ts pins what is relied on, for every supported version.
 * node:http itself costs about twice as much a request (docs/decisions/0003-llhttp-on-plain-sockets.md).
 */
import { createRequire } from 'node:module';

interface NativeParser {
  [slot: number]: unknown;
  initialize(type: number, resource: object, maxHeaderSize: number, lenientFlags: number): void;
  execute(bytes: Buffer): number | ParserError;
  finish(): number | ParserError | undefined;
  close(): void;
  owner: MessageParser | null;
}

/** llhttp's complaint: `code` such as HPE_INVALID_HEADER_TOKEN, `reason` in words. */
export interface ParserError extends Error {
  readonly code: string;
  readonly reason: string;
  readonly bytesParsed: number;
}

interface HttpCommon {
  readonly HTTPParser: {
    new (): NativeParser;
    readonly REQUEST: number;
    readonly RESPONSE: number;
    readonly kOnMessageBegin: number;
    readonly kOnHeaders: number;
    readonly kOnHeadersComplete: number;
    readonly kOnBody: number;
    readonly kOnMessageComplete: number;
    readonly kLenientNone: number;
  };
  readonly methods: readonly string[];
}

const { HTTPParser, methods } = createRequire(import.meta.url)('_http_common') as HttpCommon;

/** llhttp's number of QUERY; its list, which is by number up to SOURCE, has it elsewhere. */
const QUERY = 46;

/** The methods llhttp knows, by its number. */
export const PARSER_METHODS: readonly string[] = methods;

/** What the owner of a parser is told. `pairs` are names and values by turns, latin1, as received. */
export interface MessageHandler {
  onMessageBegin(): void;
  /** Answers true if the message has no body whatever its head says (the answer to a HEAD). */
  onHead(head: MessageHead): boolean;
  onBody(chunk: Buffer): void;
  onMessageComplete(trailers: string[] | null): void;
}

/** The head in hand; one object a parser, overwritten by the next message. */
export class MessageHead {
  major = 1;
  minor = 1;
  pairs: string[] = [];
  method = '';
  target = '';
  status = 0;
  reason = '';
  upgrade = false;
  keepAlive = true;
}

export class MessageParser {
  readonly #native: NativeParser;
  readonly #handler: MessageHandler;
  readonly #head = new MessageHead();
  #flushedPairs: string[] | null = null;
  #flushedTarget = '';
  #trailers: string[] | null = null;
  #inBody = false;
  #executing = false;
  #closed = false;

  constructor(kind: 'request' | 'response', handler: MessageHandler, maxHeadBytes: number) {
    const native = new HTTPParser();
    native.initialize(kind === 'request' ? HTTPParser.REQUEST : HTTPParser.RESPONSE, {}, maxHeadBytes, HTTPParser.kLenientNone);
    native.owner = this;
    native[HTTPParser.kOnMessageBegin | 0] = onMessageBegin;
    native[HTTPParser.kOnHeaders | 0] = onHeaders;
    native[HTTPParser.kOnHeadersComplete | 0] = onHeadersComplete;
    native[HTTPParser.kOnBody | 0] = onBody;
    native[HTTPParser.kOnMessageComplete | 0] = onMessageComplete;
    this.#native = native;
    this.#handler = handler;
  }

  /** Takes what was read. Answers the number of bytes understood (fewer than given only after an upgrade), or the error. */
  execute(bytes: Buffer): number | ParserError {
    this.#executing = true;
    const result = this.#native.execute(bytes);
    this.#executing = false;
    if (this.#closed) this.#native.close();
    return result;
  }

  /** The peer has ended its side: null if that is a message's proper end, else the error. */
  finish(): ParserError | null {
    this.#executing = true;
    const result = this.#native.finish();
    this.#executing = false;
    if (this.#closed) this.#native.close();
    return result instanceof Error ? result : null;
  }

  /** Frees the native half; safe inside a callback, and twice. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#native.owner = null;
    if (!this.#executing) this.#native.close();
  }

  begin(): void {
    this.#inBody = false;
    this.#trailers = null;
    this.#handler.onMessageBegin();
  }

  /** llhttp flushes fields when there are more than 32 of them, and trailers; the latter come after the head. */
  fields(pairs: string[], target: string): void {
    if (this.#inBody) {
      this.#trailers = this.#trailers === null ? pairs : this.#trailers.concat(pairs);
      return;
    }
    this.#flushedPairs = this.#flushedPairs === null ? pairs : this.#flushedPairs.concat(pairs);
    this.#flushedTarget += target;
  }

  headComplete(
    major: number, minor: number, pairs: string[] | undefined, method: number | undefined, target: string | undefined,
    status: number | undefined, reason: string | undefined, upgrade: boolean, keepAlive: boolean,
  ): number {
    const head = this.#head;
    head.major = major;
    head.minor = minor;
    if (this.#flushedPairs !== null) {
      head.pairs = this.#flushedPairs;
      head.target = this.#flushedTarget;
      this.#flushedPairs = null;
      this.#flushedTarget = '';
    } else {
      head.pairs = pairs ?? [];
      head.target = target ?? '';
    }
    head.method = method === undefined || method === null ? '' : methods[method] ?? (method === QUERY ? 'QUERY' : '');
    head.status = status ?? 0;
    head.reason = reason ?? '';
    head.upgrade = upgrade;
    head.keepAlive = keepAlive;
    this.#inBody = true;
    return this.#handler.onHead(head) ? 1 : 0;
  }

  body(chunk: Buffer): void {
    this.#handler.onBody(chunk);
  }

  complete(): void {
    this.#inBody = false;
    this.#handler.onMessageComplete(this.#trailers);
  }
}

// One set of functions for every parser; `this` is the native parser.
function onMessageBegin(this: NativeParser): void {
  this.owner?.begin();
}
function onHeaders(this: NativeParser, pairs: string[], target: string): void {
  this.owner?.fields(pairs, target);
}
function onHeadersComplete(
  this: NativeParser, major: number, minor: number, pairs: string[] | undefined, method: number | undefined, target: string | undefined,
  status: number | undefined, reason: string | undefined, upgrade: boolean, keepAlive: boolean,
): number {
  return this.owner === null ? 0 : this.owner.headComplete(major, minor, pairs, method, target, status, reason, upgrade, keepAlive);
}
function onBody(this: NativeParser, chunk: Buffer): void {
  this.owner?.body(chunk);
}
function onMessageComplete(this: NativeParser): void {
  this.owner?.complete();
}
