/** Who asks the control origin, and whether they may. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { BlockList, isIPv6 } from 'node:net';
import type { FastifyRequest } from 'fastify';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { ControlDeps, Principal } from './control-deps.js';
import type { Access } from './endpoints.js';

const BEARER = /^Bearer +([\x21-\x7e]+) *$/i;
const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/** By the connection's peer alone: no header says where a request of the control origin comes from. */
export function isLoopback(request: FastifyRequest): boolean {
  const address = request.socket.remoteAddress?.replace(/^::ffff:/i, '') ?? '';
  return address !== '' && loopback.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}

/** Null: no bearer, or one that is nobody's. */
export async function identifyPrincipal(deps: ControlDeps, authorization: string | undefined): Promise<Principal | null> {
  const bearer = BEARER.exec(authorization ?? '')?.[1];
  if (bearer === undefined) return null;
  if (sameSecret(bearer, deps.token)) return { kind: 'operator' };
  const app = await deps.identify(bearer);
  return app === null ? null : { kind: 'app', app };
}

/** Of the digests, so that neither content nor length shows in the time it takes. */
function sameSecret(a: string, b: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b)) && b !== '';
}

/**
 * @returns who asks; null: nobody in particular, where that is allowed
 * @throws unauthenticated, operator_only
 */
export async function admit(deps: ControlDeps, access: Access, request: FastifyRequest): Promise<Principal | null> {
  if (access === 'open' || (access === 'loopback' && isLoopback(request))) return null;
  const principal = await identifyPrincipal(deps, request.headers.authorization);
  if (principal === null) throw new TidegateError('unauthenticated', 'Authorization: Bearer with the control token, or with an app\'s own credential for its reports.');
  if (principal.kind !== 'operator' && access !== 'reports') throw new TidegateError('operator_only', 'An app\'s own credential reads its reports, completeness and requests only.');
  return principal;
}
