/** All parts, in the order in which they run and stand in the report. */
import type { Part } from './part.js';
import { collectorPart } from './parts/collector.js';
import { kafkaPart } from './parts/kafka.js';
import { recordingPart } from './parts/recording.js';
import { requestPart } from './parts/request.js';
import { scalePart } from './parts/scale.js';

export const PARTS: readonly Part[] = [
  requestPart,
  recordingPart,
  scalePart,
  collectorPart,
  kafkaPart,
];
