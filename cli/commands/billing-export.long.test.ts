import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer, request as ask } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { ExportManifest } from '../../collector/api/export-replies.js';
import { madeMonth } from '../../collector/billing/memory-ledger.fixture.js';
import { requires } from '../../test/harness/requires.js';
import { tidegateCommand } from '../../test/harness/tidegate.js';
import { TestBilling } from '../push/push.fixture.js';

const SKIP = { skip: requires('chdb'), timeout: 120_000 };
const ENTRIES = madeMonth(20);
const folder = mkdtempSync(join(tmpdir(), 'tidegate-billing-export-'));
let billing: TestBilling;
before(async () => {
  if (requires('chdb') !== false) return;
  billing = await TestBilling.start(ENTRIES);
  billing.nowMs = Date.parse('2026-12-02T10:00:00Z');
});
after(async () => {
  await (billing as TestBilling | undefined)?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

interface Ran { readonly code: number | null; readonly out: Buffer; readonly told: string }

function start(url: string, ...more: readonly string[]) {
  const { command, args } = tidegateCommand(['billing', 'export', '--month', '2026-11', '--url', url, '--token', billing.place.token, ...more]);
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const out: Buffer[] = [];
  let told = '';
  child.stdout.on('data', (piece: Buffer) => { out.push(piece); });
  child.stderr.on('data', (piece) => { told += String(piece); });
  const ended = once(child, 'close').then(([code]): Ran => ({ code: code as number | null, out: Buffer.concat(out), told }));
  return { child, ended };
}
const run = (...more: readonly string[]): Promise<Ran> => start(billing.place.url, ...more).ended;

test('a file and its manifest are written, the same bytes twice; without --out the file goes to standard output', SKIP, async () => {
  for (const format of ['csv', 'parquet', 'cloudevents']) {
    const [first, second] = [join(folder, `first.${format}`), join(folder, `second.${format}`)];
    const ran = await run('--format', format, '--out', first);
    assert.equal(ran.code, 0, ran.told);
    assert.match(ran.told, new RegExp(`first.${format}: ${ENTRIES.length} entries`));
    assert.equal((await run('--format', format, '--out', second)).code, 0);
    const bytes = readFileSync(first);
    assert.ok(bytes.equals(readFileSync(second)));
    assert.ok((await run('--format', format)).out.equals(bytes));
    const manifest = JSON.parse(readFileSync(`${first}.manifest.json`, 'utf8')) as ExportManifest;
    assert.deepEqual(manifest.files, [{ name: `first.${format}`, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }]);
    assert.deepEqual([manifest.rows, manifest.sums.billable], [ENTRIES.length, ENTRIES.reduce((sum, { billable }) => sum + billable, 0)]);
  }
  const one = await run('--app', 'app-3', '--format', 'ndjson');
  assert.equal(one.out.toString().trimEnd().split('\n').length, 32);
});

test('open days are named with exit code 3, what is wrong with 1; no file is there then, and one that was there stays', SKIP, async () => {
  const place = mkdtempSync(join(folder, 'open-'));
  const out = join(place, 'bill.csv');
  assert.equal((await run('--out', out)).code, 0);
  const kept = readFileSync(out);
  billing.ledger.open = [{ app: 'app-1', day: '2026-11-23', status: 'closing', reasons: ['a gap'] }];
  try {
    const open = await run('--out', out);
    assert.deepEqual([open.code, /app-1 2026-11-23 \(closing\).*billing_days_open/.test(open.told)], [3, true], open.told);
    assert.equal((await run('--out', join(place, 'other.csv'))).code, 3);
  } finally {
    billing.ledger.open = [];
  }
  const bad = await run('--month', '2026-13', '--out', join(place, 'other.csv'));
  assert.deepEqual([bad.code, bad.told.includes('invalid_parameter')], [1, true]);
  assert.equal((await run('--out', join(place, 'nowhere', 'x.csv'))).code, 1);
  assert.deepEqual(readdirSync(place).sort(), ['bill.csv', 'bill.csv.manifest.json']);
  assert.ok(readFileSync(out).equals(kept));
});

test('nothing half-written is left behind: an answer that breaks off, one that is not what its manifest says, Ctrl-C', SKIP, async () => {
  const place = mkdtempSync(join(folder, 'broken-'));
  let fault: 'breaks' | 'differs' | 'stands' = 'breaks';
  let stands: () => void = () => undefined;
  // between the command and the control origin: what comes is changed on its way
  const between = createServer((asked, answer) => {
    ask(`${billing.place.url}${asked.url ?? ''}`, { headers: asked.headers }, (real) => {
      if (asked.url?.includes('manifest') === true) {
        answer.writeHead(real.statusCode ?? 500);
        real.pipe(answer);
        return;
      }
      answer.writeHead(200, { 'transfer-encoding': 'chunked' });
      real.once('data', (piece: Buffer) => {
        answer.write(piece.subarray(0, 1000));
        if (fault === 'breaks') setTimeout(() => answer.destroy(), 50);
        else if (fault === 'differs') answer.end();
        else stands();
      });
    }).end();
  }).listen(0, '127.0.0.1');
  await once(between, 'listening');
  const url = `http://127.0.0.1:${(between.address() as AddressInfo).port}`;
  const out = join(place, 'bill.csv');
  try {
    const broken = await start(url, '--out', out).ended;
    assert.deepEqual([broken.code, broken.told.includes('control_unreachable')], [1, true], broken.told);
    fault = 'differs';
    const differs = await start(url, '--out', out).ended;
    assert.deepEqual([differs.code, differs.told.includes('billing_export_differs')], [1, true], differs.told);
    fault = 'stands';
    const standing = new Promise<void>((resolve) => { stands = resolve; });
    const { child, ended } = start(url, '--out', out);
    await standing;
    child.kill('SIGINT');
    assert.equal((await ended).code, 130);
    assert.deepEqual(readdirSync(place), []);
  } finally {
    between.closeAllConnections();
    between.close();
  }
});
