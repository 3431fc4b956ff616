import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TidegateError } from '../../errors/tidegate-error.js';
import { kafkaFailure } from './kafka-client.js';

test('a failure of ours keeps its code where kafkajs has tried it as often as it may', () => {
  const ours = new TidegateError('kafka_unreachable', '127.0.0.1:9092: no answer to Produce within 12 s');
  assert.equal(kafkaFailure(new Error('retries exceeded', { cause: ours })), ours);
});
