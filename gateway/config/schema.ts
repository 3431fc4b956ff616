/**
 * The configuration's one schema. Types (`Static`), validation (ajv), defaults, the published JSON Schema (draft-07) and
 * docs/reference/configuration.md all come from it. Values stay as written here (`1s`, `16KiB`); `units.ts` reads them.
 */
import Type, { type Static, type TSchema } from 'typebox';
import { LOG_LEVELS } from './log-level.js';

const strict = { additionalProperties: false } as const;
const DURATION = '^(\\d+(\\.\\d+)?)(ms|s|m|h|d)$';
const BYTES = '^\\d+(B|KiB|MiB|GiB|KB|MB|GB)$';
const NAME = '^[a-z0-9]([a-z0-9_.-]{0,62}[a-z0-9])?$';
const NODE = '^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$';
/** Bounds that keep sums within what a double counts exactly. */
const MOST_A_SECOND = 1_000_000_000;
const MOST_A_DAY = 1_000_000_000_000;
const SHA256 = '^[0-9a-f]{64}$';
const TOPIC = '^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$';
const REDIS_PREFIX = '^[A-Za-z0-9_.:-]{1,64}$';
const CLUSTER = '^[A-Za-z0-9_.-]{0,64}$';

/** What a pattern asks for, in words: for messages and the reference. */
export const FORMS: Readonly<Record<string, string>> = {
  [DURATION]: 'a duration: `250ms`, `1.5s`, `5m`, `2h`, `30d`',
  [BYTES]: 'a size: `512B`, `16KiB`, `64MiB`, `8GB`',
  [NAME]: 'a name: lower-case letters, digits, `-`, `_`, `.`; 1 to 64, a letter or digit first and last',
  [NODE]: 'a name: letters, digits, `-`, `_`, `.`; 1 to 63',
  [TOPIC]: 'a name: letters, digits, `-`, `_`, `.`; 1 to 200',
  [SHA256]: 'a SHA-256: 64 lower-case hexadecimal digits',
  [CLUSTER]: 'a cluster\'s name: letters, digits, `-`, `_`, `.`; at most 64',
  [REDIS_PREFIX]: 'letters, digits, `-`, `_`, `.`, `:`; 1 to 64',
  '^/': 'a path that begins with `/`',
  '^[A-Z-]+$': 'a method in capitals',
};

const Duration = (value: string, description: string) => Type.String({ pattern: DURATION, default: value, description });
const Name = (description: string) => Type.String({ pattern: NAME, description });
const Bytes = (value: string, description: string) => Type.String({ pattern: BYTES, default: value, description });
const optional = <T extends TSchema>(schema: T) => Type.Optional(schema);

const IpLists = Type.Object({
  allow: Type.Array(Type.String(), { default: [], description: 'CIDR blocks or addresses. Not empty: only these may call.' }),
  deny: Type.Array(Type.String(), { default: [], description: 'CIDR blocks or addresses that may not call; deny wins over allow.' }),
}, { ...strict, default: {} });

const Rate = {
  qps: optional(Type.Integer({ minimum: 1, maximum: MOST_A_SECOND, description: 'Requests per second.' })),
  burst: optional(Type.Integer({ minimum: 1, maximum: MOST_A_SECOND, description: 'Requests that may come at once; default: `qps`.' })),
};
const ClientIpRate = Type.Object({
  qps: Type.Integer({ minimum: 1, maximum: MOST_A_SECOND, description: 'Requests per second from one address (IPv6: /64), counted by each worker separately: approximate.' }),
  burst: optional(Type.Integer({ minimum: 1, maximum: MOST_A_SECOND, description: 'Default: `qps`.' })),
}, strict);
const RateLimits = Type.Object({ ...Rate }, { ...strict, default: {} });
const SharedLimits = Type.Object({ ...Rate, client_ip: optional(ClientIpRate) }, { ...strict, default: {} });
/** `type` with two names rather than a union: ajv fills defaults in there, and says one thing when neither fits. */
const Quota = Type.Unsafe<number | { limit: number; over: 'refuse' | 'bill' }>({
  type: ['integer', 'object'],
  minimum: 1,
  maximum: MOST_A_DAY,
  properties: {
    limit: Type.Integer({ minimum: 1, maximum: MOST_A_DAY, description: 'Requests per day.' }),
    over: Type.Enum(['refuse', 'bill'], { default: 'refuse', description: '`bill` lets requests above the limit through and bills them (`tidegate billing days`).' }),
  },
  required: ['limit', 'over'],
  additionalProperties: false,
  description: 'Requests per day, in the app\'s time zone. A number alone refuses everything above it.',
});
const AppLimits = Type.Object({
  ...Rate,
  qpd: optional(Quota),
}, { ...strict, default: {} });

