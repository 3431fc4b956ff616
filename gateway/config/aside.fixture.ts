/** A process for the tests of runAside: answers `say` with its pid, ends of itself at `exit`, and never answers `hang`, not even to signals that can be caught. */
import { answerAside } from './aside.js';

process.on('SIGTERM', () => undefined);

answerAside(({ what }: { readonly what: 'say' | 'exit' | 'hang' }) => {
  if (what === 'exit') process.exit(7);
  if (what === 'hang') for (;;);
  return { pid: process.pid };
});
