/** Who asks, as the supervisor says: it alone reaches the collector's socket, and sets the field itself. */
export type Principal =
  | { readonly kind: 'operator' }
  | { readonly kind: 'app'; readonly app: string };

export const PRINCIPAL_FIELD = 'x-tidegate-principal';
/** Zone to use where a query names none. */
export const TIME_ZONE_FIELD = 'x-tidegate-time-zone';

/** `operator`, `app:<name>`; null for anything else. */
export function parsePrincipal(value: string | readonly string[] | undefined): Principal | null {
  if (value === 'operator') return { kind: 'operator' };
  if (typeof value !== 'string' || !value.startsWith('app:') || value.length === 4) return null;
  return { kind: 'app', app: value.slice(4) };
}
