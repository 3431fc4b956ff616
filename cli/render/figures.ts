/** 12,345 */
export function count(value: number): string {
  return Math.round(value).toString().replaceAll(/\B(?=(\d{3})+$)/g, ',');
}

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
const BINARY_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** 1.2 MB; decimal units, as disks and networks are sold. */
export function bytes(value: number): string {
  return inUnits(value, 1000, UNITS);
}

/** 8.0 GiB: what the configuration gives in such units, so that the number is known again. */
export function binaryBytes(value: number): string {
  return inUnits(value, 1024, BINARY_UNITS);
}

function inUnits(value: number, step: number, units: readonly string[]): string {
  let rest = value;
  let unit = 0;
  while (rest >= step - 0.5 && unit < units.length - 1) {
    rest /= step;
    unit += 1;
  }
  return `${unit === 0 ? rest : rest < 9.95 ? rest.toFixed(1) : Math.round(rest)} ${units[unit]}`;
}

/** 0.412, 12.3, 1,234: three digits that matter; `-` for none. */
export function milliseconds(value: number | null): string {
  if (value === null) return '-';
  if (value >= 100) return count(value);
  return value >= 10 ? value.toFixed(1) : value >= 1 ? value.toFixed(2) : value.toFixed(3);
}

/** 1.2 %; what is not nothing never looks like it. */
export function share(part: number, whole: number): string {
  if (part === 0 || whole === 0) return '0 %';
  const percent = (100 * part) / whole;
  return percent < 0.1 ? '<0.1 %' : `${percent >= 10 ? percent.toFixed(0) : percent.toFixed(1)} %`;
}

/** +12 %, -3 %, x25 from tenfold on; `new` where there was nothing before, `-` where there is nothing either. */
export function change(now: number | null, before: number | null): string {
  const [is, was] = [now ?? 0, before ?? 0];
  if (was === 0) return is === 0 ? '-' : 'new';
  if (is >= 10 * was) return `x${count(is / was)}`;
  const percent = Math.round((100 * (is - was)) / was);
  return `${percent >= 0 ? '+' : ''}${percent} %`;
}

/** `2026-11-21 09:00 to 2026-11-21 10:00`; with seconds where one of the two has some: a range of seconds would else end where it begins. */
export function periodOf(from: string, to: string): string {
  const length = [from, to].every((instant) => instant.slice(17, 19) === '00') ? 16 : 19;
  return [from, to].map((instant) => instant.slice(0, length).replace('T', ' ')).join(' to ');
}

/** `2026-11-21 09:00` of an RFC 3339 instant, as its own zone shows it. */
export function minuteOf(instant: string): string {
  return instant.slice(0, 16).replace('T', ' ');
}
