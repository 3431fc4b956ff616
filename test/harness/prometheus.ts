/**
 * A real Prometheus and a real Alertmanager for a test, with deploy/prometheus.yml and deploy/alertmanager.yml as they are but for places, receivers and pace; on free
 * ports and in folders of their own. Needs `requires('prometheus')`, `requires('alertmanager')`.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { packageRoot } from '../../cli/version.js';
import { eventually } from './deadline.js';
import { programPath } from './requires.js';
import { freePorts } from './tidegate.js';

export type Labels = Readonly<Record<string, string>>;

/** Of one series at one time. */
export interface PrometheusSample { readonly metric: Labels; readonly value: number }

/** As Prometheus has it: pending while its `for` is not over. */
export interface PrometheusAlert { readonly labels: Labels; readonly annotations: Labels; readonly state: 'pending' | 'firing' }

/** As Alertmanager has it. */
export interface RoutedAlert { readonly labels: Labels; readonly status: { readonly state: 'active' | 'suppressed' | 'unprocessed'; readonly inhibitedBy: readonly string[] } }

export interface PrometheusOptions {
  /** host:port of each node's control origin: the job tidegate. */
  readonly nodes: readonly string[];
  /** Folder of rule files; absent: none. */
  readonly rules?: string;
  /** host:port; absent: none. */
  readonly alertmanager?: string;
  /** From one scrape, and one evaluation, to the next, as Prometheus takes it: `500ms`. */
  readonly every: string;
}

/** What both have in common: a process with a folder, that is there when /-/ready says so. */
class ServerProcess implements AsyncDisposable {
  readonly address: string;
  readonly #folder: string;
  readonly #process: ChildProcess;
  readonly #exited: Promise<unknown>;
  #output = '';

