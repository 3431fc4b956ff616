/**
 * Who asks, as the supervisor says: it alone reaches the collector's socket, and sets the field itself. `reader`: not the operator, but the token of this
 * name that may read what is asked for; it has its own place in the line.
 */
export type Principal =
  | { readonly kind: 'operator'; readonly reader?: string }
  | { readonly kind: 'app'; readonly app: string };

export const PRINCIPAL_FIELD = 'x-tidegate-principal';
/** Zone to use where a query names none. */
export const TIME_ZONE_FIELD = 'x-tidegate-time-zone';

/** `operator`, `operator:<reader>`, `app:<name>`; null for anything else. */
export function parsePrincipal(value: string | readonly string[] | undefined): Principal | null {
  if (value === 'operator') return { kind: 'operator' };
  const [, kind, name] = typeof value === 'string' ? /^(operator|app):(.+)$/.exec(value) ?? [] : [];
  if (kind === undefined || name === undefined) return null;
  return kind === 'app' ? { kind, app: name } : { kind: 'operator', reader: name };
}
