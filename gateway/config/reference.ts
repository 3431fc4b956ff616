/** The published schema and the reference pages: rendered from the schema and the tables, so that they cannot tell another story. */
import { ERROR_CODES } from '../../errors/codes.js';
import { OUTCOMES } from '../events/outcomes.js';
import { REASONS, REFUSED_BY } from '../events/refusals.js';
import { describe } from './schema-check.js';
import { ConfigSchema, FORMS } from './schema.js';
import { isMap } from './variables.js';

type JsonSchema = Readonly<Record<string, unknown>>;

/** tidegate.schema.json: draft-07, for editors. What has a default is not required there. */
export function renderJsonSchema(): string {
  const published = publish(JSON.parse(JSON.stringify(ConfigSchema)) as unknown);
  return `${JSON.stringify({ $schema: 'http://json-schema.org/draft-07/schema#', title: 'Tidegate configuration', ...(published as object) }, null, 2)}\n`;
}

function publish(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(publish);
  if (!isMap(node)) return node;
  const copy: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(node)) copy[key] = key === 'default' || key === 'enum' ? value : publish(value);
  const properties = node['properties'];
  if (Array.isArray(node['required']) && isMap(properties)) {
    const required = (node['required'] as string[]).filter((name) => !('default' in (properties[name] as object)));
    if (required.length > 0) copy['required'] = required;
    else delete copy['required'];
  }
  return copy;
}

/** docs/reference/configuration.md */
export function renderConfiguration(): string {
  const sections: string[] = [];
  section('', ConfigSchema as unknown as JsonSchema, sections);
  return `# Configuration reference

Rendered from the schema by \`npm run docs\`; \`tidegate.schema.json\` is the same schema for editors. With this line at the top of a file they complete and check it:

    # yaml-language-server: $schema=./tidegate.schema.json

- Commands read \`./tidegate.yaml\`, or \`/etc/tidegate/tidegate.yaml\` if there is none; \`-c FILE\` names another one.
- Unknown keys are refused. \`tidegate check FILE\` lists every error at once, as \`file:line:column: message (code)\`.
- \`\${NAME}\` in a value is an environment variable, \`\${NAME:-default}\` one that may be unset or empty, \`$\${\` a literal \`\${\`. Inside \`[ ]\` and \`{ }\`, YAML requires quotes around them.
- \`TIDEGATE__control__address=127.0.0.1:9999\` overrides one value of the file; an entry of a list is named by its position, or by its name: \`TIDEGATE__services__catalogue__upstream__connections=64\`.
- \`file:PATH\`, where allowed, reads a secret or a key set from a file; paths are relative to the configuration file's folder.
- Durations are \`250ms\`, \`1.5s\`, \`5m\`, \`2h\`, \`30d\`; sizes \`512B\`, \`16KiB\`, \`64MiB\`, \`8GB\`.

${sections.join('\n')}`;
}

/** One table for the keys of a map, then the sections of those keys that are maps themselves. */
function section(path: string, schema: JsonSchema, sections: string[]): void {
  const properties = (schema['properties'] ?? {}) as Readonly<Record<string, JsonSchema>>;
  const required = new Set((schema['required'] ?? []) as string[]);
  const rows = Object.entries(properties).map(([key, value]) => {
    const fallback = 'default' in value ? plainDefault(value['default']) : required.has(key) ? 'required' : '';
    return `| \`${key}\` | ${cell(typeOf(value))} | ${cell(fallback)} | ${cell(descriptionOf(value))} |`;
  });
  sections.push(`## ${path === '' ? 'The file' : `\`${path}\``}\n\n| key | value | default | meaning |\n|---|---|---|---|\n${rows.join('\n')}\n`);
  for (const [key, value] of Object.entries(properties)) {
    const inner = path === '' ? key : `${path}.${key}`;
    if (isMap(value['properties'])) section(inner, value, sections);
    const items = value['items'];
    if (isMap(items) && isMap(items['properties'])) section(`${inner}[]`, items, sections);
    const members = recordValue(value);
    if (members !== null && isMap(members['properties'])) section(`${inner}.*`, members, sections);
  }
}

function typeOf(schema: JsonSchema): string {
  if (isMap(schema['items'])) return `list of ${isMap(schema['items']['properties']) ? 'maps, see below' : typeOf(schema['items'])}`;
  const members = recordValue(schema);
  if (members !== null) return `map of names to ${isMap(members['properties']) ? 'maps, see below' : typeOf(members)}`;
  if (isMap(schema['properties']) && schema['type'] === 'object') return 'map, see below';
  if (Array.isArray(schema['enum'])) return (schema['enum'] as string[]).map((value) => `\`${value}\``).join(', ');
  const pattern = schema['pattern'];
  const form = typeof pattern === 'string' ? FORMS[pattern]?.replace(/^an? /, '').replace(/:.*$/, '') : undefined;
  return form ?? describe(schema);
}

/** What the values of a map with free names are like; null: the names are given. */
function recordValue(schema: JsonSchema): JsonSchema | null {
  const patterns = schema['patternProperties'];
  return isMap(patterns) ? (Object.values(patterns)[0] as JsonSchema) : null;
}

function descriptionOf(schema: JsonSchema): string {
  return typeof schema['description'] === 'string' ? schema['description'] : '';
}

function plainDefault(value: unknown): string {
  return isMap(value) && Object.keys(value).length === 0 ? '' : `\`${JSON.stringify(value)}\``;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

/** docs/reference/errors.md */
export function renderErrors(): string {
  const rows = Object.entries(ERROR_CODES).map(([code, { status, title, remedy }]) => `| \`${code}\` | ${status === 0 ? '' : status} | ${cell(title)} | ${cell(remedy)} |`);
  return `# Error codes

Rendered from \`errors/codes.ts\` by \`npm run docs\`. Every error shown to a client, to an operator or in the log has one of these codes. \`status\` is the HTTP status, for errors that answer a request.

| code | status | meaning | what to do |
|---|---|---|---|
${rows.join('\n')}
`;
}

/** docs/reference/outcomes.md */
export function renderOutcomes(): string {
  const yes = (value: boolean): string => (value ? 'yes' : '');
  const rows = Object.entries(OUTCOMES).map(([name, entry]) =>
    `| \`${name}\` | ${name === 'answered' ? 'if 5xx' : yes(entry.error)} | ${yes(entry.counted)} | ${yes(entry.billable)} | ${name === 'client_aborted' ? 'if tried' : yes(entry.letThrough)} | ${cell(entry.meaning)} |`);
  return `# Outcomes

Rendered from \`gateway/events/outcomes.ts\` and \`gateway/events/refusals.ts\` by \`npm run docs\`. Each request's event says how it ended. \`counted\`: against the app's daily quota; a service may override this and \`billable\` under \`outcomes\`. \`let through\`: sent to an upstream; only these are in latency percentiles. If a client disconnects before its request has passed the policies, no upstream was tried (\`attempts\` is 0) and it was not let through.

| outcome | error | counted | billable | let through | meaning |
|---|---|---|---|---|---|
${rows.join('\n')}

## Why it was refused

\`refused_by\` and \`reason\` of the event; both are empty if it was let through, or if the outcome is explanation enough. Only the operator sees them: the client gets only the response's detail, and an app does not see them.

| \`refused_by\` | who |
|---|---|
${Object.entries(REFUSED_BY).map(([name, meaning]) => `| \`${name}\` | ${cell(meaning)} |`).join('\n')}

| \`reason\` | why |
|---|---|
${Object.entries(REASONS).map(([name, meaning]) => `| \`${name}\` | ${cell(meaning)} |`).join('\n')}
`;
}
