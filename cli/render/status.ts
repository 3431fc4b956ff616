import type { BillingStatus, CollectorFault, CollectorStatus, NodeStatus, ShapeStatus, SharingStatus, ShippingStatus, StoreStatus } from '../../gateway/control/control-deps.js';
import { restartProgress, type RestartStatus } from '../../gateway/control/restart-status.js';
import { formatProblem } from '../../gateway/config/config-problem.js';
import { binaryBytes, bytes, count } from './figures.js';
import { renderLive, type LiveAnswer } from './live.js';
import { renderTable } from './table.js';
import { printable, styled, type Style, type Terminal } from './terminal.js';

/** As `GET /v1/completeness` answers the operator, as far as it is shown. */
export interface CompletenessAnswer {
  readonly time_zone: string;
  readonly complete: boolean;
  readonly reasons: readonly string[];
}

const MOST_LIMITS = 30;
const MAX_DAYS = 10;
/** Of a table. */
const MAX_PARTS = 3;

/** @param today null: the collector does not answer, or not in time; `live` likewise */
export function renderStatus(terminal: Terminal, status: NodeStatus, today: CompletenessAnswer | null, live: LiveAnswer | null = null): string {
  const traffic = live === null ? '' : renderLive(terminal, live);
  const parts = [head(terminal, status), workers(terminal, status), targets(terminal, status), traffic, limits(terminal, status), sharing(terminal, status.sharing), record(terminal, status, today)];
  return parts.filter((part) => part !== '').join('\n');
}

const line = (name: string, text: string): string => `${name.padEnd(13)}${text}\n`;

function head(terminal: Terminal, { node, version, started_at: started, ready, reasons, shape, config, restart }: NodeStatus): string {
  let text = line('node', `${styled(terminal, 'bold', printable(node))}, Tidegate ${version}, since ${started.slice(0, 19)}Z`);
  text += line('ready', ready ? styled(terminal, 'green', 'yes') : styled(terminal, 'red', `no: ${printable(reasons.join('; '))}`));
  text += line('shape', shapeText(shape));
  text += line('config', `${config.version}, since ${config.loaded_at.slice(0, 19)}Z (${printable(config.source)})`);
  text += restart === null ? '' : restartText(terminal, restart);
  const reload = config.last_reload;
  if (reload?.result !== 'rejected') return text;
  text += line('', styled(terminal, 'red', `the reload at ${reload.at.slice(0, 19)}Z was rejected:`));
  return text + reload.errors.map((error) => line('', printable(formatProblem(error)))).join('');
}

/** One that is done shows in the processes' ages alone. */
function restartText(terminal: Terminal, { fault, ...restart }: RestartStatus): string {
  const progress = restartProgress(restart);
  if (restart.state === 'running') return line('restart', styled(terminal, 'yellow', printable(progress)));
  return fault === null ? '' : line('restart', styled(terminal, 'red', printable(`given up: ${fault.detail} (${fault.code}); ${progress}`)));
}

const PART_TEXTS = { whole: 'gateway and collector', gateway: 'gateway alone', collector: 'collector alone' } as const;

function shapeText({ part, event_log: log, store, shared_state: shared }: ShapeStatus): string {
  return `${PART_TEXTS[part]}; events: ${log}${store === null ? '' : ` to ${store}`}; limits: ${shared === 'redis' ? 'shared by redis' : 'its own'}`;
}

