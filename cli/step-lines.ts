/** The lines of what a node does step by step, as its answer brings them. */
import type { StepsFailed } from '../collector/api/step-lines.js';
import { TidegateError } from '../errors/tidegate-error.js';
import type { ControlClient, Query } from './control-client.js';

/** @throws what the node answers, also as its last line; control_unreachable: it broke off */
export async function* stepLines<Line extends { readonly type: string }>(client: ControlClient, path: string, query: Query = {}): AsyncGenerator<Line> {
  let rest = '';
  let ended = false;
  for await (const piece of client.pieces('POST', path, { query })) {
    const lines = (rest + piece).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines.map((text) => JSON.parse(text) as Line | StepsFailed)) {
      if (isFailed(line)) throw new TidegateError(line.code, line.detail);
      ended = line.type === 'end';
      yield line;
    }
  }
  if (!ended) throw new TidegateError('control_unreachable', 'the answer broke off; what is done stays, and the same command goes on');
}

const isFailed = (line: { readonly type: string }): line is StepsFailed => line.type === 'failed';
