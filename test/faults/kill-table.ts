/** What came of a run of kills: every request matched with its event one by one, the numbers of each kill, and the rollups against raw. */
import assert from 'node:assert/strict';
import type { Store } from '../../collector/store/store.js';
import { FULL_LOAD, type Attempt } from './kill-attempt.js';
import { mayCut, mostRefused, nameOf } from './kill-kinds.js';
import type { MatchedLoad } from './matched-load.js';

const LEDGER_AWAY = '503 ledger_unavailable';

interface StoredRequest { readonly path: string; readonly app: string; readonly bytes: number; readonly status: number; readonly rows: number; readonly requests: number }
interface Phase { begun: number; events: number; answered: number; readonly codes: Map<string, number> }

/**
 * Prints the table, then asserts: answered ⊆ recorded, each once and with those bytes ⊆ begun; no kill cut answers but of a worker; answers around each
 * were 200, or few of them for want of a ledger that died; rollups equal raw.
 * @param attempts in the order of the load's phases
 * @param seconds that the load lasted
 */
export async function judge(store: Store, load: MatchedLoad, attempts: readonly Attempt[], seconds: number): Promise<void> {
  const rows = await store.query<StoredRequest>(
    'SELECT path, any(app) AS app, toUInt32(sum(bytes_out)) AS bytes, toUInt32(max(status)) AS status, toUInt32(count()) AS rows, toUInt32(sum(requests)) AS requests FROM tidegate.events GROUP BY path',
  );
  const { phases, faults } = match(new Map(rows.map((row) => [row.path, row])), load, attempts.length);
  print(attempts, phases, seconds);
  assert.deepEqual(faults.slice(0, 20), []);
  assert.deepEqual(attempts.flatMap((made, i) => clientsNoticed(made, phases[i] as Phase).map((what) => `kill ${i} (${nameOf(made.kind)}): ${what}`)), []);
  await rollupsEqualRaw(store);
}

function match(stored: ReadonlyMap<string, StoredRequest>, load: MatchedLoad, kills: number): { readonly phases: readonly Phase[]; readonly faults: readonly string[] } {
  const phases = Array.from({ length: kills }, (): Phase => ({ begun: 0, events: 0, answered: 0, codes: new Map() }));
  const faults: string[] = [];
  for (const [path, request] of load.requests) {
    const phase = phases[Number(path.split('/')[3])];
    const event = stored.get(path);
    const { answered } = request;
    if (phase !== undefined) {
      phase.begun++;
      if (event !== undefined) phase.events++;
      if (answered !== null) phase.answered++;
      if (answered !== null && answered.status !== 200) add(phase.codes, `${answered.status} ${answered.code ?? 'no problem'}`, 1);
    }
    if (event !== undefined && (event.rows !== 1 || event.requests !== 1)) faults.push(`${path}: ${event.rows} rows, ${event.requests} requests`);
    if (answered === null) continue;
    if (event === undefined) faults.push(`${path}: answered ${answered.status}, and not recorded`);
    else if (event.status !== answered.status || event.bytes !== answered.bytes || (event.status === 200 && (event.app !== request.app || event.bytes !== request.bytes))) {
      faults.push(`${path}: recorded ${event.app} ${event.status} ${event.bytes}, received ${request.app} ${answered.status} ${answered.bytes}`);
    }
  }
  for (const path of stored.keys()) if (!load.requests.has(path)) faults.push(`${path}: recorded, and never begun`);
  return { phases, faults };
}

/** What clients noticed of a kill that they should not have, in words. */
function clientsNoticed({ kind, cut }: Attempt, { begun, codes }: Phase): string[] {
  const noticed = cut > 0 && !mayCut(kind) ? [`${cut} answers cut`] : [];
  for (const [code, count] of codes) {
    if (code !== LEDGER_AWAY || count > begun * mostRefused(kind)) noticed.push(`${count} of ${begun} answered ${code}`);
  }
  return noticed;
}

function print(attempts: readonly Attempt[], phases: readonly Phase[], seconds: number): void {
  const sum = (of: (phase: Phase) => number): number => phases.reduce((total, phase) => total + of(phase), 0);
  const begun = sum((phase) => phase.begun);
  const counted = attempts.filter(({ counts }) => counts !== null);
  const full = counted.filter(({ requestsASecond }) => requestsASecond >= FULL_LOAD).length;
  console.log(`${counted.length} kills that count, of ${attempts.length}, in ${seconds.toFixed(0)} s; ${full} of them at >= ${FULL_LOAD} requests/s; ${Math.round(begun / seconds)} requests/s over all`);
  console.log(`answered ${sum((phase) => phase.answered)} <= recorded ${sum((phase) => phase.events)} <= begun ${begun}; sealed and complete after each kill`);
  console.log('kill  process     signal   place                   req/s  answered <= recorded <= begun   cut     s  counts');
  attempts.forEach(({ kind, counts, requestsASecond, cut, lastedMs }, i) => {
    const { answered, events, begun: all, codes } = phases[i] as Phase;
    console.log([
      String(i).padStart(4), '  ', kind.role.padEnd(12), kind.signal.padEnd(9), (kind.place ?? 'random').padEnd(22), String(requestsASecond).padStart(7),
      String(answered).padStart(10), String(events).padStart(12), String(all).padStart(9), String(cut).padStart(6), (lastedMs / 1000).toFixed(1).padStart(6),
      `  ${counts ?? '-'}`, codes.size === 0 ? '' : `; answered ${listed(codes)}`,
    ].join(''));
  });
  for (const role of ['worker', 'collector', 'supervisor'] as const) {
    const codes = new Map<string, number>();
    phases.forEach((phase, i) => { if (attempts[i]?.kind.role === role) for (const [code, count] of phase.codes) add(codes, code, count); });
    console.log(`answers other than 200 around kills of the ${role}: ${listed(codes)}`);
  }
}

const listed = (codes: ReadonlyMap<string, number>): string => [...codes].map(([code, count]) => `${count} x ${code}`).join(', ') || 'none';

function add(counts: Map<string, number>, key: string, more: number): void {
  counts.set(key, (counts.get(key) ?? 0) + more);
}

async function rollupsEqualRaw(store: Store): Promise<void> {
  for (const table of ['traffic_minute', 'traffic_quarter_hour']) {
    const [sums] = await store.query<{ requests: number; bytes_out: number; raw: number; raw_bytes: number }>(
      `SELECT (SELECT toFloat64(sum(requests)) FROM tidegate.${table}) AS requests, (SELECT toFloat64(sum(bytes_out)) FROM tidegate.${table}) AS bytes_out,
        (SELECT toFloat64(sum(requests)) FROM tidegate.events) AS raw, (SELECT toFloat64(sum(bytes_out)) FROM tidegate.events) AS raw_bytes`,
    );
    assert.deepEqual([sums?.requests, sums?.bytes_out], [sums?.raw, sums?.raw_bytes], `${table} equals raw`);
  }
}
