import { TidegateError } from '../../errors/tidegate-error.js';
import { PARTS } from '../../gateway/supervisor/part.js';
import { Supervisor } from '../../gateway/supervisor/supervisor.js';
import { LOOK_EVERY_MS } from '../log/log-file.js';
import { LogRotation } from '../log/rotation.js';
import { programVersion } from '../version.js';
import { ChildLife } from './child-life.js';
import { ENV } from './messages.js';

const life = new ChildLife('supervisor');

/** The launcher takes it, once for all supervisors of its run. */
function takeDataDir(dataDir: string): Promise<string | null> {
  return new Promise((resolve, reject) => {
    life.on('held', ({ run }) => { resolve(run); });
    life.on('not_held', ({ code, detail }) => { reject(new TidegateError(code, detail)); });
    life.send({ type: 'data_dir', dataDir });
  });
}

await life.run(async () => {
  let supervisor: Supervisor | null = null;
  let rotation: LogRotation | null = null;
  supervisor = await Supervisor.start({
    configFile: process.env[ENV.config] ?? 'tidegate.yaml', runDir: life.runDir, part: PARTS.find((part) => part === process.env[ENV.part]) ?? 'whole', version: programVersion(), log: life.log,
    takeRun: takeDataDir,
    onLog: (settings) => {
      life.processLog.apply(settings);
      life.send({ type: 'log', settings });
      if (rotation !== null) rotation.configure(settings);
      else {
        rotation = new LogRotation({ settings, log: life.log });
        setInterval(() => { rotation?.look(); }, LOOK_EVERY_MS).unref();
      }
    },
    onReload: () => {
      if (supervisor === null) return;
      life.send({ type: 'workers', n: supervisor.wantedWorkers, drainMs: supervisor.drainMs });
      life.send({ type: 'reloaded' });
    },
    onRestart: () => { life.send({ type: 'restart' }); },
  });
  const running = supervisor;
  life.on('stopping', () => { running.stopping(); });
  life.on('collector', ({ news }) => { running.collectorStands(news); });
  life.on('restarts', ({ workers }) => { running.workersRestarted(workers); });
  life.on('restart', ({ status }) => { running.restartStands(status); });
  life.on('suppressed', ({ lines }) => { running.linesSuppressed(lines); });
  life.on('seal', () => {
    running.seal();
    life.send({ type: 'sealed' });
  });
  life.onStop(() => running.stop());
  life.send({ type: 'ready', workers: running.wantedWorkers, drainMs: running.drainMs });
});
