/** Which of the two text formats a scrape is answered in, by its Accept field (RFC 9110 12.5.1). */

/** `text`: Prometheus 0.0.4. */
export type Format = 'text' | 'openmetrics';

export const CONTENT_TYPES: Readonly<Record<Format, string>> = {
  text: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
};

const VERSIONS: Readonly<Record<Format, string>> = { text: '0.0.4', openmetrics: '1.0.0' };

/**
 * OpenMetrics where it is named and nothing in plain text is wanted more; the Prometheus format for anything else, also for what neither fits: a wrong field
 * must not blind whoever watches. Parameters other than version and q (Prometheus 3 names an escaping scheme) change nothing, as no name here needs escaping.
 */
export function formatFor(accept: string): Format {
  const weights: Record<Format, number> = { text: 0, openmetrics: 0 };
  let textIs = -1;
  for (const range of accept.split(',')) {
    const [type = '', ...rest] = range.split(';').map((part) => part.trim().toLowerCase());
    const parameters = new Map(rest.map((part): [string, string] => {
      const at = part.indexOf('=');
      return [part.slice(0, at).trim(), part.slice(at + 1).trim().replace(/^"(.*)"$/, '$1')];
    }));
    const weight = weightOf(parameters.get('q'));
    const fits = (format: Format): boolean => (parameters.get('version') ?? VERSIONS[format]) === VERSIONS[format];
    if (type === 'application/openmetrics-text') {
      if (fits('openmetrics')) weights.openmetrics = Math.max(weights.openmetrics, weight);
      continue;
    }
    // the most specific range decides
    const is = ['*/*', 'text/*', 'text/plain'].indexOf(type);
    if (is < 0 || is < textIs || !fits('text')) continue;
    weights.text = is > textIs ? weight : Math.max(weights.text, weight);
    textIs = is;
  }
  return weights.openmetrics > 0 && weights.openmetrics >= weights.text ? 'openmetrics' : 'text';
}

/** 0 to 1; what is no number counts as 1, as if it were not there. */
function weightOf(q: string | undefined): number {
  const weight = Number(q ?? 1);
  return q === '' || Number.isNaN(weight) ? 1 : Math.min(1, Math.max(0, weight));
}
