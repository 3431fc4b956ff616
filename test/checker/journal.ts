/** What the clients know: every request that was begun, and what came back for it. The checker's own side of the comparison. */

export interface Answer {
  readonly status: number;
  /** Of the body. */
  readonly bytes: number;
  /** X-Request-Id; null: it had none. */
  readonly id: string | null;
  /** ms since the epoch */
  readonly atMs: number;
}

export interface BegunRequest {
  readonly n: number;
  /** As the event keeps it; null: what is sent makes a row without a path, which only its id tells apart. */
  readonly path: string | null;
  readonly method: string;
  /** ms since the epoch */
  readonly beganMs: number;
  /** The fault in force, or the last one. */
  readonly fault: string;
  /** Completely received, its end framed; null: it never was. */
  answer: Answer | null;
  /** Later rows carry bytes that the first one has not. */
  readonly long: boolean;
}

/** In front of every path, so that a row shows whose it is. */
const PREFIX = '/c/';

export class Journal {
  readonly requests: BegunRequest[] = [];
  answered = 0;
  /** Requests that are begun from now on are counted under this name. */
  fault = 'calm';
  readonly #byId = new Map<string, BegunRequest>();
  /** Ids that more than one request was answered with. */
  readonly sharedIds: string[] = [];

  /** @param tail what the upstream is told to do; null: a request without a path of its own */
  begin(method: string, tail: string | null, long = false): BegunRequest {
    const n = this.requests.length;
    const request: BegunRequest = { n, path: tail === null ? null : pathOf(n, tail), method, beganMs: Date.now(), fault: this.fault, answer: null, long };
    this.requests.push(request);
    return request;
  }

  /** The answer's end has come, and it was framed. */
  end(request: BegunRequest, answer: Answer): void {
    request.answer = answer;
    this.answered++;
    if (answer.id === null) return;
    if (this.#byId.has(answer.id)) this.sharedIds.push(answer.id);
    else this.#byId.set(answer.id, request);
  }

  byId(id: string): BegunRequest | null {
    return this.#byId.get(id) ?? null;
  }

  byPath(path: string): BegunRequest | null {
    const match = /^\/c\/([0-9a-z]{1,9})\//.exec(path);
    const request = match === null ? undefined : this.requests[Number.parseInt(match[1] as string, 36)];
    return request?.path === path ? request : null;
  }
}

const pathOf = (n: number, tail: string): string => `${PREFIX}${n.toString(36)}/${tail}`;
