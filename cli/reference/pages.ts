/** Every file that `npm run docs` writes, by its path from the package's root: rendered from the code, so that they cannot tell another story. */
import { renderConfiguration, renderErrors, renderJsonSchema, renderOutcomes } from '../../gateway/config/reference.js';
import { renderMetrics } from './metrics.js';

export function renderPages(): ReadonlyMap<string, string> {
  return new Map([
    ['tidegate.schema.json', renderJsonSchema()],
    ['docs/reference/configuration.md', renderConfiguration()],
    ['docs/reference/errors.md', renderErrors()],
    ['docs/reference/outcomes.md', renderOutcomes()],
    ['docs/reference/metrics.md', renderMetrics()],
  ]);
}
