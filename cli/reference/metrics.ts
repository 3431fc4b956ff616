/** docs/reference/metrics.md, from the catalogue. */
import { METRICS, type MetricEntry } from '../../gateway/metrics/catalogue.js';

export function renderMetrics(): string {
  const rows = Object.entries<MetricEntry>(METRICS).map(([name, { type, labels, help, buckets = [] }]) =>
    `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${help.replaceAll('|', '\\|')}${buckets.length === 0 ? '' : ` Bounds: ${buckets.join(', ')}.`} |`);
  return `# Metrics

Rendered from \`gateway/metrics/catalogue.ts\` by \`npm run docs\`. \`GET /metrics\` on the control origin covers all workers. How they relate, thresholds and formats: [metrics](../metrics.md). Which of them to watch, and what to do: [operations](../operations.md#what-to-watch).

| metric | type | labels | meaning |
|---|---|---|---|
${rows.join('\n')}
`;
}
