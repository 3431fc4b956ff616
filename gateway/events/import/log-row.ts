/** A line of a log as the encoder reads it: one object for all lines of a file, filled anew for each. */
import type { RecordedClient } from '../../listeners/http/recorded-client.js';
import { normalisePath } from '../../routing/normalise-path.js';
import { KINDS, METHODS, outcomeId, PROTOCOLS, type EventFacts, type Method } from '../event.js';
import { encodeLabels, type Label } from '../labels.js';
import { NOT_REFUSED } from '../refusals.js';

/** What a line must not be, in words for whoever mends the log. */
export type BadLine = string;

export interface RowSettings {
  readonly service: string;
  /** Null: as the line says. */
  readonly app: string | null;
  /** What of the path is kept: the path, or nothing (of a template only the gateway knows which). */
  readonly keepsPath: boolean;
  /** What of a client's address is kept. */
  readonly recordedClient: RecordedClient;
}

const NO_LABEL = encodeLabels('');
const MOST_KEPT = 20_000;
const METHOD_IDS: ReadonlyMap<string, number> = new Map(Object.keys(METHODS).map((name) => [name, METHODS[name as Method]]));
const LONGEST_METHOD = 9;

export class LogRow implements EventFacts {
  ordinal = 0;
  timeMs = 0;
  durationUs = 0;
  upstreamUs = 0;
  bytesIn = 0;
  bytesOut = 0;
  status = 0;
  methodId = 0;
  protocolId: number = PROTOCOLS['http/1.1'];
  client = '';
  recordedPath = '';
  routeLabel: Label;
  appLabel: Label;
  appName: string;
  readonly outcomeId = outcomeId('answered');
  readonly kindId = KINDS.import;
  readonly requests = 1;
  // never against a quota, on no bill
  readonly counted = 0;
  readonly billable = 0;
  readonly attempts = 0;
  readonly versionLabel = NO_LABEL;
  readonly targetLabel = NO_LABEL;
  readonly refusalLabel = NOT_REFUSED;
  readonly traceId = '';
  readonly keepsPath: boolean;
  readonly #service: string;
  readonly #appGiven: boolean;
  readonly #ownRoute: Label;
  readonly #ownApp: Label;
  readonly #ownAppName: string;
  readonly #routes = new Map<string, Label>();
  readonly #apps = new Map<string, Label>();
  readonly #recordedClient: RecordedClient;
  readonly #clients = new Map<string, string>();

  constructor({ service, app, keepsPath, recordedClient }: RowSettings) {
    this.#recordedClient = recordedClient;
    this.#service = service;
    this.#appGiven = app !== null;
    this.#ownAppName = app ?? '';
    this.#ownApp = encodeLabels(this.#ownAppName);
    this.#ownRoute = encodeLabels(service, '');
    this.appLabel = this.#ownApp;
    this.appName = this.#ownAppName;
    this.routeLabel = this.#ownRoute;
    this.keepsPath = keepsPath;
  }

  /** What a line that says nothing more of it leaves. */
  clear(): void {
    this.durationUs = 0;
    this.upstreamUs = 0;
    this.bytesIn = 0;
    this.bytesOut = 0;
    this.status = 0;
    this.methodId = METHODS.other;
    this.protocolId = PROTOCOLS['http/1.1'];
    this.client = '';
    this.recordedPath = '';
    this.routeLabel = this.#ownRoute;
    this.appLabel = this.#ownApp;
    this.appName = this.#ownAppName;
  }

  /** Kept as the gateway's own events have it; of a name, nothing. */
  setClient(address: string): void {
    let client = this.#clients.get(address);
    if (client === undefined) {
      client = this.#recordedClient(address);
      keep(this.#clients, address, client);
    }
    this.client = client;
  }

  setMethod(name: string): void {
    this.methodId = name.length > LONGEST_METHOD ? METHODS.other : METHOD_IDS.get(name) ?? METHODS.other;
  }

  /** @param name such as HTTP/1.1; there is no number for HTTP/3, which is told as the newest there is */
  setProtocol(name: string): void {
    if (name === 'HTTP/1.1') {
      this.protocolId = PROTOCOLS['http/1.1'];
      return;
    }
    const version = /^HTTP\/(\d)(?:\.(\d))?$/i.exec(name);
    const major = Number(version?.[1] ?? 1);
    this.protocolId = major >= 2 ? PROTOCOLS.h2 : version?.[2] === '1' ? PROTOCOLS['http/1.1'] : PROTOCOLS['http/1.0'];
  }

  /** @param target of the request line, or a URL: the path of it, without its query, is kept where the service says so */
  setTarget(target: string): void {
    if (!this.keepsPath) return;
    const start = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i.exec(target)?.[0].length ?? 0;
    const end = target.slice(start).search(/[?#]/);
    this.recordedPath = normalisePath(end === -1 ? target.slice(start) : target.slice(start, start + end)) ?? '';
  }

  /** Left alone where the command names one. */
  setApp(name: string): void {
    if (this.#appGiven) return;
    this.appLabel = labelOf(this.#apps, name, () => encodeLabels(name));
    this.appName = name;
  }

  setRoute(name: string): void {
    this.routeLabel = labelOf(this.#routes, name, () => encodeLabels(this.#service, name));
  }
}

function labelOf(labels: Map<string, Label>, name: string, make: () => Label): Label {
  const known = labels.get(name);
  if (known !== undefined) return known;
  const made = make();
  keep(labels, name, made);
  return made;
}

/** A log can name as many as it likes: what does not fit begins anew. */
function keep<T>(map: Map<string, T>, key: string, value: T): void {
  if (map.size >= MOST_KEPT) map.clear();
  map.set(key, value);
}
