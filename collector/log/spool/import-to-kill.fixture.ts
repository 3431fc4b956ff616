/** Imports a log in a process of its own, and is killed after so many pieces of it were written: `import-to-kill.fixture.ts DATA_DIR FILE PIECES`. */
import { importLog } from '../../../gateway/events/import/import-log.js';
import { importOptions } from './imported-log.fixture.js';

const [dataDir = '', file = '', pieces = '0'] = process.argv.slice(2);
let written = 0;
await importLog({ ...importOptions(dataDir, file), onProgress: () => { if (++written === Number(pieces)) process.kill(process.pid, 'SIGKILL'); } });
