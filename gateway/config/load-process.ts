/** The process that a large configuration is read in: it lives for one answer. */
import { loadConfig } from './load.js';

process.once('disconnect', () => { process.exit(0); });
process.once('message', (file: string) => {
  process.send?.(loadConfig(file), () => { process.disconnect(); });
});
