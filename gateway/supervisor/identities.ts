/** Who a bearer of the control origin is: an app, by its API key or its token, for its own reports. */
import type { CompiledApp } from '../config/snapshot.js';
import { encodeLabels } from '../events/labels.js';
import { secretOf } from '../config/secrets.js';
import { buildIdentityIndex, type IdentityIndex } from '../policies/identity-index.js';
import { RemoteKeySets, type IdentityLog } from '../policies/remote-key-sets.js';
import type { ConfigInForce } from './run-files.js';

export class Identities {
  readonly #log: IdentityLog;
  readonly #remoteKeySets: RemoteKeySets;
  #index: IdentityIndex;

  constructor(inForce: ConfigInForce, log: IdentityLog) {
    this.#log = log;
    this.#remoteKeySets = new RemoteKeySets(log);
    this.#index = this.#build(inForce);
  }

  replace(inForce: ConfigInForce): void {
    this.#index = this.#build(inForce);
  }

  /** The app that the bearer belongs to and that may read its reports; null: nobody. */
  async find(bearer: string): Promise<string | null> {
    if (bearer.split('.').length === 3) {
      const identity = await this.#index.tokens.check(bearer, Date.now());
      return typeof identity === 'string' ? null : identity.app.name;
    }
    return this.#index.apiKeys.find(bearer)?.name ?? null;
  }

  #build({ config, secrets }: ConfigInForce): IdentityIndex {
    // only names and credentials are looked at: the rest of a compiled app is the request path's
    const apps = new Map<string, CompiledApp>(config.apps.map((app) => [app.name, { name: app.name, config: app, label: encodeLabels(''), services: new Set(app.services) }]));
    return buildIdentityIndex(apps, { scope: 'reports', readSecret: (reference) => secretOf(reference, secrets), remoteKeySets: this.#remoteKeySets, log: this.#log });
  }
}
