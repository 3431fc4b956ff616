/** What a worker is told of the configuration: what requests need. It calls no side system, so it holds no credential of one. */
import type { LoadedConfig } from './load.js';
import type { Config } from './schema.js';
import { secretReferences, type Secrets } from './secrets.js';

export type WorkerConfig = Omit<Config, 'control' | 'reports' | 'event_log' | 'store' | 'shared_state'>;

export function workerConfig({ config, secrets }: Pick<LoadedConfig, 'config' | 'secrets'>): { readonly config: WorkerConfig; readonly secrets: Secrets } {
  const { control: _control, reports: _reports, event_log: _log, store: _store, shared_state: _shared, ...own } = config;
  const references = secretReferences(config).filter(({ path: [first], reference }) => first === 'apps' && Object.hasOwn(secrets, reference));
  return { config: own, secrets: Object.fromEntries(references.map(({ reference }) => [reference, secrets[reference] ?? ''])) };
}
