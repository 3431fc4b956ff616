/** The supervisor's end of tracing: what workers tell of ended requests goes to the receiver that the configuration names; without one, nowhere. */
import type { Config } from '../../config/schema.js';
import { secretOf, type Secrets } from '../../config/secrets.js';
import { durationMs } from '../../config/units.js';
import type { SpansMessage } from '../../tracing/span-outbox.js';
import type { ConfigInForce } from '../run-files.js';
import type { ExporterLog, ExportSettings, SpanExporter } from './span-exporter.js';

/** Loaded where a receiver is named: other nodes do not pay for OpenTelemetry. */
const load = () => import('./span-exporter.js');

export class Tracing {
  readonly #version: string;
  readonly #log: ExporterLog;
  readonly #counts = { exported: 0, dropped: 0 };
  #exporter: SpanExporter | null = null;
  /** Of the exporter, or of the one that is being made. */
  #settings: ExportSettings | null = null;
  /** One after another. */
  #changing: Promise<void> = Promise.resolve();

  /** @param version of the program */
  constructor(version: string, log: ExporterLog) {
    this.#version = version;
    this.#log = log;
  }

  /** Spans since the supervisor's start, by result. */
  get counts(): { readonly exported: number; readonly dropped: number } { return this.#counts; }

  /** Another receiver takes over when the spans that wait for the one before are on their way. Resolves then. */
  configure({ config, secrets }: Pick<ConfigInForce, 'config' | 'secrets'>): Promise<void> {
    const settings = exportSettings(config, secrets, this.#version);
    if (JSON.stringify(settings) !== JSON.stringify(this.#settings)) {
      this.#settings = settings;
      this.#changing = this.#changing.catch(() => undefined).then(() => this.#replace(settings));
    }
    return this.#changing;
  }

  take({ requests, dropped }: SpansMessage): void {
    this.#count('dropped', dropped);
    if (this.#exporter !== null) this.#exporter.take(requests);
    else this.#count('dropped', requests.reduce((sum, { attempts }) => sum + 1 + attempts.length, 0));
  }

  /** Exports what waits, within a few seconds. */
  async close(): Promise<void> {
    await this.#changing;
    await this.#exporter?.close();
  }

  async #replace(settings: ExportSettings | null): Promise<void> {
    const before = this.#exporter;
    this.#exporter = settings === null ? null : new (await load()).SpanExporter(settings, (result, spans) => { this.#count(result, spans); }, this.#log);
    await before?.close();
  }

  #count(result: 'exported' | 'dropped', spans: number): void {
    this.#counts[result] += spans;
  }
}

/** Null: no receiver is named. */
function exportSettings({ node, tracing: { otlp, service_name } }: Config, secrets: Secrets, version: string): ExportSettings | null {
  if (otlp.url === '') return null;
  const base = otlp.url.replace(/\/+$/, '');
  return {
    url: base.endsWith('/v1/traces') ? base : `${base}/v1/traces`,
    headers: Object.fromEntries(Object.entries(otlp.headers).map(([name, value]) => [name, secretOf(value, secrets)])),
    ...(otlp.timeout === undefined ? {} : { timeoutMs: durationMs(otlp.timeout) }),
    ...(otlp.compression === undefined ? {} : { compression: otlp.compression }),
    ...(otlp.tls?.ca === undefined ? {} : { ca: secretOf(otlp.tls.ca, secrets) }),
    ...(service_name === undefined ? {} : { serviceName: service_name }),
    node: node ?? '', version,
  };
}
