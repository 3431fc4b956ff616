/** Who asks the control origin or the apps' listener, whether they may, and how often. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { BlockList, isIPv4, isIPv6 } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { TidegateError } from '../../errors/tidegate-error.js';
import { rateLimitField, rateLimitPolicyField, retryAfterField } from '../listeners/http/rate-limit-fields.js';
import { clientAddress } from '../routing/forwarded.js';
import type { ControlDeps, Principal } from './control-deps.js';
import { MAY_USE, type Access, type Origin } from './endpoints.js';
import { MOST_UNDER_WAY } from './report-quota.js';
import { untilAnswered } from './until-answered.js';

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

/**
 * Null: no bearer, or one that is nobody's at this origin. At the apps' listener a control token is a text like any other: it is compared with nothing.
 * @throws wrong_tokens_limited
 */
export async function identifyPrincipal(deps: ControlDeps, origin: Origin, request: FastifyRequest): Promise<Principal | null> {
  const bearer = BEARER.exec(request.headers.authorization ?? '')?.[1];
  if (bearer === undefined) return null;
  const client = clientAddress(request.socket.remoteAddress ?? '', request.raw.rawHeaders, deps.trustedProxies());
  return deps.wrongTokens.verified(origin, client, bearer, async () => {
    const holder = origin === 'control' ? holderOf(deps, bearer) : null;
    if (holder !== null) return holder;
    const app = await deps.identify(bearer);
    return app === null ? null : { kind: 'app', app };
  });
}

/** Digests are compared, all of them, so that neither content nor length shows in the time it takes. */
function holderOf(deps: ControlDeps, bearer: string): Principal | null {
  const shown = digest(bearer);
  const operator = deps.token();
  let holder: Principal | null = timingSafeEqual(shown, digest(operator)) && operator !== '' ? { kind: 'operator' } : null;
  for (const { name, role, sha256 } of deps.tokens()) {
    if (timingSafeEqual(shown, Buffer.from(sha256, 'hex'))) holder ??= { kind: role, name };
  }
  return holder;
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

const SHOW: Readonly<Record<Origin, string>> = {
  control: 'Send the control token, or an app\'s own credential for its reports, in Authorization: Bearer.',
  reports: 'Send an API key of the app that has the scope reports, or its JWT, in Authorization: Bearer.',
};

const REFUSED: Readonly<Record<Principal['kind'], string>> = {
  operator: 'This is not for the operator.',
  read_only: 'A token with the role read_only changes nothing, and tries no configuration.',
  billing: 'A token with the role billing reads reports, live numbers, completeness and exports of closed days only.',
  app: 'An app\'s own credential reads its reports, completeness, requests and closed days only.',
};

/**
 * @returns who asks; null: nobody in particular, where that is allowed
 * @throws unauthenticated, operator_only, wrong_tokens_limited
 */
export async function admit(deps: ControlDeps, origin: Origin, access: Access, request: FastifyRequest): Promise<Principal | null> {
  const roles = MAY_USE[access][origin];
  if (roles.includes('nobody') || (access === 'loopback' && isLocal(deps, request))) return null;
  const principal = await identifyPrincipal(deps, origin, request);
  if (principal === null) throw new TidegateError('unauthenticated', SHOW[origin]);
  if (!roles.includes(principal.kind)) throw new TidegateError('operator_only', REFUSED[principal.kind]);
  return principal;
}

/**
 * Takes a place for the query that `request` makes, until it is answered or its asker has left, and says in header fields what is left.
 * @throws report_rate_limited
 */
export function takeQuery(deps: ControlDeps, principal: Principal, request: FastifyRequest, reply: FastifyReply): void {
  if (principal.kind === 'operator') return;
  const asker = principal.kind === 'app' ? `app:${principal.app}` : `token:${principal.name}`;
  const { refused, fields } = deps.quota.enter(asker, performance.now());
  void reply.headers({ 'ratelimit-policy': rateLimitPolicyField(fields), ratelimit: rateLimitField(fields) });
  if (refused === null) {
    untilAnswered(request, reply, () => { deps.quota.leave(asker); });
    return;
  }
  void reply.header('retry-after', retryAfterField(fields));
  throw new TidegateError('report_rate_limited', refused === 'too_many'
    ? `${fields.limit} report queries a minute are allowed.`
    : `${MOST_UNDER_WAY} report queries are under way, streams of live numbers among them.`);
}
