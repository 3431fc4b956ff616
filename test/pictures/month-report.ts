/** Writes docs/report-month.svg: what `tidegate report` shows of a month, on a node that has imported a made-up log of October 2026. Run from the build: node dist/test/pictures/month-report.js */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../../collector/store/migrate.js';
import { SeededRandom } from '../bench/seeded-random.js';
import { eventually } from '../harness/deadline.js';
import { OPERATOR_TOKEN, TestNode, tidegateCommand } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';
import { terminalSvg } from './terminal-svg.js';

const START = Date.UTC(2026, 9, 1);
const DAYS = 31;
const ROUTES = [['products', 0.55, 12], ['search', 0.3, 45], ['orders', 0.15, 80]] as const;

const random = new SeededRandom(10);
const lines: string[] = [];
for (let hour = 0; hour < DAYS * 24; hour++) {
  const day = new Date(START + hour * 3_600_000).getUTCDay();
  const ofDay = 1 + Math.sin((hour % 24 - 8) / 24 * 2 * Math.PI);
  const requests = Math.round((day === 0 || day === 6 ? 45 : 120) * ofDay + 10 + random.below(12));
  // the afternoon of the 14th: the database stood still
  const broken = hour >= 13 * 24 + 13 && hour < 13 * 24 + 17;
  for (let i = 0; i < requests; i++) {
    const [route, , median] = ROUTES.find((_, r) => random.next() < ROUTES.slice(0, r + 1).reduce((sum, [, share]) => sum + share, 0)) ?? ROUTES[0];
    const status = random.next() < (broken ? 0.35 : 0.004) ? 503 : random.next() < 0.03 ? 404 : 200;
    lines.push(JSON.stringify({
      time: new Date(START + hour * 3_600_000 + Math.floor(i / requests * 3_600_000)).toISOString(), method: route === 'orders' ? 'POST' : 'GET', path: `/${route}`, status, remote_addr: '203.0.113.7',
      body_bytes_sent: 400 + random.below(20_000), request_time_ms: random.lognormal(median * (broken ? 8 : 1), 0.7), route,
    }));
  }
}

const folder = mkdtempSync(join(tmpdir(), 'tidegate-picture-'));
const upstream = await TestUpstream.start();
const node = await TestNode.start({
  store: { keep: { events: '1000d' } },
  services: [{ name: 'shop', upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'products', match: { path: '/products' } }, { name: 'search', match: { path: '/search' } }, { name: 'orders', match: { path: '/orders' } }] }],
  apps: [{ name: 'storefront', services: ['shop'] }],
});
const run = (args: readonly string[], inTerminal = false): string => {
  const { command, args: all } = tidegateCommand(args);
  const env = { ...process.env, COLUMNS: '80', TERM: 'xterm', NO_COLOR: '', TIDEGATE_TOKEN: OPERATOR_TOKEN, TIDEGATE_URL: node.controlUrl };
  const quoted = [command, ...all].map((word) => `'${word}'`).join(' ');
  const { status, stdout, stderr } = inTerminal ? spawnSync('script', ['-qec', quoted, '/dev/null'], { encoding: 'utf8', env }) : spawnSync(command, all, { encoding: 'utf8', env });
  if (status !== 0) throw new Error(stdout + stderr);
  return stdout;
};
try {
  const log = join(folder, 'october.log');
  writeFileSync(log, `${lines.join('\n')}\n`);
  run(['import', log, '--service', 'shop', '--app', 'storefront', '-c', node.configPath]);
  const range = ['--from', '2026-10-01T00:00:00Z', '--to', '2026-11-01T00:00:00Z', '--app', 'storefront'];
  await eventually('all is stored', () => (run(['report', ...range, '--format', 'csv', '--interval', 'total', '--group-by', 'app']).includes(`,${lines.length},`) ? true : null), 60_000, 500);
  const report = ['report', ...range, '--interval', 'day', '--group-by', 'service', '--top', '31'];
  writeFileSync(join(packageRoot(), 'docs', 'report-month.svg'), terminalSvg(`$ tidegate report --app storefront --from 2026-10-01T00:00:00Z \\\n    --to 2026-11-01T00:00:00Z --interval day --group-by service --top 31\n${run(report, true)}`, 'tidegate report of a month: a graph, a table by day, percentiles and routes'));
} finally {
  await node[Symbol.asyncDispose]();
  await upstream.stop();
  rmSync(folder, { recursive: true });
}