const HttpListener = Type.Object({
  address: Type.String({ default: '0.0.0.0:8080', description: 'host:port; `[::]:8080` for IPv6; `fd:3`: a socket passed by systemd, so that no connection is refused while the node is stopped and started.' }),
  health_path: Type.Unsafe<string | null>({ type: ['string', 'null'], pattern: '^/', default: null, description: 'For the load balancer: answers 200, and 503 while draining. Not recorded as an event.' }),
  timeouts: Type.Object({
    head: Duration('10s', 'From the first byte of a request to the end of its head.'),
    body: Duration('30s', 'Between two reads of a request\'s body.'),
    keep_alive: Duration('75s', 'Idle time of a connection between requests.'),
    write: Duration('60s', 'A client that reads nothing of its response for this long is disconnected.'),
    drain: Duration('30s', 'At shutdown, the longest wait for requests in progress.'),
  }, { ...strict, default: {} }),
  limits: Type.Object({
    head: Bytes('16KiB', 'Request line and header fields together.'),
    fields: Type.Integer({ minimum: 8, maximum: 1000, default: 100, description: 'Header fields of a request.' }),
    target: Bytes('8KiB', 'Request target.'),
    body: Bytes('1GiB', 'Request body.'),
    connections: Type.Integer({ minimum: 1, default: 10000, description: 'Open connections per worker. Above that, each new one replaces the longest idle one (idle for two seconds or more).' }),
    connections_per_client: Type.Integer({ minimum: 1, default: 1000, description: 'Open connections per client address (IPv6: /64) and worker; does not apply to `trusted_proxies`.' }),
  }, { ...strict, default: {} }),
}, strict);

const Target = Type.Object({
  url: Type.String({ description: 'http:// or https://, host, port and an optional base path.' }),
  weight: Type.Integer({ minimum: 1, maximum: 1000, default: 1, description: 'Share of the requests, relative to the other targets\' weights.' }),
}, strict);

const Upstream = Type.Object({
  targets: Type.Array(Target, { minItems: 1, description: 'Where the service runs.' }),
  balancer: Type.Enum(['round_robin', 'weighted_round_robin', 'random'], { default: 'weighted_round_robin', description: 'How a request\'s target is chosen.' }),
  host: Type.String({ default: 'preserve', description: 'The Host header sent upstream: `preserve` (the client\'s), `target` (the target\'s), or a name.' }),
  timeouts: Type.Object({
    connect: Duration('2s', 'TCP and TLS handshake.'),
    headers: Duration('15s', 'From the end of the request to the response\'s head.'),
    idle: Duration('60s', 'Between two reads of the response\'s body.'),
    total: Duration('5m', 'From admission to the end of the response.'),
  }, { ...strict, default: {} }),
  connections: Type.Integer({ minimum: 1, default: 128, description: 'Connections per worker and target; further requests wait, at most for `connect`.' }),
  skip_refused: Duration('5s', 'A target that refuses a connection is skipped for this long.'),
}, strict);

const Match = Type.Object({
  hosts: Type.Array(Type.String(), { default: [], description: 'Exact (`api.example.com`) or one leading wildcard (`*.example.com`). Empty: any.' }),
  path: Type.String({ default: '/*', description: 'Exact `/a/b`, prefix `/a/*`, parameter `/a/:id`, regular expression `~^/v[12]/`.' }),
  methods: Type.Array(Type.String({ pattern: '^[A-Z-]+$' }), { default: [], description: 'Empty: any but TRACE, which is refused unless it is named.' }),
  headers: Type.Record(Type.String(), Type.String(), { default: {}, description: 'Field name to exact value; `*`: present.' }),
}, { ...strict, default: {} });

