import { PARTS } from '../../gateway/supervisor/part.js';
import { Supervisor } from '../../gateway/supervisor/supervisor.js';
import { LOOK_EVERY_MS } from '../log/log-file.js';
import { LogRotation } from '../log/rotation.js';
import { programVersion } from '../version.js';
import { ChildLife } from './child-life.js';
import { ENV } from './messages.js';

const life = new ChildLife('supervisor');
await life.run(async () => {
  let supervisor: Supervisor | null = null;
  let rotation: LogRotation | null = null;
  supervisor = await Supervisor.start({
    configFile: process.env[ENV.config] ?? 'tidegate.yaml', runDir: life.runDir, part: PARTS.find((part) => part === process.env[ENV.part]) ?? 'whole', version: programVersion(), log: life.log,
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
