import { csvCell, csvLine, csvTime } from './csv.js';
import type { ParquetColumn } from './parquet.js';
import { PERCENTILES } from './percentiles.js';
import type { TrafficReport, TrafficRow, TrafficSums } from './traffic.js';
import type { TrafficQuery } from './traffic-query.js';

const SUMS = ['requests', 'errors', 'refused', 'bytes_in', 'bytes_out'] as const;
const SUM_COLUMNS = [...SUMS, 'duration_ms_avg', ...PERCENTILES.map((name) => `duration_ms_${name}`)];

/** The JSON answer. */
export function trafficJson(report: TrafficReport): string {
  return JSON.stringify({ ...report, rows: report.rows.map(flatRow) });
}

/** A line of NDJSON: what a row of the JSON answer is. */
export function ndjsonLine(row: TrafficRow): string {
  return `${JSON.stringify(flatRow(row))}\n`;
}

/** Groups stand beside the sums, `partial` and `others` only where they are true. */
function flatRow({ time, groups, others, partial, previous, ...sums }: TrafficRow): object {
  return { time, ...groups, ...(others ? { others } : {}), ...sums, ...(partial ? { partial } : {}), ...(previous === undefined ? {} : { previous }) };
}

/** RFC 4180 with a header line. What the JSON says of the whole report travels in header fields. */
export function csvHead({ groupBy, top, compare }: TrafficQuery): string {
  return csvLine(['time', ...groupBy, ...SUM_COLUMNS, 'partial', ...(top === null ? [] : ['others']), ...(compare ? ['time', ...SUM_COLUMNS].map((name) => `previous_${name}`) : [])]);
}

export function csvRow(row: TrafficRow, { groupBy, top, dates, timeZone }: TrafficQuery): string {
  const { previous } = row;
  return csvLine([
    csvTime(row.time, dates, timeZone), ...groupBy.map((group) => csvCell(row.groups[group] ?? '')), ...sumCells(row), row.partial,
    ...(top === null ? [] : [row.others]), ...(previous === undefined ? [] : [csvTime(previous.time, dates, timeZone), ...sumCells(previous)]),
  ]);
}

const sumCells = (sums: TrafficSums): (string | number)[] => [...SUMS.map((name) => sums[name]), sums.duration_ms.avg ?? '', ...PERCENTILES.map((name) => sums.duration_ms[name] ?? '')];

/** The same columns as those of CSV; what is an empty cell there is null. */
export function parquetColumns({ groupBy, top, compare }: TrafficQuery): readonly ParquetColumn<TrafficRow>[] {
  const sums = (prefix: string, of: (row: TrafficRow) => TrafficSums | undefined): ParquetColumn<TrafficRow>[] => [
    ...SUMS.map((name): ParquetColumn<TrafficRow> => ({ name: `${prefix}${name}`, type: 'integer', of: (row) => of(row)?.[name] ?? 0 })),
    ...(['avg', ...PERCENTILES] as const).map((name): ParquetColumn<TrafficRow> => ({ name: `${prefix}duration_ms_${name}`, type: 'real', nullable: true, of: (row) => of(row)?.duration_ms[name] ?? null })),
  ];
  return [
    { name: 'time', type: 'text', of: (row) => row.time },
    ...groupBy.map((group): ParquetColumn<TrafficRow> => ({ name: group, type: group === 'status' ? 'integer' : 'text', nullable: true, of: (row) => row.groups[group] ?? null })),
    ...sums('', (row) => row),
    { name: 'partial', type: 'boolean', of: (row) => row.partial },
    ...(top === null ? [] : [{ name: 'others', type: 'boolean', of: (row: TrafficRow) => row.others } as const]),
    ...(compare ? [{ name: 'previous_time', type: 'text', of: (row: TrafficRow) => row.previous?.time ?? '' } as const, ...sums('previous_', (row) => row.previous)] : []),
  ];
}
