/** The process that a large configuration is read in: it lives for one answer. */
import { loadConfig, loadConfigText } from './load.js';

process.once('disconnect', () => { process.exit(0); });
process.once('message', ({ file, text }: { readonly file: string; readonly text?: string }) => {
  process.send?.(text === undefined ? loadConfig(file) : loadConfigText(text, file), () => { process.disconnect(); });
});
