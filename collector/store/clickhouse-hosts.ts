/**
 * Which host of several is asked. One is stayed with for as long as it answers, so that what was written is read where it was written; one that broke is
 * passed over for a while, longer each time, and asked all the same when none is left.
 */

const PASS_OVER_FROM_MS = 1000;
const PASS_OVER_TO_MS = 60_000;

interface Host<T> {
  readonly host: T;
  /** ms since the epoch; 0: it is well. */
  untilMs: number;
  passOverMs: number;
}

export class ClickHouseHosts<T> {
  readonly #hosts: readonly Host<T>[];
  #current = 0;

  /** @param hosts in the order of the configuration; one or more */
  constructor(hosts: readonly T[]) {
    this.#hosts = hosts.map((host) => ({ host, untilMs: 0, passOverMs: PASS_OVER_FROM_MS }));
  }

  get all(): readonly T[] {
    return this.#hosts.map(({ host }) => host);
  }

  /** Every host, in the order to ask them in. */
  order(nowMs: number): readonly T[] {
    const turned = [...this.#hosts.slice(this.#current), ...this.#hosts.slice(0, this.#current)];
    const well = turned.filter(({ untilMs }) => untilMs <= nowMs);
    const passedOver = turned.filter(({ untilMs }) => untilMs > nowMs).sort((a, b) => a.untilMs - b.untilMs);
    return [...well, ...passedOver].map(({ host }) => host);
  }

  answered(host: T): void {
    const at = this.#hosts.findIndex((entry) => entry.host === host);
    const entry = this.#hosts[at] as Host<T>;
    entry.untilMs = 0;
    entry.passOverMs = PASS_OVER_FROM_MS;
    this.#current = at;
  }

  broke(host: T, nowMs: number): void {
    const entry = this.#hosts.find((candidate) => candidate.host === host) as Host<T>;
    // several requests that broke together are one fault
    if (entry.untilMs > nowMs) return;
    entry.untilMs = nowMs + entry.passOverMs;
    entry.passOverMs = Math.min(PASS_OVER_TO_MS, entry.passOverMs * 2);
  }
}
