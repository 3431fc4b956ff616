/**
 * Every panel of every board on live data: what it asks is answered with data by a real Prometheus, by ClickHouse's engine, by the report API; and its number moves, the
 * right way, when what it shows is made to happen. Reloads, deploys and closed days are there beside them, and traced requests in pictures of latency. Tells each panel with what it answered.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../../cli/version.js';
import { BOARDS_FOLDER } from '../../dashboards/grafana/boards.js';
import { marksOf } from '../../dashboards/preview/annotations.js';
import { ask, type Answer, type BoardJson, type PanelJson, type TargetJson } from '../../dashboards/preview/ask.js';
import { expandPromql, type Shown } from '../../dashboards/preview/expand.js';
import { variablesOf } from '../../dashboards/preview/variables.js';
import { eventually } from '../harness/deadline.js';
import { requires } from '../harness/requires.js';
import { EXPECTATIONS, PHASES, type Expectation, type Phase } from './boards/expectations.js';
import { World } from './boards/world.js';

/** A panel in one file of the boards. */
interface Shot {
  readonly name: string;
  readonly board: BoardJson;
  readonly panel: PanelJson;
  readonly targets: readonly TargetJson[];
  readonly expected: Expectation;
  /** Least and most that its numbers came to before its phase; null: no number. */
  before: { readonly least: number; readonly most: number } | null;
  variables: ReadonlyMap<string, readonly string[]>;
}

const root = join(packageRoot(), BOARDS_FOLDER);
const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.json')).sort();

function shots(): Shot[] {
  return files.flatMap((file) => {
    const board = JSON.parse(readFileSync(join(root, file), 'utf8')) as BoardJson;
    return board.panels.flatMap((panel): Shot[] => {
      if (panel.targets === undefined) return [];
      const expected = EXPECTATIONS[board.uid]?.get(panel.id);
      assert.ok(expected !== undefined, `${file}: what moves panel ${panel.id}, ${panel.title}? (test/e2e/boards/expectations.ts)`);
      return [{ name: `${file} ${panel.id} ${panel.title}`, board, panel, targets: panel.targets, expected, before: null, variables: new Map() }];
    });
  });
}

const numbers = (answer: Answer): number[] => (answer.kind === 'series' ? answer.series.flatMap(({ values }) => values) : answer.rows.flat())
  .filter((value): value is number => typeof value === 'number');

/** Of a store's answer over time, each of its columns has numbers: one that is empty is a row of the heatmap lost. */
const hasNumbers = (answer: Answer, { expr }: TargetJson): boolean =>
  numbers(answer).length > 0 && (expr !== undefined || answer.kind === 'rows' || answer.series.every(({ values }) => values.some((value) => value !== null)));

/** Of all series of all targets together, limits left out, at each time; of rows, of all numbers. */
function extremes({ panel }: Shot, answers: readonly Answer[]): { least: number; most: number } | null {
  const limits = new Set((panel.fieldConfig?.overrides ?? []).map(({ matcher }) => matcher.options));
  const byTime = new Map<number, number>();
  for (const answer of answers) {
    if (answer.kind === 'rows') byTime.set(0, numbers(answer).reduce((sum, value) => sum + value, byTime.get(0) ?? 0));
    else for (const { name, times, values } of answer.series) if (!limits.has(name)) times.forEach((time, index) => { byTime.set(time, (byTime.get(time) ?? 0) + (values[index] ?? 0)); });
  }
  return byTime.size === 0 ? null : { least: Math.min(...byTime.values()), most: Math.max(...byTime.values()) };
}

/** Some at a time: more reports than that would have to wait in line. */
async function each(all: readonly Shot[], look: (shot: Shot) => Promise<void>): Promise<void> {
  const left = [...all];
  await Promise.all(Array.from({ length: 6 }, async () => {
    for (let shot = left.shift(); shot !== undefined; shot = left.shift()) await look(shot);
  }));
}

/** Short, for a line of the output. */
function told(answers: readonly Answer[]): string {
  const parts = answers.map((answer) => {
    if (answer.kind === 'rows') return `${answer.rows.length} rows, first ${JSON.stringify(answer.rows[0])}`;
    const newest = answer.series.map(({ name, labels, values }) => `${name || JSON.stringify(labels)}=${values.findLast((value) => value !== null)?.toPrecision(3)}`);
    return `${newest.slice(0, 4).join(' ')}${newest.length > 4 ? ` and ${newest.length - 4} more` : ''}`;
  });
  return parts.join('; ').slice(0, 160);
}

/** What stands there beside the panels: reloads, deploys, closed days. */
async function assertAnnotated(world: World, fromMs: number): Promise<void> {
  for (const file of files) {
    const board = JSON.parse(readFileSync(join(root, file), 'utf8')) as BoardJson;
    // the month of the day that is billed, where a month is asked for
    const toMs = file.startsWith('report-api') ? world.billedMs : Date.now();
    const marks = await marksOf(board, { fromMs: Math.min(fromMs, toMs - 60_000), toMs, stepS: 1, rateWindowS: 4, variables: new Map([['instance', ['.*']]]) }, world.stores);
    console.log(`${file}: ${marks.map(({ name, time }) => `${name} ${new Date(time * 1000).toISOString()}`).join(', ')}`);
    for (const { name } of board.annotations.list ?? []) assert.ok(marks.some((mark) => mark.name === name), `${file}: ${name}`);
  }
}

