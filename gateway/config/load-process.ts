/** The process that a large configuration is read in: it lives for one answer. */
import { answerAside } from './aside.js';
import { loadConfig, loadConfigText } from './load.js';

answerAside(({ file, text }: { readonly file: string; readonly text?: string }) => (text === undefined ? loadConfig(file) : loadConfigText(text, file)));