const Route = Type.Object({
  name: Name('Its own within the service; stands in events, metrics and reports.'),
  match: Match,
  strip_prefix: optional(Type.String({ pattern: '^/', description: 'Removed from the path before it is sent upstream.' })),
  add_prefix: optional(Type.String({ pattern: '^/', description: 'Prepended to the path (after strip_prefix).' })),
  authentication: Type.Array(Type.Enum(['api_key', 'jwt']), { default: ['api_key', 'jwt'], description: 'Tried in this order; `[]` needs no credential.' }),
  limits: RateLimits,
}, strict);

/** Bounds are open: a promise of 100 % leaves nothing that could be used up. */
const Percent = (description: string, extra: { readonly default?: number } = {}) => Type.Number({ exclusiveMinimum: 0, exclusiveMaximum: 100, ...extra, description });
const Ratio = (value: number, description: string) => Type.Number({ minimum: 0, maximum: 1, default: value, description });

const Slo = Type.Object({
  availability: optional(Percent('Percent of requests that shall be answered without an error of the service: above 0, below 100, such as 99.9.')),
  latency: optional(Type.Object({
    threshold: Type.String({ pattern: DURATION, description: 'The longest a request should take: a bound of the duration buckets (docs/metrics.md).' }),
    share: Percent('Percent of requests that shall take no longer: above 0, below 100.', { default: 99 }),
  }, strict)),
}, { ...strict, default: {} });

const Alerts = Type.Object({
  error_ratio: Ratio(0.1, 'Share of failed requests above which HighErrorRate fires; 1: never.'),
  server_error_ratio: Ratio(0.05, 'Share of answers with 5xx above which the slower of the error alerts fires; 1: never.'),
  latency_p95: Duration('1s', 'The longest that 95 % of requests should take: a bound of the duration buckets.'),
  latency_p99: Duration('2s', 'The longest that 99 % of requests should take: a bound of the duration buckets.'),
}, { ...strict, default: {} });

const Service = Type.Object({
  name: Name('Its own among the services; stands in events, metrics and reports.'),
  team: optional(Name('Whose it is: alerts of the service are routed by it.')),
  slo: Slo,
  alerts: Alerts,
  upstream: Upstream,
  record_path: Type.Enum(['none', 'template', 'full'], { default: 'none', description: 'What of the path the event keeps: nothing, the route\'s pattern, or the path without its query.' }),
  limits: SharedLimits,
  ip: IpLists,
  outcomes: Type.Record(Type.String(), Type.Object({
    counted: optional(Type.Boolean({ description: 'Counts against the quota.' })),
    billable: optional(Type.Boolean({ description: 'Is billed.' })),
  }, strict), { default: {}, description: 'By outcome: overrides of the table in docs/reference/outcomes.md.' }),
  statuses: Type.Record(Type.String(), Type.Object({
    billable: Type.Boolean({ description: 'False: not billed, whatever the outcome.' }),
  }, strict), { default: {}, description: 'By the response\'s status: `404`, or a class, `5xx`; a status takes precedence over its class.' }),
  routes: Type.Array(Route, { minItems: 1, description: 'Which requests belong to the service.' }),
}, strict);

const ApiKey = Type.Object({
  id: Name('Its own within the app: what a key is revoked by.'),
  sha256: Type.String({ pattern: SHA256, description: 'SHA-256 of the key, hexadecimal: `printf %s "$KEY" | sha256sum`. Keys created with `tidegate keys new` need not be listed here.' }),
  scopes: Type.Array(Type.Enum(['traffic', 'reports']), { minItems: 1, default: ['traffic', 'reports'], description: 'What the key is for: requests through the gateway, the app\'s own reports.' }),
}, strict);

