/** The way through Kafka: shipped, collected, and from a request's end to its report. */
import { kafkaMissing, startKafka } from '../bench-kafka.js';
import { collectorMissing } from '../collector-bench.js';
import { benchKafka, kafkaMarks, kafkaTable } from '../kafka-bench.js';
import type { Part, Sizes } from '../part.js';
import { benchPipeline, pipelineMark, pipelineTable } from '../pipeline-bench.js';
import { REQUEST_PATH_PROGRAMS } from '../request-path.js';

/** `steadySeconds`: of a steady rate. */
const LOADS: Sizes<{ readonly events: number; readonly steadySeconds: number }> = {
  full: { events: 2_000_000, steadySeconds: 30 }, quick: { events: 400_000, steadySeconds: 10 },
};

export const kafkaPart: Part = {
  name: 'kafka',
  programs: REQUEST_PATH_PROGRAMS,
  missing: () => [kafkaMissing(), collectorMissing()].filter((what) => what !== null).join(', ') || null,
  run: async ({ size, folder, tools }) => {
    const { processes, say } = tools;
    const { events, steadySeconds } = LOADS[size];
    say('starting Kafka');
    const kafka = await startKafka(processes, folder);
    const results = [
      await benchKafka(kafka, processes, folder, 'wide', events, say),
      await benchKafka(kafka, processes, folder, 'narrow', events / 4, say),
    ];
    const pipeline = await benchPipeline(kafka, folder, steadySeconds, tools);
    return [kafkaTable(results), kafkaMarks(results), pipelineTable(pipeline), pipelineMark(pipeline)];
  },
};
