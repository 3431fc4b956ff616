/**
 * HTTP/1 messages from bytes: the usual one, wholly there, by our own reader (whole-message.ts), every other by node's own llhttp (the grammar behind node:http, in its strict mode) on plain sockets. It is not a
 * documented interface of node: test/conformance/message-parser.test.ts pins what is relied on, for every supported version.
 * node:http itself costs about twice as much a request (docs/decisions/0003-llhttp-on-plain-sockets.md).
 */
import { STATUS_CODES } from 'node:http';
import { createRequire } from 'node:module';
import type { FieldLines } from './fields.js';
import { WholeMessage } from './whole-message.js';

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
  /** A text is latin1: a character a byte. */
  onBody(chunk: Buffer | string): void;
  onMessageComplete(trailers: string[] | null): void;
}

/** No fields. */
const NONE: string[] = [];
/** What the last takeWhole of any parser read. */
const whole = new WholeMessage();

/** The head in hand; one object a parser, overwritten by the next message. */
export class MessageHead implements FieldLines {
  major = 1;
  minor = 1;
  pairs: string[] = [];
  text = '';
  places: Int32Array = whole.places;
  method = '';
  target = '';
  status = 0;
  reason = '';
  upgrade = false;
  keepAlive = true;
}

/** A body up to this is told as text: it joins the head's without a buffer of its own. Bytes. */
const TEXT_BYTES = 4096;

export class MessageParser {
  readonly #kind: 'request' | 'response';
  readonly #maxHeadBytes: number;
  /** Null until there is something for it: most connections carry nothing else than usual messages. */
  #native: NativeParser | null = null;
  readonly #handler: MessageHandler;
  readonly #head = new MessageHead();
  #flushedPairs: string[] | null = null;
  #flushedTarget = '';
  #trailers: string[] | null = null;
  #inBody = false;
  #executing = false;
  #closed = false;

  /** The last message is complete, and another may follow: it is, for llhttp too. */
  #between = true;

  constructor(kind: 'request' | 'response', handler: MessageHandler, maxHeadBytes: number) {
    this.#kind = kind;
    this.#maxHeadBytes = maxHeadBytes;
    this.#handler = handler;
  }

  /**
   * Takes the message that begins at `start` of what was read up to `end`, if it is a usual one and wholly there. Answers the number of its bytes; 0: nothing was taken, and what is there
   * is for `execute`.
   */
  takeWhole(bytes: Buffer, start: number, end: number): number {
    if (!this.#between) return 0;
    const isRequest = this.#kind === 'request';
    if (!(isRequest ? whole.readRequest(bytes, start, end, this.#maxHeadBytes) : whole.readAnswer(bytes, start, end))) return 0;
    const { headEnd, bodyBytes } = whole;
    const head = this.#head;
    head.major = 1;
    head.minor = 1;
    head.pairs = whole.pairs;
    head.text = whole.text;
    head.method = isRequest ? whole.method : '';
    head.target = isRequest ? whole.target : '';
    head.status = isRequest ? 0 : whole.status;
    head.reason = isRequest ? '' : whole.reason;
    head.upgrade = false;
    head.keepAlive = true;
    this.#handler.onMessageBegin();
    // any of these may close the parser
    if (this.#closed) return headEnd - start;
    const hasBody = !this.#handler.onHead(head) && bodyBytes > 0;
    if (hasBody && !this.#closed) {
      this.#handler.onBody(bodyBytes <= TEXT_BYTES ? bytes.latin1Slice(headEnd, headEnd + bodyBytes) : Buffer.from(bytes.subarray(headEnd, headEnd + bodyBytes)));
    }
    if (!this.#closed) this.#handler.onMessageComplete(null);
    this.#forget();
    return headEnd + (hasBody ? bodyBytes : 0) - start;
  }

  /** Takes what was read. Answers the number of bytes understood (fewer than given only after an upgrade), or the error. */
  execute(bytes: Buffer): number | ParserError {
    const native = this.#native ??= this.#open();
    this.#executing = true;
    const result = native.execute(bytes);
    this.#executing = false;
    if (this.#closed) native.close();
    // where it takes no more, what it passes over must not be taken for messages
    if (result !== bytes.length) this.#between = false;
    return result;
  }

  /** The peer has ended its side: null if that is a message's proper end, else the error. */
  finish(): ParserError | null {
    const native = this.#native;
    if (native === null) return null;
    this.#executing = true;
    const result = native.finish();
    this.#executing = false;
    if (this.#closed) native.close();
    return result instanceof Error ? result : null;
  }

  /** Frees the native half; safe inside a callback, and twice. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#native === null) return;
    this.#native.owner = null;
    if (!this.#executing) this.#native.close();
  }

  #open(): NativeParser {
    const native = new HTTPParser();
    native.initialize(this.#kind === 'request' ? HTTPParser.REQUEST : HTTPParser.RESPONSE, {}, this.#maxHeadBytes, HTTPParser.kLenientNone);
    native.owner = this;
    native[HTTPParser.kOnMessageBegin | 0] = onMessageBegin;
    native[HTTPParser.kOnHeaders | 0] = onHeaders;
    native[HTTPParser.kOnHeadersComplete | 0] = onHeadersComplete;
    native[HTTPParser.kOnBody | 0] = onBody;
    native[HTTPParser.kOnMessageComplete | 0] = onMessageComplete;
    return native;
  }

  begin(): void {
    this.#between = false;
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
    head.text = '';
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
    head.reason = reason === undefined || reason === null ? '' : soundReason(reason, head.status);
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
    // llhttp takes nothing more after a message that is the connection's last; trailers may have said so, which it does not tell
    this.#between = this.#head.keepAlive && !this.#head.upgrade && this.#trailers === null;
    const trailers = this.#trailers;
    this.#trailers = null;
    this.#handler.onMessageComplete(trailers);
    this.#forget();
  }

  /** An idle connection would keep all of the last head: of a usual message every name and value is a piece of its text. */
  #forget(): void {
    const head = this.#head;
    head.pairs = NONE;
    head.text = '';
    head.target = '';
    head.reason = '';
  }
}

/** llhttp takes any byte but CR and LF for a reason phrase; one with control bytes (RFC 9112 4) would write on the client's terminal: the status' own stands for it. */
function soundReason(reason: string, status: number): string {
  for (let i = 0; i < reason.length; i++) {
    const code = reason.charCodeAt(i);
    if ((code < 0x20 && code !== 0x09) || code === 0x7f) return STATUS_CODES[status] ?? '';
  }
  return reason;
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