/** Of further control tokens; gateway/control/endpoints.ts says what each may do. */
export const ROLES = ['read_only', 'billing'] as const;
const ControlToken = Type.Object({
  name: Name('Its own among the tokens: whose it is.'),
  role: Type.Enum([...ROLES], { description: '`read_only` reads what the operator reads, and changes nothing; `billing` reads reports, live numbers and completeness of all apps, and nothing else.' }),
  sha256: Type.String({ pattern: SHA256, description: 'SHA-256 of the token, hexadecimal. `tidegate tokens new` prints a token and this line.' }),
}, strict);

const Jwt = Type.Object({
  algorithm: Type.Enum(['HS256', 'RS256', 'ES256', 'EdDSA'], { description: 'The only algorithm accepted (RFC 8725).' }),
  secret: optional(Type.String({ description: 'HS256: the key, `${ENV}` or `file:PATH`; 32 bytes or more.' })),
  jwks: optional(Type.String({ description: 'The other algorithms: `file:PATH` or an https:// URL (http:// on loopback only).' })),
  issuer: optional(Type.String({ description: '`iss`; default: the app\'s name.' })),
  audience: optional(Type.String({ description: '`aud`; absent: not checked.' })),
  leeway: Duration('30s', 'Allowed clock skew for exp and nbf.'),
  claims: Type.Record(Type.String(), Type.String(), { default: {}, description: 'Maps a claim to the header that carries it upstream.' }),
}, strict);

const Webhook = Type.Object({
  url: Type.String({ description: 'https:// or http://: called once a day when 80 %, and when 100 %, of `limits.qpd` is used. Link-local and cloud metadata addresses are never called.' }),
  secret: Type.String({ description: '`${ENV}` or `file:PATH`: signs the request (docs/limits.md); 24 characters or more, or `whsec_` and base64.' }),
}, strict);

const App = Type.Object({
  name: Name('Its own among the apps (tenants).'),
  keys: Type.Array(ApiKey, { default: [], description: 'In addition to keys created with `tidegate keys new`.' }),
  jwt: optional(Jwt),
  services: Type.Array(Name('A declared service.'), { default: [], description: 'The services it may call. There is no `*`: list each.' }),
  limits: AppLimits,
  ip: IpLists,
  webhook: optional(Webhook),
  customer: optional(Type.String({ description: 'Who pays the bill.' })),
  time_zone: Type.String({ default: 'UTC', description: 'IANA name; the quota\'s day and the default of reports.' }),
}, strict);

/** `type` with two names, as for Quota. */
const KafkaTls = Type.Unsafe<boolean | { ca?: string; cert?: string; key?: string }>({
  type: ['boolean', 'object'],
  default: false,
  properties: {
    ca: Type.String({ description: '`file:PATH`: the authority that signed the brokers\' certificates; default: those of the system.' }),
    cert: Type.String({ description: '`file:PATH`: this client\'s certificate, if the brokers require one.' }),
    key: Type.String({ description: '`file:PATH`: its key.' }),
  },
  additionalProperties: false,
  description: '`true`, or a map of `ca`, `cert` and `key` (each `file:PATH`, PEM). The brokers\' names are always checked.',
});

const Kafka = Type.Object({
  brokers: Type.String({ default: '', description: '`host:port`, several with commas. Empty: events stay on this machine, in the spool.' }),
  topic: Type.String({ pattern: TOPIC, default: 'tidegate.events', description: 'Created if missing, as is `<topic>.quarantine`.' }),
  group: Type.String({ pattern: TOPIC, default: 'tidegate-collector', description: 'The consumer group of the collectors.' }),
  partitions: Type.Integer({ minimum: 1, maximum: 1000, default: 12, description: 'Partitions of the topic: the most collectors that can share the work. May be raised, never lowered.' }),
  replication: Type.Union([Type.Literal('auto'), Type.Integer({ minimum: 1, maximum: 9 })], { default: 'auto', description: 'Copies of each event in Kafka. `auto`: 3, or as many as there are brokers.' }),
  min_insync_replicas: Type.Union([Type.Literal('auto'), Type.Integer({ minimum: 1, maximum: 9 })], { default: 'auto', description: 'Copies that must exist before an event counts as shipped. `auto`: one fewer than `replication`, at least 1.' }),
  retention: Duration('7d', 'How long Kafka keeps events: longer than collectors may ever be down.'),
  tls: KafkaTls,
  sasl: optional(Type.Object({
    mechanism: Type.Enum(['plain', 'scram-sha-256', 'scram-sha-512'], { description: 'The one the brokers require.' }),
    username: Type.String({ minLength: 1, description: 'Needs permission to describe, create, read and write the topics, and to read the group.' }),
    password: Type.String({ description: '`${ENV}` or `file:PATH`.' }),
  }, strict)),
  chunk_events: Type.Integer({ minimum: 1, maximum: 100_000, default: 1000, description: 'Most events in one message.' }),
  chunk_age: Duration('200ms', 'An event waits no longer than this for others to be sent with it.'),
}, { ...strict, default: {} });

