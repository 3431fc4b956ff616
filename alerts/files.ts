/** Every file of rules, by its name. */
import { eventGroup } from './event-rules.js';
import { nodeGroup } from './node-rules.js';
import { objectiveGroup } from './objective-rules.js';
import { renderGroups, type RuleOptions } from './rule.js';
import { serviceGroup } from './service-rules.js';

/** Of the repository, which has no address of its own: runbooks by their path in it; Grafana where docker-compose.yml publishes it. */
export const DEFAULT_DOCS_URL = 'docs/runbooks';
export const DEFAULT_BOARDS_URL = 'http://127.0.0.1:3000';

export function ruleFiles(options: RuleOptions): ReadonlyMap<string, string> {
  const { windows } = options;
  return new Map([
    ['services.yml', renderGroups([serviceGroup(windows)], 'alerts/service-rules.ts', options)],
    ['objectives.yml', renderGroups([objectiveGroup(windows)], 'alerts/objective-rules.ts', options)],
    ['events.yml', renderGroups([eventGroup(windows)], 'alerts/event-rules.ts', options)],
    ['nodes.yml', renderGroups([nodeGroup(windows)], 'alerts/node-rules.ts', options)],
  ]);
}