function workers(terminal: Terminal, status: NodeStatus): string {
  if (status.shape.part === 'collector') return '';
  if (status.workers.length === 0) return line('workers', styled(terminal, 'red', 'none'));
  const table = renderTable(terminal, [
    { head: 'worker', align: 'right' }, { head: 'pid', align: 'right' }, { head: 'state', align: 'left' }, { head: 'connections', align: 'right' },
    { head: 'memory', align: 'right' }, { head: 'config', align: 'left' }, { head: 'stream', align: 'left', shrinks: true },
  ], status.workers.map((worker) => [
    String(worker.worker), String(worker.pid), { text: worker.state, style: worker.state === 'serving' ? 'green' : 'yellow' },
    known(worker.connections, count), known(worker.rss_bytes, bytes), worker.config_version ?? '-', worker.stream,
  ]));
  const failed = status.workers.filter(({ config_error: error }) => error !== null);
  return table + failed.map(({ worker, config_error: error }) =>
    `${styled(terminal, 'red', printable(`worker ${worker} could not apply the configuration: ${error ?? ''}`))}\n`).join('');
}

function targets(terminal: Terminal, status: NodeStatus): string {
  if (status.targets.length === 0) return '';
  return renderTable(terminal, [{ head: 'service', align: 'left', shrinks: true }, { head: 'target', align: 'left', shrinks: true }, { head: 'health', align: 'left' }],
    status.targets.map(({ service, target, healthy }) => [service, target, healthy === null ? 'not tried yet' : { text: healthy ? 'healthy' : 'out', style: healthy ? 'green' : 'red' }]));
}

function limits(terminal: Terminal, status: NodeStatus): string {
  if (status.limits.length === 0) return '';
  const table = renderTable(terminal, [
    { head: 'limit', align: 'left', shrinks: true }, { head: 'of', align: 'right' }, { head: 'used', align: 'right' }, { head: 'leased', align: 'right' },
  ], status.limits.slice(0, MOST_LIMITS).map(({ key, limit, used, leased }) => [
    key, count(limit), { text: known(used, count), ...(used !== null && used >= limit ? { style: 'red' as Style } : {}) }, known(leased, count),
  ]));
  return status.limits.length > MOST_LIMITS ? `${table}${styled(terminal, 'dim', `${status.limits.length - MOST_LIMITS} more: --json`)}\n` : table;
}

function sharing(terminal: Terminal, status: SharingStatus | null): string {
  if (status === null) return '';
  const { nodes, failing } = status;
  if (failing !== null) return line('redis', styled(terminal, 'red', printable(`limits are not shared since ${failing.since}: ${failing.detail} (${failing.code})`)));
  return line('redis', `answers; limits are shared by ${count(nodes)} ${nodes === 1 ? 'node' : 'nodes'}`);
}

function record(terminal: Terminal, { shape, spool, shipping, collector, collector_fault: fault }: NodeStatus, today: CompletenessAnswer | null): string {
  const dropped = spool.dropped === 0 ? '' : styled(terminal, 'red', `, ${count(spool.dropped)} events dropped`);
  return line('spool', `${binaryBytes(spool.bytes)} of ${binaryBytes(spool.max_bytes)}, ${count(spool.streams)} streams${dropped}`)
    + (shipping === null ? '' : line('kafka', shippingText(terminal, shipping)))
    + line('collector', collector !== null ? collectorText(terminal, collector) : shape.part === 'gateway' ? 'elsewhere' : styled(terminal, 'red', printable(absentText(shape, fault))))
    + (collector === null || collector.publishing === null || collector.publishing.failing === null ? '' : line('counters', styled(terminal, 'red', printable(publishingText(collector.publishing.failing)))))
    + (collector === null || collector.billing === null ? '' : line('billing', billingText(terminal, collector.billing)))
    + (collector === null || collector.store === null ? '' : storeText(terminal, collector.store))
    + (today === null ? unknownToday(terminal, collector) : line('today', `${today.complete ? styled(terminal, 'green', 'complete so far') : styled(terminal, 'yellow', 'incomplete')} (${today.time_zone})`)
      + (today.complete ? '' : today.reasons.slice(0, 10).map((reason) => line('', printable(reason))).join('')));
}

/** Where the collector does not answer at all, that is said already. */
const unknownToday = (terminal: Terminal, collector: CollectorStatus | null): string =>
  collector === null ? '' : line('today', styled(terminal, 'yellow', 'not known: the collector has not said in time whether the record is whole'));

