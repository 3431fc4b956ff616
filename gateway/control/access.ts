/** Who asks the control origin, and whether they may. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { BlockList, isIPv4, isIPv6 } from 'node:net';
import type { FastifyRequest } from 'fastify';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { ControlDeps, Principal } from './control-deps.js';
import type { Access } from './endpoints.js';

const BEARER = /^Bearer +([\x21-\x7e]+) *$/i;
const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/**
 * Asked from this machine, and under a name of this machine. From where: by the connection's peer alone, no header says it. The Host, because
 * a browser on this machine is a peer on loopback for every page it shows: a page may let its own name point to 127.0.0.1 (DNS rebinding)
 * and would read the answer as its own, but the Host then is that name.
 */
export function isLocal(deps: ControlDeps, request: FastifyRequest): boolean {
  const address = request.socket.remoteAddress?.replace(/^::ffff:/i, '') ?? '';
  if (address === '' || !loopback.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')) return false;
  const host = hostOf(request.headers.host ?? '');
  return host === 'localhost' || host === '[::1]' || (isIPv4(host) && loopback.check(host)) || (host !== '' && host === hostOf(deps.address()));
}

/** Of `host:port`, where the port may be absent. */
function hostOf(text: string): string {
  return /^(\[[^\]]*\]|[^:[\]]*)(?::\d*)?$/.exec(text.toLowerCase())?.[1] ?? '';
}

/** Null: no bearer, or one that is nobody's. */
export async function identifyPrincipal(deps: ControlDeps, authorization: string | undefined): Promise<Principal | null> {
  const bearer = BEARER.exec(authorization ?? '')?.[1];
  if (bearer === undefined) return null;
  if (sameSecret(bearer, deps.token())) return { kind: 'operator' };
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
  if (access === 'open' || (access === 'loopback' && isLocal(deps, request))) return null;
  const principal = await identifyPrincipal(deps, request.headers.authorization);
  if (principal === null) throw new TidegateError('unauthenticated', 'Authorization: Bearer with the control token, or with an app\'s own credential for its reports.');
  if (principal.kind !== 'operator' && access !== 'reports') throw new TidegateError('operator_only', 'An app\'s own credential reads its reports, completeness and requests only.');
  return principal;
}