const Redis = Type.Object({
  url: Type.String({ default: '', description: '`redis://host:port/database`, with TLS `rediss://`; for a cluster, some of its nodes, comma-separated. Empty: each node enforces its limits separately.' }),
  cluster: Type.Boolean({ default: false, description: '`url` names nodes of a Redis Cluster.' }),
  username: optional(Type.String({ description: 'ACL user; docs/limits.md lists the permissions it needs. Default: the one in `url`, or Redis\'s `default`.' })),
  password: optional(Type.String({ description: '`${ENV}` or `file:PATH`. Default: the one in `url`.' })),
  prefix: Type.String({ pattern: REDIS_PREFIX, default: 'tidegate', description: 'Before the names of limits: deployments that share a Redis need different ones.' }),
  timeout: Duration('250ms', 'The longest wait for a response.'),
  tls: optional(Type.Object({
    ca: optional(Type.String({ description: '`file:PATH` of the certificates (PEM) that signed the servers\' own; default: those that Node trusts.' })),
  }, strict)),
}, { ...strict, default: {} });

const Log = Type.Object({
  level: optional(Type.Enum([...LOG_LEVELS], { description: 'The least severe level that is written. Absent: TIDEGATE_LOG_LEVEL, else `info`. `tidegate log level` changes it temporarily.' })),
  format: optional(Type.Enum(['json', 'ecs', 'otlp', 'text'], { description: '`json`: JSON lines (docs/logs.md lists the fields); `ecs`: Elastic Common Schema; `otlp`: JSON lines of OpenTelemetry\'s log data model; `text`: for people. Absent: `text` on a terminal, else `json`.' })),
  access: Type.Boolean({ default: false, description: 'An access log: a line per finished request, with its full path, whatever `record_path` says. Only needed if you collect log lines: the recorded event has the same numbers.' }),
  file: optional(Type.String({ minLength: 1, description: 'All processes of the node write there, and it is rotated. Relative to the configuration file. Absent: standard output.' })),
  rotate: Type.Object({
    size: Bytes('100MiB', 'The file is rotated, and compressed, above this size. 64KiB or more.'),
    age: Duration('1d', 'The file is rotated, and compressed, above this age. 1m or more.'),
    keep: Type.Integer({ minimum: 1, maximum: 1000, default: 10, description: 'How many rotated files are kept.' }),
  }, { ...strict, default: {} }),
  repeats: Type.Integer({ minimum: 0, maximum: 1_000_000, default: 20, description: 'How many warnings or errors with the same code and message each process writes per minute; one line then says how many were left out. 0: no limit.' }),
}, { ...strict, default: {} });