function shippingText(terminal: Terminal, { topic, shipped, behind_bytes: behindBytes, behind_seconds: behindSeconds, failing, warnings }: ShippingStatus): string {
  const behind = behindBytes === 0 ? 'nothing waits' : `${bytes(behindBytes)} wait, the oldest for ${behindSeconds.toFixed(1)} s`;
  if (failing !== null) return styled(terminal, 'red', printable(`shipping fails since ${failing.since}: ${failing.detail} (${failing.code}); ${behind}`));
  return `${count(shipped)} events shipped to ${topic}, ${behind}` + warnings.map(({ code, detail }) => `; ${styled(terminal, 'yellow', printable(`${detail} (${code})`))}`).join('');
}

function absentText({ event_log: log }: ShapeStatus, fault: CollectorFault | null): string {
  const waiting = `events wait in ${log === 'kafka' ? 'Kafka' : 'the spool'}`;
  return fault === null ? `does not answer; ${waiting}` : `does not start since ${fault.since}: ${fault.detail} (${fault.code}); ${waiting}`;
}

function collectorText(terminal: Terminal, { stored, lag_seconds: lag, gaps, repeats, in_quarantine: inQuarantine, failing }: CollectorStatus): string {
  if (failing !== null) return styled(terminal, 'red', `storing fails since ${failing.since}: ${failing.detail} (${failing.code}); events wait in the spool`);
  const counts = [[gaps, 'gaps'], [repeats, 'repeats']] as const;
  const wrong = counts.filter(([number]) => number > 0).map(([number, name]) => `${count(number)} ${name}`).join(', ');
  return `${count(stored)} events stored since it began${lag === null ? '' : `, lag ${lag.toFixed(1)} s`}, ${wrong === '' ? 'no gap, no repeat' : styled(terminal, 'red', wrong)}`
    + ((inQuarantine ?? 0) === 0 ? '' : `, ${styled(terminal, 'yellow', `${count(inQuarantine ?? 0)} in quarantine (tidegate quarantine list)`)}`);
}

function billingText(terminal: Terminal, { closing, closing_since: since, incomplete, failing }: BillingStatus): string {
  if (failing !== null) return styled(terminal, 'red', printable(`days cannot be closed: ${failing}`));
  if (closing === 0) return 'all days that are over are closed';
  const waits = `${count(closing)} ${closing === 1 ? 'day' : 'days'} of apps ${closing === 1 ? 'waits' : 'wait'} to be closed, the oldest over since ${since?.slice(0, 16) ?? '-'}Z`;
  return incomplete === 0 ? waits : styled(terminal, 'yellow', `${waits}; the record is not whole: tidegate billing days`);
}

/** Nothing where all is well. */
function storeText(terminal: Terminal, { rows_missing: missing, detached_parts: detached }: StoreStatus): string {
  const lines = [
    ...missing.slice(-MAX_DAYS).map(({ day, rows }) => styled(terminal, 'red', printable(`${count(rows)} rows stored of ${day} (UTC) are not in the store any more`))),
    ...(missing.length > MAX_DAYS ? [styled(terminal, 'red', `the same holds of ${missing.length - MAX_DAYS} earlier days: --json`)] : []),
    ...(detached ?? []).map(({ table, parts, names }) => styled(terminal, 'yellow', printable(`${count(parts)} ${parts === 1 ? 'part' : 'parts'} of ${table} set aside: ${names.slice(0, MAX_PARTS).join(', ')}${parts > MAX_PARTS ? ', …' : ''}`))),
  ];
  return lines.map((text, number) => line(number === 0 ? 'store' : '', text)).join('');
}

const publishingText = ({ code, detail, since }: CollectorFault): string => `live counters are not published since ${since}: ${detail} (${code}); nothing is lost by it`;

function known(value: number | null, text: (value: number) => string): string {
  return value === null ? '-' : text(value);
}
