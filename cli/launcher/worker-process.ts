import { byteCount } from '../../gateway/config/units.js';
import { readConfigInForce, spoolDirOf, supervisorSocket } from '../../gateway/supervisor/run-files.js';
import { GatewayWorker } from '../../gateway/worker.js';
import { ChildLife } from './child-life.js';
import { ENV } from './messages.js';

const slot = Number(process.env[ENV.worker]);
const life = new ChildLife('worker', { worker: slot });
await life.run(async () => {
  const inForce = readConfigInForce(life.runDir);
  if (inForce === null) throw new Error('no configuration in force: workers start after the supervisor');
  const worker = new GatewayWorker({
    socketPath: supervisorSocket(life.runDir), runDir: life.runDir, spoolDir: spoolDirOf(inForce.dataDir), node: inForce.config.node ?? '', run: process.env[ENV.run] || null, worker: slot,
    segmentBytes: byteCount(inForce.config.event_log.spool.segment_bytes), log: life.log,
    access: (rows) => { life.processLog.access(rows); },
  });
  life.onStop(() => worker.drain());
  await worker.start();
  life.send({ type: 'serving' });
});
