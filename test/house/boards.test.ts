/** The boards in the repository: what the generator writes, and nothing named that does not exist. That each panel has data, and moves, is test/e2e/boards.long.test.ts. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import jsonata from 'jsonata';
import { parse } from 'yaml';
import { packageRoot } from '../../cli/version.js';
import { migrate } from '../../collector/store/migrate.js';
import { openBackend } from '../../collector/store/stores.fixture.js';
import { boards, BOARDS_FOLDER, render } from '../../dashboards/grafana/boards.js';
import type { BoardJson, PanelJson, TargetJson } from '../../dashboards/preview/ask.js';
import { expandPromql, expandSql, type Shown } from '../../dashboards/preview/expand.js';
import { formatValue } from '../../dashboards/preview/units.js';
import { ENDPOINTS, type Endpoint } from '../../gateway/control/endpoints.js';
import { METRICS, seriesNames, type MetricName } from '../../gateway/metrics/catalogue.js';
import { requires } from '../harness/requires.js';

const root = join(packageRoot(), BOARDS_FOLDER);
const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.json')).map((name) => name.replaceAll('\\', '/')).sort();
const read = (file: string): BoardJson => JSON.parse(readFileSync(join(root, file), 'utf8')) as BoardJson;
const panelsOf = (board: BoardJson): readonly PanelJson[] => board.panels.filter(({ type }) => type !== 'row');

/** Values that stand for those of variables. */
const SHOWN: Shown = {
  fromMs: Date.UTC(2026, 10, 21), toMs: Date.UTC(2026, 10, 22), stepS: 60, rateWindowS: 60,
  variables: new Map(['datasource', 'store', 'instance', 'service', 'route', 'app'].map((name): [string, string[]] => [name, ['acme']])).set('interval', ['minute']),
};

interface Asked { readonly where: string; readonly target: TargetJson }

/** Every question of a board: of its panels and annotations. */
function asked(file: string): Asked[] {
  const board = read(file);
  return [
    ...panelsOf(board).flatMap((panel) => (panel.targets ?? []).map((target) => ({ where: `${file}: ${panel.title}`, target }))),
    ...(board.annotations.list ?? []).map(({ name, expr, target }) => ({ where: `${file}: ${name}`, target: target ?? { refId: 'A', datasource: { type: 'prometheus' }, ...(expr === undefined ? {} : { expr }) } })),
  ];
}

test('a rebuild of the boards is what is in the repository, byte for byte', () => {
  assert.deepEqual([...boards().keys()].sort(), files, 'npm run boards');
  for (const [path, board] of boards()) assert.ok(render(board) === readFileSync(join(root, path), 'utf8'), `${path}: npm run boards`);
});

test('a preview that is called wrongly says how it is called, and ends with 2', () => {
  for (const [args, said] of [[[], /required option '--out <folder>'/], [['--out', 'x', '--range', '5y'], /15m/], [['--out', 'x', '--var', 'shop'], /service=shop/]] as const) {
    const { status, stderr } = spawnSync(process.execPath, [join(packageRoot(), 'dist/dashboards/preview/main.js'), ...args], { encoding: 'utf8' });
    assert.deepEqual([status, said.test(stderr), stderr.includes('Usage: boards:preview'), stderr.includes('    at ')], [2, true, true, false], stderr);
  }
});

test('every panel says what it shows, in which unit, and when it is bad; its id is its own', () => {
  for (const file of files) {
    const board = read(file);
    assert.match(board.uid, /^tidegate-[a-z]+$/);
    assert.equal(board.templating.list[0]?.type, 'datasource', `${file}: the data source is chosen first`);
    const ids = board.panels.map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length, `${file}: ids`);
    for (const panel of panelsOf(board)) {
      const where = `${file}: ${panel.title}`;
      const { unit, thresholds } = panel.fieldConfig?.defaults ?? {};
      assert.ok((panel.description ?? '').length > 20, `${where}: description`);
      assert.ok(unit !== undefined && formatValue(1, unit) !== '', `${where}: unit`);
      assert.ok((panel.targets ?? []).length > 0, `${where}: asks nothing`);
      // of one number: it has a colour, or it is one that can be neither good nor bad
      if (panel.type === 'stat' && thresholds?.steps.length === 1) assert.match(panel.title, /^(Requests|Stored|In flight|Errors allowed|Since the last change|Days closing|Billable in closed days|Over quota|Days closed)$/, `${where}: thresholds`);
    }
  }
});

