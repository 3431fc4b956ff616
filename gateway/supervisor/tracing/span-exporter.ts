/**
 * Exports spans to one receiver, OTLP over HTTP, by OpenTelemetry's own batch processor and exporter. What waits is bounded: a receiver that
 * is slow or away costs spans, which are counted, and nothing else.
 */
import type { Agent } from 'node:http';
import { Agent as TlsAgent } from 'node:https';
import { ExportResultCode, type ExportResult } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { CompressionAlgorithm } from '@opentelemetry/otlp-exporter-base';
import { convertLegacyHttpOptions } from '@opentelemetry/otlp-exporter-base/node-http';
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, type ReadableSpan, type SpanExporter as Exporter } from '@opentelemetry/sdk-trace';
import { ATTR_SERVICE_NAME, ATTR_SERVICE_VERSION } from '@opentelemetry/semantic-conventions';
import { TidegateError } from '../../../errors/tidegate-error.js';
import type { TracedRequest } from '../../tracing/traced-request.js';
import { readableSpans, type SpanSource } from './readable-spans.js';

export interface ExportSettings {
  /** Whole: `http://host:4318/v1/traces`. */
  readonly url: string;
  /** Contents, not references. */
  readonly headers: Readonly<Record<string, string>>;
  /** What is absent is OpenTelemetry's environment variables' to say. */
  readonly timeoutMs?: number;
  readonly compression?: 'none' | 'gzip';
  /** PEM; absent: what Node trusts. */
  readonly ca?: string;
  readonly serviceName?: string;
  readonly node: string;
  readonly version: string;
}

export interface ExporterLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

/** Spans that wait or are on their way: about 8 MB of memory. */
const MOST_WAITING = 4096;
/** Encoded at a time: 512 hold the process up for about 3 ms. */
const BATCH = 512;
const WAIT_MS = 1000;
/** A node that stops waits for its receiver no longer. ms. */
const LAST_EXPORT_MS = 3000;
/** OpenTelemetry's own time-outs, which know what they waited for, come first. */
const BEYOND_TIMEOUT_MS = 1000;

export class SpanExporter {
  readonly #settings: ExportSettings;
  readonly #log: ExporterLog;
  readonly #count: (result: 'exported' | 'dropped', spans: number) => void;
  readonly #source: SpanSource;
  readonly #processor: BatchSpanProcessor;
  #waiting = 0;
  #failing = false;
  #full = false;

  /** @param count is told of each span once: how it went */
  constructor(settings: ExportSettings, count: (result: 'exported' | 'dropped', spans: number) => void, log: ExporterLog) {
    this.#settings = settings;
    this.#count = count;
    this.#log = log;
    const { serviceName, node, version } = settings;
    this.#source = {
      resource: resourceFromAttributes({ [ATTR_SERVICE_NAME]: 'tidegate', [ATTR_SERVICE_VERSION]: version, 'service.instance.id': node })
        .merge(detectResources({ detectors: [envDetector] })).merge(resourceFromAttributes(serviceName === undefined ? {} : { [ATTR_SERVICE_NAME]: serviceName })),
      instrumentationScope: { name: 'tidegate', version },
    };
    const exporter = otlpExporter(settings);
    this.#processor = new BatchSpanProcessor({
      exporter: this.#counted(exporter), maxQueueSize: MOST_WAITING, maxExportBatchSize: BATCH, scheduledDelayMillis: WAIT_MS, exportTimeoutMillis: exporter.timeoutMs + 2 * BEYOND_TIMEOUT_MS,
    });
  }

  take(requests: readonly TracedRequest[]): void {
    for (const request of requests) {
      const spans = 1 + request.attempts.length;
      // a trace whole, or not at all
      if (this.#waiting + spans > MOST_WAITING) {
        this.#count('dropped', spans);
        this.#sayFull();
        continue;
      }
      this.#waiting += spans;
      for (const span of readableSpans(request, this.#source)) this.#processor.onEnd(span);
    }
  }

  /** Exports what waits, and ends; what its receiver does not take in time is given up. */
  async close(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => { timer = setTimeout(resolve, LAST_EXPORT_MS); });
    await Promise.race([this.#processor.shutdown().catch(() => {}), late]);
    clearTimeout(timer);
    if (this.#waiting > 0) this.#log.warn({ spans: this.#waiting, url: this.#settings.url }, 'spans are given up: their receiver did not take them in time');
  }

  #counted({ exporter, timeoutMs, abort }: OtlpExporter): Exporter {
    return {
      export: (spans: ReadableSpan[], done: (result: ExportResult) => void) => {
        const late = setTimeout(abort, timeoutMs + BEYOND_TIMEOUT_MS);
        exporter.export(spans, (result) => {
          clearTimeout(late);
          this.#waiting -= spans.length;
          this.#full &&= this.#waiting > 0;
          const taken = result.code === ExportResultCode.SUCCESS;
          this.#count(taken ? 'exported' : 'dropped', spans.length);
          this.#say(taken, result.error);
          done(result);
        });
      },
      shutdown: () => exporter.shutdown(),
    };
  }

  /** Once, until nothing waits any more; a receiver that is away has been told of. */
  #sayFull(): void {
    if (this.#full || this.#failing) return;
    this.#full = true;
    const { code, remedy } = new TidegateError('spans_not_taken', '');
    this.#log.warn({ code, url: this.#settings.url, reason: `${MOST_WAITING} wait already` }, `spans are given up: ${remedy}`);
  }

  /** Once when it begins to fail, and once when it is over. */
  #say(taken: boolean, error: Error | undefined): void {
    if (taken !== this.#failing) return;
    this.#failing = !taken;
    const { url } = this.#settings;
    if (taken) {
      this.#log.info({ url }, 'spans are taken again');
      return;
    }
    const { code, remedy } = new TidegateError('spans_not_taken', '');
    this.#log.warn({ code, url, reason: error?.message ?? 'no reason was given' }, `spans are given up: ${remedy}`);
  }
}

interface OtlpExporter {
  readonly exporter: Exporter;
  /** Of an export, its repetitions included; the environment's, where the configuration says nothing. */
  readonly timeoutMs: number;
  /** Ends what is under way: the exporter's time-out is of silence, and a receiver that sends a byte now and then is never silent. */
  readonly abort: () => void;
}

function otlpExporter({ url, headers, timeoutMs, compression, ca }: ExportSettings): OtlpExporter {
  const config = {
    url, headers: { ...headers },
    ...(timeoutMs === undefined ? {} : { timeoutMillis: timeoutMs }),
    ...(compression === undefined ? {} : { compression: compression === 'gzip' ? CompressionAlgorithm.GZIP : CompressionAlgorithm.NONE }),
    ...(ca === undefined ? {} : { httpAgentOptions: () => new TlsAgent({ keepAlive: true, ca }) }),
  };
  // what the exporter would make of it and of the environment
  const { timeoutMillis, agentFactory } = convertLegacyHttpOptions(config, 'TRACES', 'v1/traces', {});
  let agent: Agent | null = null;
  const exporter = new OTLPTraceExporter({ ...config, httpAgentOptions: async (protocol) => (agent = await agentFactory(protocol)) });
  return { exporter, timeoutMs: timeoutMillis, abort: () => { agent?.destroy(); } };
}
