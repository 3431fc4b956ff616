/** What the figures were taken on: without it they say nothing. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import os from 'node:os';
import { createRequire } from 'node:module';
import { programPath } from '../harness/requires.js';

export function describeMachine(): string {
  const cpu = os.cpus()[0]?.model ?? 'unknown';
  const memory = (os.totalmem() / 1024 ** 3).toFixed(1);
  return `${cpu}, ${os.cpus().length} cores, ${memory} GiB, ${os.type()} ${os.release()}`;
}

/** Of everything that took part. */
export function describeVersions(): string {
  const versions: [string, string | null][] = [
    ['Node', process.versions.node],
    ['nginx', said('nginx', ['-v'], /nginx\/([\d.]+)/)],
    ['haproxy', said('haproxy', ['-v'], /version ([\d.]+)/)],
    ['Caddy', said('caddy', ['version'], /v?([\d.]+)/)],
    ['Go', said('go', ['version'], /go([\d.]+)/)],
    ['wrk', said('wrk', ['-v'], /wrk \S*?(\d[\d.]+)/)],
    ...['@fastify/http-proxy', 'fastify', 'undici', 'chdb'].map((name): [string, string | null] => [name, packageVersion(name)]),
  ];
  return versions.flatMap(([name, version]) => (version === null ? [] : [`${name} ${version}`])).join(', ');
}

/** A core that others use makes every figure worse: load average of the last minute before the bench began. */
export function loadAverage(): number {
  return os.loadavg()[0] ?? 0;
}

function said(program: string, args: readonly string[], version: RegExp): string | null {
  const path = programPath(program);
  if (path === null) return null;
  try {
    // nginx says it on stderr, wrk with an exit code
    return version.exec(execFileSync('/bin/sh', ['-c', '"$0" "$@" 2>&1 || true', path, ...args], { encoding: 'utf8', timeout: 5000 }))?.[1] ?? null;
  } catch {
    return null;
  }
}

function packageVersion(name: string): string | null {
  const { resolve } = createRequire(import.meta.url);
  for (const folder of resolve.paths(name) ?? []) {
    try {
      return (JSON.parse(readFileSync(`${folder}/${name}/package.json`, 'utf8')) as { version: string }).version;
    } catch {
      // the next folder
    }
  }
  return null;
}