const Tracing = Type.Object({
  otlp: Type.Object({
    url: Type.String({ default: '', description: '`http://host:4318` or `https://…`: a receiver of OTLP over HTTP (protobuf); `/v1/traces` is appended if missing. Empty: no spans are made.' }),
    headers: Type.Record(Type.String(), Type.String(), { default: {}, description: 'Field name to value, `${ENV}` or `file:PATH`: sent with each export.' }),
    timeout: optional(Type.String({ pattern: DURATION, description: 'The longest wait for an export, including retries. Default: OTEL_EXPORTER_OTLP_TIMEOUT, or 10s.' })),
    compression: optional(Type.Enum(['none', 'gzip'], { description: 'Default: OTEL_EXPORTER_OTLP_COMPRESSION, or none.' })),
    tls: optional(Type.Object({
      ca: optional(Type.String({ description: '`file:PATH` of the certificates (PEM) that signed the receiver\'s own; default: those that Node trusts.' })),
    }, strict)),
  }, { ...strict, default: {} }),
  ratio: Type.Number({ minimum: 0, maximum: 1, default: 0.01, description: 'Share of traces started here that are sampled; for a trace started by a client, the client decides.' }),
  always: Type.Object({
    errors: Type.Boolean({ default: false, description: 'Requests that end as errors (5xx, or an outcome that is an error) are exported, sampled or not.' }),
    slower_than: optional(Type.String({ pattern: DURATION, description: 'Requests that took longer are exported, sampled or not.' })),
  }, { ...strict, default: {} }),
  propagation: Type.Array(Type.Enum(['tracecontext', 'b3', 'b3multi']), {
    minItems: 1, uniqueItems: true, default: ['tracecontext'], description: 'Formats read from clients; the first one present is used. `b3` and `b3multi` each read both B3 forms, and write their own to the upstream. `traceparent` is always written.',
  }),
  continue: Type.Enum(['anyone', 'trusted_proxies', 'nobody'], { default: 'anyone', description: 'Whose trace, and sampling decision, is continued; for anyone else a new trace starts here.' }),
  service_name: optional(Type.String({ minLength: 1, maxLength: 255, description: '`service.name` of the spans. Default: OTEL_SERVICE_NAME, or `tidegate`.' })),
}, { ...strict, default: {} });

