/** What a worker is told of the configuration: what requests need. It calls no side system, so it holds no credential of one. */
import type { LoadedConfig } from './load.js';
import type { Config } from './schema.js';
import { secretReferences, type Secrets } from './secrets.js';
import type { TracingRules } from '../tracing/request-tracing.js';

export type WorkerConfig = Omit<Config, 'control' | 'reports' | 'event_log' | 'store' | 'shared_state' | 'privacy' | 'log' | 'tracing'> & {
  readonly privacy: Pick<Config['privacy'], 'client'>;
  readonly log: Pick<Config['log'], 'access'>;
  /** Null: no receiver of spans is named. */
  readonly tracing: TracingRules | null;
};

/** Beside the references: what clients are hashed with, wherever it was kept. */
export const CLIENT_KEY = 'privacy.key';

/** @param clientKey null: nothing is hashed */
export function workerConfig({ config, secrets }: Pick<LoadedConfig, 'config' | 'secrets'>, clientKey: string | null): { readonly config: WorkerConfig; readonly secrets: Secrets } {
  const { control: _control, reports: _reports, event_log: _log, store: _store, shared_state: _shared, privacy: { client }, log: { access }, tracing: { otlp, service_name: _name, ...tracing }, ...own } = config;
  const references = secretReferences(config).filter(({ path: [first, , key], reference }) => first === 'apps' && key !== 'webhook' && Object.hasOwn(secrets, reference));
  const apps = own.apps.map(({ webhook: _webhook, ...app }) => app);
  const told = [...references.map(({ reference }) => [reference, secrets[reference] ?? '']), ...(clientKey === null ? [] : [[CLIENT_KEY, clientKey]])];
  return { config: { ...own, apps, privacy: { client }, log: { access }, tracing: otlp.url === '' ? null : tracing }, secrets: Object.fromEntries(told) as Secrets };
}