async function assertTraced(world: World, all: readonly Shot[], shown: (shot: Shot) => Shown, fromMs: number): Promise<void> {
  for (const shot of all) {
    for (const { expr, exemplar } of shot.targets) {
      if (exemplar !== true || expr === undefined) continue;
      const [labels] = await eventually(`exemplars: ${shot.name}`, async () => {
        const found = await world.prometheus.exemplars(expandPromql(expr, shown(shot)), fromMs);
        return found.length > 0 ? found : null;
      }, 20_000, 500);
      assert.match(labels?.['trace_id'] ?? '', /^[0-9a-f]{32}$/, shot.name);
    }
  }
}

test('every panel has data, and moves when its cause is made', { skip: requires('prometheus', 'kafka', 'redis', 'chdb', 'linux'), timeout: 400_000 }, async () => {
  await using world = await World.start();
  const all = shots();
  const startMs = Date.now();
  const shown = (fromMs: number, shot?: Shot): Shown =>
    // rollups begin at whole minutes; billing is of the month of the day that is billed
    ({ fromMs: shot?.targets.every(({ expr }) => expr === undefined) === true ? startMs - 60_000 : fromMs, toMs: shot?.board.uid === 'tidegate-billing' && shot.targets.every(({ expr }) => expr === undefined) ? world.billedMs : Date.now(), stepS: 1, rateWindowS: 4, variables: shot?.variables ?? new Map() });

  /** As Grafana asks; a number of Prometheus's over the time as well, since it may have come and gone. */
  const answersOf = (shot: Shot, fromMs: number, overTime: boolean): Promise<readonly Answer[]> =>
    Promise.all(shot.targets.map((target) => ask(overTime && target.expr !== undefined ? { ...target, instant: false, format: 'time_series' } : target, shown(fromMs, shot), world.stores)));

  const hasData = new Map<Shot, string>();
  const moved = new Map<Shot, string>();
  const look = async (phase: Phase, fromMs: number): Promise<void> => {
    await each(all, async (shot) => {
      if (shot.expected.by !== phase || moved.has(shot)) return;
      if (!hasData.has(shot)) {
        const answers = await answersOf(shot, fromMs, false);
        if (answers.every((answer, index) => hasNumbers(answer, shot.targets[index] as TargetJson))) hasData.set(shot, told(answers));
      }
      const now = extremes(shot, await answersOf(shot, fromMs, true));
      const before = shot.before ?? { least: 0, most: 0 };
      if (now !== null && hasData.has(shot) && (shot.expected.move === 'up' ? now.most > before.most + Math.abs(before.most) * 0.01 : now.least < before.least - Math.abs(before.least) * 0.01)) {
        moved.set(shot, `${phase}: ${shot.expected.move} from ${(shot.expected.move === 'up' ? before.most : before.least).toPrecision(3)} to ${(shot.expected.move === 'up' ? now.most : now.least).toPrecision(3)}`);
      }
    });
  };
  const waiting = (phase: Phase): Shot[] => all.filter((shot) => shot.expected.by === phase && !moved.has(shot));
  const seen = async (phase: Phase, fromMs: number, withinMs: number): Promise<void> => {
    await eventually(`panels that show it: ${phase}`, async () => {
      await look(phase, fromMs);
      return waiting(phase).length === 0 || null;
    }, withinMs, 500).catch(() => {});
  };

  world.trickle();
  await eventually('events are stored and scraped', async () => (await world.prometheus.query('min(tidegate_insert_rows_total) > 0')).length > 0 || null, 30_000, 200);
  await eventually('some seconds of quiet', () => (Date.now() - startMs > 7000 ? true : null), 30_000, 200);
  await each(all, async (shot) => { shot.variables = await variablesOf(shot.board, shown(startMs), world.stores, new Map([['app', 'acme'], ['service', 'shop']])); });
  for (const phase of PHASES) {
    await each(all, async (shot) => { if (shot.expected.by === phase) shot.before = extremes(shot, await answersOf(shot, Date.now() - 6000, true)); });
    const fromMs = Date.now() + 500;
    switch (phase) {
      case 'load':
        world.load();
        await seen(phase, fromMs, 60_000);
        await assertTraced(world, all, (shot) => shown(fromMs, shot), fromMs);
        break;
      case 'faults': await world.faults(() => seen(phase, fromMs, 60_000)); break;
      case 'closing':
        await world.closing();
        await seen(phase, fromMs, 60_000);
        await assertAnnotated(world, startMs);
        break;
      case 'away': await world.away(); await seen(phase, fromMs, 60_000); break;
    }
    console.log(`${phase}: ${Math.round((Date.now() - startMs) / 1000)} s`, waiting(phase).map(({ name, before }) => `${name} ${JSON.stringify(before)}`));
  }
  for (const shot of all) console.log(`${shot.name}: ${hasData.get(shot) ?? 'NO DATA'} | ${moved.get(shot) ?? 'DOES NOT MOVE'}`);
  assert.deepEqual(all.filter((shot) => !hasData.has(shot)).map(({ name }) => name), [], 'panels without data');
  assert.deepEqual(all.filter((shot) => !moved.has(shot)).map(({ name, before }) => `${name} ${JSON.stringify(before)}`), [], 'panels that do not move');
});
