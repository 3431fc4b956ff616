/**
 * What changes between two configurations, by names: a service, route or app that only moved in its list is not taken for another. No
 * change means: the same version, and the other way round.
 */
import { isDeepStrictEqual } from 'node:util';
import { formatPath } from './config-problem.js';
import { HIDDEN, redactConfig } from './redact.js';
import type { Config } from './schema.js';
import { secretReferences } from './secrets.js';
import type { Secrets } from './secrets.js';
import { canonicalJson } from './version.js';
import { isMap } from './variables.js';
import { asWritten } from './written.js';
import type { Written } from './written.js';

export interface Change {
  /** `services[catalogue].routes[products].match.path`; names as written, like all else. */
  readonly path: string;
  readonly kind: 'added' | 'removed' | 'changed';
  /** Absent when added. Secrets are hidden; variables stand as they are written, so `before` and `after` can look the same. */
  readonly before?: unknown;
  /** Absent when removed. */
  readonly after?: unknown;
}

export interface DiffSide {
  readonly config: Config;
  readonly secrets?: Secrets;
  /** Absent: no variable has a part in it. */
  readonly written?: readonly Written[];
}

/** Lists whose entries are matched by a member rather than by position. */
const NAMED: Readonly<Record<string, string>> = { services: 'name', routes: 'name', apps: 'name', keys: 'id', tokens: 'name', targets: 'url' };

/** In the order of paths. */
export function diffConfigs(before: DiffSide, after: DiffSide): Change[] {
  const changes: Change[] = [];
  const [oldWritten, nowWritten] = [asWritten(before.config, before.written ?? []), asWritten(after.config, after.written ?? [])];
  compare('', '', { real: before.config, shown: redactConfig(oldWritten) }, { real: after.config, shown: redactConfig(nowWritten) }, changes);
  const [old, now] = [before.secrets ?? {}, after.secrets ?? {}];
  const names = referenceTexts(after.config, nowWritten);
  for (const reference of new Set([...Object.keys(old), ...Object.keys(now)])) {
    // a reference that comes or goes shows in the configuration itself
    if (Object.hasOwn(old, reference) && Object.hasOwn(now, reference) && old[reference] !== now[reference]) {
      changes.push({ path: names.get(reference) ?? reference, kind: 'changed', before: HIDDEN, after: HIDDEN });
    }
  }
  return changes.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

/** What is written where a reference to a file stands. */
function referenceTexts(config: Config, written: Config): Map<string, string> {
  const texts = new Map(secretReferences(written).map(({ path, reference }) => [formatPath(path), reference]));
  return new Map(secretReferences(config).map(({ path, reference }) => [reference, texts.get(formatPath(path)) ?? HIDDEN]));
}

/** A value and its redacted twin, walked side by side: what differs is judged by the first, told by the second. */
interface Twin {
  readonly real: unknown;
  readonly shown: unknown;
}

/** `name`: as written. */
interface NamedTwin extends Twin { readonly name: string }

function compare(path: string, key: string, before: Twin, after: Twin, changes: Change[]): void {
  if (before.real === undefined && after.real === undefined) return;
  if (before.real === undefined) changes.push({ path, kind: 'added', after: after.shown });
  else if (after.real === undefined) changes.push({ path, kind: 'removed', before: before.shown });
  else if (isMap(before.real) && isMap(after.real)) {
    for (const member of new Set([...Object.keys(before.real), ...Object.keys(after.real)])) {
      compare(path === '' ? member : `${path}.${member}`, member, memberOf(before, member), memberOf(after, member), changes);
    }
  } else {
    const [old, now] = [byName(key, before), byName(key, after)];
    if (old !== null && now !== null) compareNamed(path, old, now, changes);
    else if (canonicalJson(before.real) !== canonicalJson(after.real)) changes.push({ path, kind: 'changed', before: before.shown, after: after.shown });
  }
}

function compareNamed(path: string, before: ReadonlyMap<string, NamedTwin>, after: ReadonlyMap<string, NamedTwin>, changes: Change[]): void {
  const absent: NamedTwin = { real: undefined, shown: undefined, name: '' };
  for (const name of new Set([...before.keys(), ...after.keys()])) {
    const [old, now] = [before.get(name) ?? absent, after.get(name) ?? absent];
    // most of 10,000 apps are as they were
    if (!isDeepStrictEqual(old.real, now.real)) compare(`${path}[${(now.real === undefined ? old : now).name}]`, '', old, now, changes);
  }
  // the order counts where two routes are equally particular; where something new was put in shows in the version only
  const kept = [...before.keys()].filter((name) => after.has(name));
  const keptNow = [...after.keys()].filter((name) => before.has(name));
  if (kept.some((name, i) => name !== keptNow[i])) {
    const moved = firstDifference(kept, keptNow);
    changes.push({ path: `${path} (order)`, kind: 'changed', before: kept.slice(...moved).map((name) => before.get(name)?.name), after: keptNow.slice(...moved).map((name) => after.get(name)?.name) });
  }
}

/** From the first to behind the last position that differs. */
function firstDifference(a: readonly string[], b: readonly string[]): [number, number] {
  let start = 0;
  while (a[start] === b[start]) start++;
  let end = a.length;
  while (a[end - 1] === b[end - 1]) end--;
  return [start, end];
}

function byName(key: string, list: Twin): Map<string, NamedTwin> | null {
  const member = NAMED[key];
  if (member === undefined || !Array.isArray(list.real) || !Array.isArray(list.shown)) return null;
  const entries = new Map<string, NamedTwin>();
  for (const [i, real] of (list.real as readonly unknown[]).entries()) {
    // an app's `services` are names, no maps
    if (!isMap(real)) return null;
    const shown = (list.shown as readonly Record<string, unknown>[])[i];
    entries.set(String(real[member]), { real, shown, name: String(shown?.[member]) });
  }
  return entries;
}

function memberOf(twin: Twin, member: string): Twin {
  const get = (value: unknown): unknown => (isMap(value) && Object.hasOwn(value, member) ? value[member] : undefined);
  return { real: get(twin.real), shown: get(twin.shown) };
}

/** One line a change: `+ path: value`, `- path: value`, `~ path: before -> after`. */
export function renderDiff(changes: readonly Change[]): string {
  return changes.map((change) => {
    switch (change.kind) {
      case 'added': return `+ ${change.path}: ${JSON.stringify(change.after)}`;
      case 'removed': return `- ${change.path}: ${JSON.stringify(change.before)}`;
      case 'changed': return `~ ${change.path}: ${JSON.stringify(change.before)} -> ${JSON.stringify(change.after)}`;
    }
  }).join('\n');
}
