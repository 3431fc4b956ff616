/** For tests: a collector in a process of its own, that stores what there is and ends; or is killed on the way. Arguments: data directory, rows a range. */
import { Collector } from '../collector.js';
import { silentLog } from './random-events.js';

const DAY_MS = 86_400_000;
const [dataDir, rows] = process.argv.slice(2);
const collector = await Collector.start({
  dataDir: dataDir as string,
  retention: { eventsMs: 30 * DAY_MS, minutesMs: 90 * DAY_MS, quarterHoursMs: 1100 * DAY_MS, maxBytes: 50 * 1024 ** 3 },
  limits: { rows: Number(rows), bytes: 64 * 1024 * 1024 },
  log: { ...silentLog, error: (fields, message) => { console.error(message, fields); } },
});
await collector.stop();
