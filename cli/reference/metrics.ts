/** docs/reference/metrics.md, read off a scrape of a node that has seen one of everything. */
import { BUCKET_COUNT, DURATION_BUCKETS_S, type MetricsSnapshot } from '../../gateway/metrics/metrics-snapshot.js';
import { NodeMetrics } from '../../gateway/metrics/node-metrics.js';

const BUCKETS = Array.from({ length: BUCKET_COUNT }, () => 1);
/** So that every metric has a sample, and its labels show. */
const ONE_OF_EVERYTHING: MetricsSnapshot = {
  routes: [{ service: 's', route: 'r', requests: [['GET', 200, 1]], refused: [['rate_limited', 1]], buckets: BUCKETS, durationSumUs: 1, bytesIn: 1, bytesOut: 1 }],
  targets: [{ service: 's', target: 't', buckets: BUCKETS, durationSumUs: 1 }],
  retries: [['s', 'refused', 1]], recorded: 1, dropped: [['spool_full', 1]], leases: [['granted', 1]],
  gauges: { connections: [['http', 1]], targets: [['s', 't', true]], inFlight: [], rssBytes: 1, heapUsedBytes: 1, cpuSeconds: 1, loopDelay: { p50S: 1, p99S: 1, maxS: 1 } },
};
/** Of one series of a histogram, beside the metric's own labels. */
const HISTOGRAM_LABEL = 'le';

export async function renderMetrics(): Promise<string> {
  const node = new NodeMetrics({ baseFile: null });
  node.update('s', 1, ONE_OF_EVERYTHING);
  node.collector = { stored: 1, quarantined: 1, gaps: 1, repeats: 1 };
  node.lagSeconds = 1;
  const { text } = await node.render('');
  const rows = [...text.matchAll(/^# HELP (tidegate_\w+) (.+)\n# TYPE \w+ (\w+)$/gm)].map(([, name = '', help = '', type = '']) =>
    `| \`${name}\` | ${type} | ${labelsOf(text, name).map((label) => `\`${label}\``).join(', ')} | ${help.replaceAll('|', '\\|')} |`);
  return `# Metrics

Rendered from \`gateway/metrics/node-metrics.ts\` by \`npm run docs\`. \`GET /metrics\` on the control origin answers for all workers together; OpenMetrics where the Accept field asks for it. No label names an app; \`route\` is the route's name, never a path. Which of them to watch, and what to do then: [operations](../operations.md#what-to-watch).

Histograms have the bounds ${DURATION_BUCKETS_S.join(', ')} seconds. Beside these there are prom-client's defaults (\`process_…\`, \`nodejs_…\`) of the supervisor.

| metric | type | labels | what it says |
|---|---|---|---|
${rows.join('\n')}
`;
}

function labelsOf(text: string, name: string): string[] {
  const sample = new RegExp(`^${name}(?:_bucket)?\\{([^}]*)\\} `, 'm').exec(text)?.[1] ?? '';
  return [...sample.matchAll(/(\w+)="/g)].map(([, label = '']) => label).filter((label) => label !== HISTOGRAM_LABEL);
}