/** The names of an expression, each with the labels that are asked of it. */
function selectors(expr: string): { readonly name: string; readonly labels: readonly string[] }[] {
  return [...expr.matchAll(/\b([a-z_:][\w:]*)\{([^{}]*)\}/g)].map(([, name = '', inner = '']) => ({ name, labels: [...inner.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label = '']) => label) }));
}

/** What the rules record, each with its labels: a name is level:metric:operations, and its level is of its labels. */
function recorded(): ReadonlyMap<string, ReadonlySet<string>> {
  const folder = join(packageRoot(), 'alerts', 'rules');
  const groups = readdirSync(folder).flatMap((file) => (parse(readFileSync(join(folder, file), 'utf8')) as { groups: { rules: { record?: string }[] }[] }).groups);
  return new Map(groups.flatMap(({ rules }) => rules.flatMap(({ record }) => (record === undefined ? [] : [[record, new Set(record.split(':')[0]?.split('_'))] as const]))));
}

test('no panel names a metric or a label that is neither in the table of metrics nor recorded by a rule', () => {
  const known = new Map<string, ReadonlySet<string>>([['up', new Set(['job', 'instance'])], ...recorded()]);
  for (const name of Object.keys(METRICS) as MetricName[]) {
    for (const series of seriesNames(name)) known.set(series, new Set([...METRICS[name].labels, 'job', 'instance', ...(series.endsWith('_bucket') && METRICS[name].type === 'histogram' ? ['le'] : [])]));
  }
  const faults: string[] = [];
  let expressions = 0;
  for (const { where, target } of files.flatMap(asked)) {
    if (target.expr === undefined) continue;
    expressions++;
    const expr = expandPromql(target.expr, SHOWN);
    const named = selectors(expr);
    assert.ok(named.length > 0, `${where}: ${expr}`);
    for (const [, replacement = '', pattern = ''] of expr.matchAll(/"(\$1[^"]*)", "\w+", "([^"]*)"\)/g)) assert.match(pattern, /\((?!\?)/, `${where}: ${replacement} of a pattern without a group`);
    const made = [...expr.matchAll(/label_replace\([^"]*"(\w+)"|, "(\w+)", "[^"]*", "\w+", "/g)].map(([, first, second]) => first ?? second);
    const labels = new Set<string | undefined>([...named.flatMap(({ name }) => [...known.get(name) ?? []]), ...made]);
    for (const { name, labels: its } of named) {
      if (!known.has(name)) faults.push(`${where}: no metric ${name}`);
      for (const label of its) if (known.get(name)?.has(label) !== true) faults.push(`${where}: ${name} has no label ${label}`);
    }
    const listed = [...expr.matchAll(/\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)/g)].flatMap(([, list = '']) => list.split(',').map((label) => label.trim()).filter((label) => label !== ''));
    const legend = [...(target.legendFormat ?? '').matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label);
    for (const label of [...listed, ...legend]) if (!labels.has(label)) faults.push(`${where}: nothing in it has a label ${label}`);
    // what has no selector would be asked of everything
    for (const [, name = ''] of expr.matchAll(/(?<![\w:])((?:tidegate|process|nodejs)_\w+|\w+:[\w:]+)(?![\w:]*\{)/g)) if (!named.some((one) => one.name === name)) faults.push(`${where}: ${name} without a selector`);
  }
  assert.deepEqual(faults, []);
  assert.ok(expressions > 100, String(expressions));
});

test('a traced request in a picture of latency leads to its trace', () => {
  let pictures = 0;
  for (const file of files) {
    for (const panel of panelsOf(read(file))) {
      for (const { expr = '', exemplar = false } of panel.targets ?? []) {
        // the time itself, over time: an exemplar's value stands nowhere else
        const isLatency = expr.includes('tidegate_request_duration_seconds_bucket{') && panel.fieldConfig?.defaults?.unit === 's' && (panel.type === 'timeseries' || panel.type === 'heatmap');
        assert.equal(exemplar, isLatency, `${file}: ${panel.title}`);
        if (exemplar) pictures++;
      }
    }
  }
  assert.ok(pictures >= 6, String(pictures));
  const { datasources } = parse(readFileSync(join(packageRoot(), 'deploy/grafana/datasources/datasources.yaml'), 'utf8')) as {
    datasources: { uid: string; type: string; jsonData?: { exemplarTraceIdDestinations?: { name: string; datasourceUid: string }[] } }[];
  };
  const [to, ...more] = datasources.find(({ type }) => type === 'prometheus')?.jsonData?.exemplarTraceIdDestinations ?? [];
  assert.deepEqual([to?.name, more], ['trace_id', []], 'the label that an exemplar has: gateway/metrics/exposition.ts');
  assert.equal(datasources.find(({ uid }) => uid === to?.datasourceUid)?.type, 'jaeger');
  const { services } = parse(readFileSync(join(packageRoot(), 'docker-compose.yml'), 'utf8'), { merge: true }) as { services: Readonly<Record<string, { command?: readonly string[] }>> };
  assert.ok(services['prometheus']?.command?.includes('--enable-feature=exemplar-storage'));
});

test('reloads, deploys and closed days are on every board that can ask for them', () => {
  for (const file of files) {
    const asksPrometheus = file.startsWith('prometheus/');
    const names = (read(file).annotations.list ?? []).map(({ name }) => name);
    assert.deepEqual(names, asksPrometheus ? ['Configuration applied', 'Deployed'] : [file.startsWith('clickhouse/') ? 'Days closed' : 'Days over'], file);
  }
});

test('every statement of a ClickHouse panel is one that the store\'s schema answers', { skip: requires('chdb') }, async () => {
  await using opened = await openBackend('chDB');
  await migrate(opened.store);
  let statements = 0;
  for (const { where, target } of files.flatMap(asked)) {
    if (target.rawSql === undefined) continue;
    statements++;
    await assert.doesNotReject(() => opened.store.query(expandSql(target.rawSql as string, SHOWN)), where);
  }
  assert.ok(statements > 15, String(statements));
});

test('every question to the report API is of a path and of parameters that it has', () => {
  const endpoints = new Map<string, Endpoint>(Object.values<Endpoint>(ENDPOINTS).filter(({ method }) => method === 'GET').map((endpoint) => [endpoint.path, endpoint]));
  let questions = 0;
  for (const { where, target } of files.flatMap(asked)) {
    if (target.url === undefined) continue;
    questions++;
    const endpoint = endpoints.get(target.url);
    assert.ok(endpoint !== undefined, `${where}: ${target.url}`);
    for (const { key } of target.url_options?.params ?? []) assert.ok(key in (endpoint.query ?? {}), `${where}: ${target.url} has no parameter ${key}`);
    assert.doesNotThrow(() => jsonata(target.root_selector ?? ''), where);
  }
  assert.ok(questions > 15, String(questions));
});

test('Grafana is given the folders that there are', () => {
  for (const [file, parts] of [['deploy/grafana/dashboards/dashboards.yaml', ['prometheus', 'clickhouse']], ['deploy/grafana/one-machine/dashboards/dashboards.yaml', ['prometheus', 'report-api']]] as const) {
    const { providers } = parse(readFileSync(join(packageRoot(), file), 'utf8')) as { providers: { options: { path: string } }[] };
    assert.deepEqual(providers.map(({ options }) => options.path.split('/').at(-1)), [...parts], file);
    for (const part of parts) assert.ok(files.some((name) => name.startsWith(`${part}/`)), part);
    // links lead by uid: of those that are given together, each has its own
    const uids = files.filter((name) => parts.some((part) => name.startsWith(`${part}/`))).map((name) => read(name).uid);
    assert.equal(new Set(uids).size, uids.length, file);
  }
});
