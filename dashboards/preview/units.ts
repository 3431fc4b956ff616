/** Numbers as Grafana shows them in the units that the boards use. */

const SI = ['', ' k', ' M', ' G', ' T'];

/** @throws Error where the unit is none of the boards' */
export function formatValue(value: number | null, unit = 'short', decimals?: number): string {
  if (value === null) return '–';
  switch (unit) {
    case 'percentunit': return `${digits(value * 100, decimals)} %`;
    case 's': return seconds(value, decimals);
    case 'ms': return seconds(value / 1000, decimals);
    case 'bytes': return scaled(value, 1024, ' B', decimals, ['', ' Ki', ' Mi', ' Gi', ' Ti']);
    case 'decbytes': return scaled(value, 1000, 'B', decimals);
    case 'Bps': return scaled(value, 1000, 'B/s', decimals);
    case 'reqps': return `${scaled(value, 1000, '', decimals)} req/s`;
    case 'eps': return `${scaled(value, 1000, '', decimals)} events/s`;
    case 'cps': return `${scaled(value, 1000, '', decimals)} c/s`;
    case 'short': case 'none': case 'string': return scaled(value, 1000, '', decimals);
    default: throw new Error(`no unit ${unit}`);
  }
}

const digits = (value: number, decimals?: number): string => (decimals === undefined ? String(Number(value.toPrecision(3))) : value.toFixed(decimals));

function scaled(value: number, step: number, unit: string, decimals?: number, names: readonly string[] = SI): string {
  const power = Math.min(names.length - 1, Math.max(0, Math.floor(Math.log(Math.abs(value) || 1) / Math.log(step))));
  const name = names[power] ?? '';
  return `${digits(value / step ** power, decimals)}${unit !== '' && name === '' && !unit.startsWith(' ') ? ' ' : ''}${name}${name === '' ? unit : unit.trim()}`;
}

function seconds(value: number, decimals?: number): string {
  const size = Math.abs(value);
  if (size >= 86_400) return `${digits(value / 86_400, decimals)} d`;
  if (size >= 3600) return `${digits(value / 3600, decimals)} h`;
  if (size >= 60) return `${digits(value / 60, decimals)} min`;
  if (size >= 1 || size === 0) return `${digits(value, decimals)} s`;
  return size >= 0.001 ? `${digits(value * 1000, decimals)} ms` : `${digits(value * 1e6, decimals)} µs`;
}
