/**
 * A collector in a process of its own that puts back what its store has lost, and ends; or dies by SIGKILL at one place on the way, the first time it comes by. Argument: RecoverToKill as JSON.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { TidegateError } from '../../errors/tidegate-error.js';
import { Collector } from '../collector.js';
import { testSettings } from '../log/kafka/topic.fixture.js';
import { silentLog } from '../log/random-events.fixture.js';
import { ChdbStore } from '../store/chdb-store.js';
import type { QueryParams } from '../store/store.js';

export type RecoverKillPlace =
  /** The rows are in the staging file. */
  | 'staged'
  | 'beside'
  /** While the engine moves them: as soon as it was told to. */
  | 'mid-move'
  /** They are in the table, and beside it too: what a kill within the engine's own steps could leave. */
  | 'half-moved'
  | 'moved';

export interface RecoverToKill {
  readonly dataDir: string;
  readonly brokers: string;
  readonly topic: string;
  readonly partitions: number;
  readonly place: RecoverKillPlace | null;
}

const DAY_MS = 86_400_000;
const NOT_ALONE_FOR_MS = 60_000;
const { dataDir, brokers, topic, partitions, place } = JSON.parse(process.argv[2] ?? '{}') as RecoverToKill;

function passes(passed: RecoverKillPlace): void {
  if (passed === place) process.kill(process.pid, 'SIGKILL');
}

const insertBeside: ChdbStore['insertBeside'] = Reflect.get(ChdbStore.prototype, 'insertBeside');
ChdbStore.prototype.insertBeside = async function (this: ChdbStore, ...args: Parameters<ChdbStore['insertBeside']>): Promise<void> {
  passes('staged');
  await insertBeside.apply(this, args);
  passes('beside');
};
const command: ChdbStore['command'] = Reflect.get(ChdbStore.prototype, 'command');
ChdbStore.prototype.command = async function (this: ChdbStore, statement: string, params?: QueryParams): Promise<void> {
  const moves = /events_mended MOVE PARTITION ID ('\d+')/.exec(statement);
  const run = command.call(this, moves !== null && place === 'half-moved' ? `ALTER TABLE tidegate.events ATTACH PARTITION ID ${moves[1]} FROM tidegate.events_mended` : statement, params);
  if (moves !== null) setImmediate(passes, 'mid-move');
  await run;
  if (moves === null) return;
  passes('half-moved');
  passes('moved');
};

const collector = await Collector.start({
  dataDir, retention: { eventsMs: 30 * DAY_MS, minutesMs: 90 * DAY_MS, quarterHoursMs: 1100 * DAY_MS, maxBytes: 50 * 1024 ** 3 },
  kafka: { settings: testSettings(brokers, topic, partitions), sessionTimeoutMs: 3000 }, log: silentLog,
});
// one that was killed is in the group for as long as its session lasts
for (const untilMs = performance.now() + NOT_ALONE_FOR_MS; ;) {
  try {
    await collector.recover({ putBack: true, signal: new AbortController().signal, tell: (line) => { if (line.type === 'end') process.send?.(line); } });
    break;
  } catch (error) {
    if (!(error instanceof TidegateError) || error.code !== 'rebuild_not_alone' || performance.now() > untilMs) throw error;
    await pause(200);
  }
}
await collector.stop();
