/** All parts, in the order in which they run and stand in the report. */
import type { Part } from './part.js';
import { collectorPart } from './parts/collector.js';
import { http2Part } from './parts/http2.js';
import { kafkaPart } from './parts/kafka.js';
import { latencyPart } from './parts/latency.js';
import { layersPart } from './parts/layers.js';
import { queriesPart } from './parts/queries.js';
import { recordingPart } from './parts/recording.js';
import { memoryPart } from './parts/memory.js';
import { overloadPart } from './parts/overload.js';
import { requestPart } from './parts/request.js';
import { scalePart } from './parts/scale.js';
import { scenariosPart } from './parts/scenarios.js';
import { tracingPart } from './parts/tracing.js';
import { workersPart } from './parts/workers.js';

export const PARTS: readonly Part[] = [
  requestPart,
  scenariosPart,
  layersPart,
  latencyPart,
  overloadPart,
  workersPart,
  memoryPart,
  http2Part,
  recordingPart,
  tracingPart,
  scalePart,
  collectorPart,
  kafkaPart,
  queriesPart,
];
