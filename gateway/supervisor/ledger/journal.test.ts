import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Journal, JOURNAL_FILE } from './journal.js';
import { QuotaState } from './quota-state.js';
import type { LedgerRecord } from './records.js';

const QUIET = { info: () => {}, warn: () => {}, error: () => {} };
const DAY = 'qpd:app:a:2026-11-21';
const RECORDS: readonly LedgerRecord[] = [
  { t: 'base', apps: ['a'], settled: [] },
  { t: 'open', key: DAY, startMs: 0, endMs: 86_400_000 },
  { t: 'grant', stream: 's1', units: [[DAY, 20]] },
  { t: 'grant', stream: 's2', units: [[DAY, 30]] },
  { t: 'used', stream: 's1', lastSeq: 41, units: [[DAY, 12]] },
  { t: 'grant', stream: 's1', units: [[DAY, -3]] },
  { t: 'until', monotonicMs: 123.5 },
  { t: 'settled', stream: 's2', units: [[DAY, 4]] },
];

function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-journal-'));
  t.after(() => { rmSync(folder, { recursive: true, force: true }); });
  return folder;
}

function written(folder: string): string {
  const journal = new Journal(folder, 'boot-1', QUIET);
  journal.compact([]);
  for (const record of RECORDS) journal.append([record]);
  journal.close();
  return join(folder, JOURNAL_FILE);
}

test('what was appended is read back, in order', (t) => {
  const folder = folderFor(t);
  written(folder);
  assert.deepEqual(new Journal(folder, 'boot-1', QUIET).read(), { found: 'whole', records: RECORDS });
});

test('no journal, and one of another start of the machine, are fresh', (t) => {
  const folder = folderFor(t);
  assert.equal(new Journal(folder, 'boot-1', QUIET).read().found, 'fresh');
  written(folder);
  assert.deepEqual(new Journal(folder, 'boot-2', QUIET).read(), { found: 'fresh', records: [] });
});

test('a journal cut anywhere gives the records before the cut', (t) => {
  const folder = folderFor(t);
  const path = written(folder);
  const whole = readFileSync(path);
  for (let length = 0; length <= whole.length; length++) {
    writeFileSync(path, whole.subarray(0, length));
    const { found, records } = new Journal(folder, 'boot-1', QUIET).read();
    const lines = whole.subarray(0, length).toString().split('\n').length - 1;
    if (lines === 0) assert.equal(found, 'lost');
    else assert.deepEqual([found, records], ['whole', RECORDS.slice(0, lines - 1)]);
  }
});

test('a bit flipped anywhere is found: lost, or only the torn end', (t) => {
  const folder = folderFor(t);
  const path = written(folder);
  const whole = readFileSync(path);
  for (let i = 0; i < whole.length; i++) {
    const bytes = Buffer.from(whole);
    bytes[i] = (bytes[i] as number) ^ 1;
    writeFileSync(path, bytes);
    const { found, records } = new Journal(folder, 'boot-1', QUIET).read();
    if (found === 'whole') assert.ok(i === whole.length - 1 && records.length === RECORDS.length - 1, `byte ${i}`);
  }
});

test('a snapshot adds up to the same state, also while the truth is not whole', (t) => {
  for (const lost of [false, true]) {
    const folder = folderFor(t);
    const state = new QuotaState();
    for (const record of RECORDS) if (!lost || record.t !== 'base') state.apply(record);
    if (lost) state.apply({ t: 'lost' });
    const journal = new Journal(folder, 'boot-1', QUIET);
    journal.compact(state.snapshot());
    journal.append([{ t: 'grant', stream: 's1', units: [[DAY, 5]] }]);
    journal.close();
    const { found, records } = new Journal(folder, 'boot-1', QUIET).read();
    assert.equal(found, 'whole');
    const again = new QuotaState();
    for (const record of records) again.apply(record);
    state.apply({ t: 'grant', stream: 's1', units: [[DAY, 5]] });
    assert.equal(again.lost, lost);
    if (lost) continue;
    assert.deepEqual([...again.days], [...state.days]);
    assert.deepEqual([...again.marks], [...state.marks]);
    assert.deepEqual([...again.tracked], [...state.tracked]);
    assert.equal(again.ratesUntilMs, state.ratesUntilMs);
    assert.equal(again.today.get('a')?.committed, 22 + 4);
  }
});

test('a full disk: the journal is emptied, counting goes on, and the next compaction brings it back', (t) => {
  for (const partly of [false, true]) {
    const folder = folderFor(t);
    const path = join(folder, JOURNAL_FILE);
    const codes: unknown[] = [];
    let full = false;
    const journal = new Journal(folder, 'boot-1', { ...QUIET, error: (fields) => { codes.push((fields as { code?: string }).code); } }, (fd, bytes, offset) => {
      if (!full) return writeSync(fd, bytes, offset);
      if (partly) return writeSync(fd, bytes, offset, 7);
      throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
    });
    journal.compact(RECORDS);
    full = true;
    const grant: LedgerRecord = { t: 'grant', stream: 's1', units: [[DAY, 1]] };
    journal.append([grant]);
    assert.deepEqual(codes, ['ledger_write_failed']);
    assert.equal(readFileSync(path).length, 0);
    // a supervisor that starts now does not believe that nothing was granted
    assert.equal(new Journal(folder, 'boot-1', QUIET).read().found, 'lost');
    journal.append([grant]);
    assert.ok(journal.due);
    full = false;
    journal.compact([...RECORDS, grant]);
    journal.append([grant]);
    assert.deepEqual(new Journal(folder, 'boot-1', QUIET).read().records, [...RECORDS, grant, grant]);
    journal.close();
  }
});

test('a disk that is full at the start: the old journal is not left to be believed later', (t) => {
  const folder = folderFor(t);
  const path = written(folder);
  const journal = new Journal(folder, 'boot-1', QUIET, () => { throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' }); });
  journal.compact(journal.read().records);
  journal.append(RECORDS);
  assert.equal(readFileSync(path).length, 0);
  journal.close();
});

test('it grows, and is due for compaction', (t) => {
  const folder = folderFor(t);
  const journal = new Journal(folder, 'boot-1', QUIET);
  journal.compact([]);
  assert.equal(journal.due, false);
  const many: LedgerRecord = { t: 'used', stream: 's1', lastSeq: 1, units: Array.from({ length: 1000 }, (_, i) => [`qpd:app:a${i}:2026-11-21`, i] as const) };
  while (!journal.due) journal.append([many]);
  journal.compact([many]);
  assert.equal(journal.due, false);
  assert.deepEqual(new Journal(folder, 'boot-1', QUIET).read(), { found: 'whole', records: [many] });
  journal.close();
});

test('a torn end is gone after the next start, not glued to the next line', (t) => {
  const folder = folderFor(t);
  const path = written(folder);
  appendFileSync(path, '{"crc":17,"rec');
  const journal = new Journal(folder, 'boot-1', QUIET);
  journal.compact(journal.read().records);
  journal.append([{ t: 'untrack', apps: ['a'] }]);
  journal.close();
  assert.deepEqual(new Journal(folder, 'boot-1', QUIET).read().records, [...RECORDS, { t: 'untrack', apps: ['a'] }]);
});