  protected constructor(folder: string, program: string, address: string, args: readonly string[]) {
    const path = programPath(program);
    if (path === null) throw new Error(`${program} is missing: apt-get install ${program}`);
    this.#folder = folder;
    this.address = address;
    const child = spawn(path, args, { stdio: ['ignore', 'pipe', 'pipe'], cwd: folder });
    this.#process = child;
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => { this.#output = (this.#output + text).slice(-100_000); });
    this.#exited = new Promise((resolve) => { child.once('close', resolve); });
    const end = (): void => { child.kill('SIGKILL'); };
    process.once('exit', end);
    child.once('close', () => { process.removeListener('exit', end); });
  }

  get url(): string { return `http://${this.address}`; }
  get output(): string { return this.#output; }

  protected async ready(): Promise<void> {
    try {
      await eventually(`${this.url}/-/ready`, async () => {
        if (this.#process.exitCode !== null) return true;
        return (await fetch(`${this.url}/-/ready`)).ok || null;
      }, 30_000);
      if (this.#process.exitCode !== null) throw new Error('it ended');
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw new Error(`not ready:\n${this.#output}`, { cause: error });
    }
  }

  protected async ask<T>(path: string): Promise<T> {
    const answer = await fetch(`${this.url}${path}`);
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
    return JSON.parse(text) as T;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#exited;
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

interface PrometheusFile {
  global: Record<string, string>;
  rule_files: string[];
  alerting?: { alertmanagers: { static_configs: { targets: string[] }[] }[] };
  scrape_configs: { job_name: string; static_configs: { targets: string[] }[] }[];
}

export class TestPrometheus extends ServerProcess {
  static async start({ nodes, rules, alertmanager, every }: PrometheusOptions): Promise<TestPrometheus> {
    const [port = 0] = await freePorts(1);
    const address = `127.0.0.1:${port}`;
    const folder = mkdtempSync(join(tmpdir(), 'tidegate-prometheus-'));
    const config = parse(readFileSync(join(packageRoot(), 'deploy', 'prometheus.yml'), 'utf8')) as PrometheusFile;
    config.global = { ...config.global, scrape_interval: every, evaluation_interval: every };
    config.rule_files = rules === undefined ? [] : [join(rules, '*.yml')];
    if (alertmanager === undefined) delete config.alerting;
    else for (const { static_configs: places } of config.alerting?.alertmanagers ?? []) places.splice(0, places.length, { targets: [alertmanager] });
    for (const job of config.scrape_configs) job.static_configs = [{ targets: job.job_name === 'tidegate' ? [...nodes] : [address] }];
    writeFileSync(join(folder, 'prometheus.yml'), stringify(config));
    const prometheus = new TestPrometheus(folder, 'prometheus', address, [
      '--config.file=prometheus.yml', `--web.listen-address=${address}`, `--storage.tsdb.path=${join(folder, 'data')}`, '--rules.alert.resend-delay=1s',
      '--enable-feature=exemplar-storage',
    ]);
    await prometheus.ready();
    return prometheus;
  }

  /** An instant query that answers with a vector. */
  async query(expr: string): Promise<readonly PrometheusSample[]> {
    const { data: { result } } = await this.ask<{ data: { result: { metric: Labels; value: [number, string] }[] } }>(`/api/v1/query?query=${encodeURIComponent(expr)}`);
    return result.map(({ metric, value: [, value] }) => ({ metric, value: Number(value) }));
  }

  /** Labels of the exemplars that an expression's series have had since then. */
  async exemplars(expr: string, fromMs: number): Promise<readonly Labels[]> {
    const range = new URLSearchParams({ query: expr, start: String(fromMs / 1000), end: String(Date.now() / 1000) });
    const { data } = await this.ask<{ data: { exemplars: { labels: Labels }[] }[] }>(`/api/v1/query_exemplars?${range.toString()}`);
    return data.flatMap(({ exemplars }) => exemplars.map(({ labels }) => labels));
  }

  async alerts(): Promise<readonly PrometheusAlert[]> {
    return (await this.ask<{ data: { alerts: PrometheusAlert[] } }>('/api/v1/alerts')).data.alerts;
  }

  /** Of every rule the error of its last evaluation; a rule that has none is not among them. */
  async ruleErrors(): Promise<readonly string[]> {
    const { data: { groups } } = await this.ask<{ data: { groups: { rules: { name: string; lastError?: string }[] }[] } }>('/api/v1/rules');
    return groups.flatMap(({ rules }) => rules.filter(({ lastError }) => lastError !== undefined).map(({ name, lastError }) => `${name}: ${lastError}`));
  }
}

interface Route { group_wait?: string; group_interval?: string; repeat_interval?: string; routes?: Route[] }
interface AlertmanagerFile { route: Route; receivers: { name: string; webhook_configs?: object[] }[] }

export class TestAlertmanager extends ServerProcess {
  /**
   * Every receiver sends to `hook`/NAME.
   * @param pace of a time of the file that which it waits here
   */
  static async start(hook: string, pace: (duration: string) => string): Promise<TestAlertmanager> {
    const [port = 0] = await freePorts(1);
    const address = `127.0.0.1:${port}`;
    const folder = mkdtempSync(join(tmpdir(), 'tidegate-alertmanager-'));
    const config = parse(readFileSync(join(packageRoot(), 'deploy', 'alertmanager.yml'), 'utf8')) as AlertmanagerFile;
    quicken(config.route, pace);
    config.receivers = config.receivers.map(({ name }) => ({ name, webhook_configs: [{ url: `${hook}/${name}`, send_resolved: true }] }));
    writeFileSync(join(folder, 'alertmanager.yml'), stringify(config));
    const alertmanager = new TestAlertmanager(folder, 'prometheus-alertmanager', address, [
      '--config.file=alertmanager.yml', `--web.listen-address=${address}`, `--storage.path=${join(folder, 'data')}`, '--cluster.listen-address=',
    ]);
    await alertmanager.ready();
    return alertmanager;
  }

  async alerts(): Promise<readonly RoutedAlert[]> {
    return this.ask<RoutedAlert[]>('/api/v2/alerts');
  }
}

function quicken(route: Route, pace: (duration: string) => string): void {
  for (const name of ['group_wait', 'group_interval', 'repeat_interval'] as const) {
    const duration = route[name];
    if (duration !== undefined && duration !== '0s') route[name] = pace(duration);
  }
  for (const below of route.routes ?? []) quicken(below, pace);
}
