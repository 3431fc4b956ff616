/**
 * Reads the responses of one HTTP/1 connection, and says of each whether its end was framed (RFC 9112, section 6.3): no body, Content-Length, or the last chunk. One
 * that ends by the connection's closing only is never complete here: nobody can tell it from one that was cut.
 */
export interface ReadResponse {
  readonly status: number;
  readonly id: string | null;
  readonly bytes: number;
  /** Nothing comes after it on this connection. */
  readonly closes: boolean;
}

interface Head { readonly status: number; readonly id: string | null; readonly version: string; readonly fields: ReadonlyMap<string, string> }
type Body = { readonly kind: 'length'; left: number } | { readonly kind: 'chunked'; left: number; state: 'size' | 'data' | 'data end' | 'trailers' } | { readonly kind: 'closing' };

export class ResponseReader {
  /** Methods of the requests that are not answered, oldest first: what answers a HEAD has no body. */
  readonly methods: string[] = [];
  readonly #onResponse: (response: ReadResponse) => void;
  readonly #onContinue: () => void;
  #bytes: Buffer = Buffer.alloc(0);
  #head: Head | null = null;
  #body: Body | null = null;
  #bodyBytes = 0;

  constructor(onResponse: (response: ReadResponse) => void, onContinue: () => void = () => {}) {
    this.#onResponse = onResponse;
    this.#onContinue = onContinue;
  }

  /** Part of a response has come. */
  get begun(): boolean {
    return this.#head !== null || this.#bytes.length > 0;
  }

  /** @throws Error where it is no HTTP */
  push(piece: Buffer): void {
    this.#bytes = this.#bytes.length === 0 ? piece : Buffer.concat([this.#bytes, piece]);
    while (this.#step());
  }

  /** False: it needs more bytes. */
  #step(): boolean {
    if (this.#head === null || this.#body === null) return this.#readHead();
    switch (this.#body.kind) {
      case 'closing':
        this.#take(this.#bytes.length);
        return false;
      case 'length':
        this.#body.left -= this.#take(Math.min(this.#body.left, this.#bytes.length));
        return this.#body.left === 0 && this.#end(this.#head);
      case 'chunked': return this.#chunk(this.#body, this.#head);
    }
  }

  #readHead(): boolean {
    const end = this.#bytes.indexOf('\r\n\r\n');
    if (end < 0) return false;
    const [start = '', ...lines] = this.#bytes.toString('latin1', 0, end).split('\r\n');
    this.#bytes = this.#bytes.subarray(end + 4);
    const match = /^HTTP\/(1\.[01]) ([1-9]\d\d)(?: |$)/.exec(start);
    if (match === null) throw new Error(`no status line: ${JSON.stringify(start.slice(0, 200))}`);
    const fields = new Map(lines.map((line): [string, string] => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }));
    const head: Head = { status: Number(match[2]), id: fields.get('x-request-id') ?? null, version: match[1] as string, fields };
    if (head.status < 200) {
      this.#onContinue();
      return true;
    }
    this.#head = head;
    this.#bodyBytes = 0;
    this.#body = this.#bodyOf(head);
    return true;
  }

  #bodyOf({ status, fields }: Head): Body {
    if (this.methods[0] === 'HEAD' || status === 204 || status === 304) return { kind: 'length', left: 0 };
    if (fields.get('transfer-encoding')?.toLowerCase() === 'chunked') return { kind: 'chunked', left: 0, state: 'size' };
    const length = fields.get('content-length');
    return length === undefined ? { kind: 'closing' } : { kind: 'length', left: Number(length) };
  }

  #chunk(body: Body & { readonly kind: 'chunked' }, head: Head): boolean {
    if (body.state === 'data') {
      body.left -= this.#take(Math.min(body.left, this.#bytes.length));
      if (body.left > 0) return false;
      body.state = 'data end';
    }
    const end = this.#bytes.indexOf('\r\n');
    if (end < 0) return false;
    const line = this.#bytes.toString('latin1', 0, end);
    this.#bytes = this.#bytes.subarray(end + 2);
    switch (body.state) {
      case 'data end': body.state = 'size'; return true;
      case 'trailers': return line !== '' || this.#end(head);
      case 'size': {
        const size = /^([0-9a-f]+)\s*(?:;|$)/i.exec(line);
        if (size === null) throw new Error(`no chunk size: ${JSON.stringify(line.slice(0, 100))}`);
        body.left = Number.parseInt(size[1] as string, 16);
        body.state = body.left === 0 ? 'trailers' : 'data';
        return true;
      }
    }
  }

  #take(count: number): number {
    this.#bytes = this.#bytes.subarray(count);
    this.#bodyBytes += count;
    return count;
  }

  #end({ status, id, version, fields }: Head): true {
    const connection = (fields.get('connection') ?? '').toLowerCase();
    this.#head = null;
    this.#body = null;
    this.methods.shift();
    this.#onResponse({ status, id, bytes: this.#bodyBytes, closes: connection.includes('close') || (version === '1.0' && !connection.includes('keep-alive')) });
    return true;
  }
}
