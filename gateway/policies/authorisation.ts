import type { RouteConfig } from '../config/schema.js';
import { refusal, type Policy } from '../exchange.js';

const FORBIDDEN = refusal('forbidden', 'forbidden', 'This app may not call this service.', 'authorisation');

/** Lets an app through to the services that its configuration names. Null for an open route, where there is no app to ask for. */
export function authorisationPolicy(service: string, methods: RouteConfig['authentication']): Policy | null {
  if (methods.length === 0) return null;
  return (exchange) => (exchange.app !== null && exchange.app.services.has(service) ? null : FORBIDDEN);
}