export const ConfigSchema = Type.Object({
  version: Type.Literal(1, { description: 'Version of this format.' }),
  node: optional(Type.String({ pattern: NODE, description: 'This node\'s name in events; default: the host\'s.' })),
  nodes: Type.Array(Type.String({ pattern: NODE }), { default: [], description: 'Names of all nodes that serve requests: completeness reports one that was never seen, and shared limits wait for each of them after Redis was wiped. Empty: any node.' }),
  listeners: Type.Object({ http: HttpListener }, strict),
  control: Type.Object({
    address: Type.String({ default: '127.0.0.1:9180', description: 'host:port of the control API, the reports and /metrics.' }),
    token: optional(Type.String({ description: '`${ENV}` or `file:PATH`, 16 characters or more. Empty or absent: a random one, kept in data_dir/control.token.' })),
    metrics_open: Type.Boolean({ default: false, description: 'Serve /metrics without a token to peers that are not on loopback, too.' }),
    tokens: Type.Array(ControlToken, { default: [], description: 'Restricted tokens, each with a role.' }),
  }, { ...strict, default: {} }),
  reports: Type.Object({
    address: optional(Type.String({ description: 'host:port of a listener for the apps\' own reports, requests and completeness. No control token is accepted there. Absent: no listener; apps use `control.address`.' })),
    connections_per_client: Type.Integer({ minimum: 1, maximum: 1000, default: 100, description: 'Open connections per client address (IPv6: /64) at `reports.address`; does not apply to `trusted_proxies`. 1,000 in total.' }),
    queries_per_minute: Type.Integer({ minimum: 1, maximum: MOST_A_SECOND, default: 300, description: 'Report queries per app, and per token in `control.tokens`, at this node; all may come at once. The operator has no limit.' }),
  }, { ...strict, default: {} }),
  workers: Type.Union([Type.Literal('auto'), Type.Integer({ minimum: 1, maximum: 256 })], { default: 'auto', description: '`auto`: one per core.' }),
  trusted_proxies: Type.Array(Type.String(), { default: [], description: 'CIDR blocks whose X-Forwarded-For is trusted, read from the right.' }),
  data_dir: Type.String({ default: './data', description: 'Relative to the configuration file.' }),
  log: Log,
  event_log: Type.Object({
    spool: Type.Object({
      max_bytes: Bytes('8GiB', 'All segments of the node together. When full, events are dropped and counted, and requests are served. 8MiB or more.'),
      segment_bytes: Bytes('64MiB', 'A segment is closed past this size. 64KiB or more.'),
    }, { ...strict, default: {} }),
    kafka: Kafka,
  }, { ...strict, default: {} }),
  store: Type.Object({
    keep: Type.Object({
      events: Duration('30d', 'Raw events.'),
      minutes: Duration('90d', 'Counts by minute.'),
      quarter_hours: Duration('1100d', 'Counts by quarter of an hour.'),
    }, { ...strict, default: {} }),
    max_bytes: Bytes('50GiB', 'Above this, the oldest days of raw events are dropped, which is logged. 256MiB or more.'),
    clickhouse: Type.Object({
      url: Type.String({ default: '', description: '`http://host:port` or `https://host:port` of a ClickHouse server; several, comma-separated, are replicas of one cluster and are tried in turn. Empty: chDB, under `data_dir`.' }),
      user: Type.String({ minLength: 1, default: 'default', description: 'docs/store.md lists the permissions it needs.' }),
      password: optional(Type.String({ description: '`${ENV}` or `file:PATH`.' })),
      tls: optional(Type.Object({
        ca: optional(Type.String({ description: '`file:PATH` of the certificates (PEM) that signed the servers\' own; default: those that Node trusts.' })),
      }, strict)),
      cluster: Type.String({ pattern: CLUSTER, default: '', description: 'The cluster whose nodes are the replicas: tables are created ON CLUSTER, with Replicated engines. Empty: one server.' }),
      insert_quorum: Type.Integer({ minimum: 0, maximum: 100, default: 0, description: 'Replicas that must have an insert before it counts; 0: only the one that received it.' }),
      timeout: Duration('30s', 'How long to wait for a silent server. An unanswered insert is repeated, and counts once.'),
      compression: Type.Boolean({ default: true, description: 'gzip, in both directions.' }),
    }, { ...strict, default: {} }),
  }, { ...strict, default: {} }),
  privacy: Type.Object({
    client: Type.Enum(['prefix', 'hash', 'none'], { default: 'prefix', description: 'What events keep of a client\'s address. `prefix`: its network (IPv4 /24, IPv6 /48); `hash`: a keyed hash, the same for the same client (IPv6: /64); `none`: nothing.' }),
    key: optional(Type.String({ description: 'Key for `hash`: `${ENV}` or `file:PATH`, 16 characters or more; nodes need the same key to make the same hashes. Empty or absent: a random one, kept in data_dir/client.key.' })),
  }, { ...strict, default: {} }),
  billing: Type.Object({
    grace: Duration('1h', 'How long a day waits for late events after its end before it is closed. Longer than any service\'s `timeouts.total`; at most 7d.'),
  }, { ...strict, default: {} }),
  shared_state: Type.Object({
    redis: Redis,
    on_ledger_loss: Type.Enum(['deny', 'allow'], { default: 'deny', description: 'When Redis is down and a node has used up its share of a limit: `deny` refuses (503 `ledger_unavailable`), `allow` lets each node admit up to the full limit.' }),
  }, { ...strict, default: {} }),
  tracing: Tracing,
  limits: SharedLimits,
  ip: IpLists,
  services: Type.Array(Service, { default: [], description: 'The upstream services.' }),
  apps: Type.Array(App, { default: [], description: 'Who may call (tenants).'  }),
}, strict);

/** A validated configuration with every default filled in. */
export type Config = Static<typeof ConfigSchema>;
export type LogConfig = Static<typeof Log>;
export type RedisConfig = Static<typeof Redis>;
export type KafkaConfig = Static<typeof Kafka>;
export type ServiceConfig = Static<typeof Service>;
export type RouteConfig = Static<typeof Route>;
export type AppConfig = Static<typeof App>;
export type ControlTokenConfig = Static<typeof ControlToken>;
export type TracingConfig = Static<typeof Tracing>;
export type WebhookConfig = Static<typeof Webhook>;
export type JwtConfig = Static<typeof Jwt>;
export type HttpListenerConfig = Static<typeof HttpListener>;
export type IpListsConfig = Static<typeof IpLists>;
export type MatchConfig = Static<typeof Match>;
