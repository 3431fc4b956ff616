/**
 * The one table of error codes. Whatever a client, an operator or a log reader is told carries one of these;
 * the reference in docs/reference/errors.md is generated from it. Nobody matches on a message.
 *
 * `status` is the HTTP status where the error answers a request (0: it never does); `exit` the exit code where it ends a command.
 */
export interface ErrorEntry {
  readonly status: number;
  readonly title: string;
  /** What the reader should do. */
  readonly remedy: string;
}

const entry = (status: number, title: string, remedy: string): ErrorEntry => ({ status, title, remedy });

export const ERROR_CODES = {
  // -- answered to clients by the data listeners ---------------------------------------------------------------
  malformed_request: entry(400, 'The request is not valid HTTP', 'Send a request that RFC 9112 allows; the detail names the part that is not.'),
  bad_path: entry(400, 'The path cannot be normalised', 'Send a path without NUL, encoded slashes, backslashes or overlong UTF-8.'),
  bad_host: entry(400, 'The Host is missing, repeated or malformed', 'Send exactly one valid Host field that agrees with the request target.'),
  unauthenticated: entry(401, 'No valid credential', 'Send an API key in X-Api-Key or a key or token in Authorization: Bearer.'),
  forbidden: entry(403, 'This app may not call this service', 'Ask the operator to add the service to the app.'),
  ip_denied: entry(403, 'This address may not call', 'Call from an allowed address.'),
  route_not_found: entry(404, 'No route matches', 'Check host, path, method and headers against the declared routes.'),
  request_timeout: entry(408, 'The request did not arrive in time', 'Send the head and the body faster than the listener\'s time limits.'),
  body_too_large: entry(413, 'The body is too large', 'Send less than the listener\'s body limit.'),
  uri_too_long: entry(414, 'The request target is too long', 'Send a shorter target.'),
  expectation_failed: entry(417, 'The expectation cannot be met', 'Only Expect: 100-continue is understood.'),
  rate_limited: entry(429, 'Too many requests a second', 'Wait for Retry-After, then slow down.'),
  quota_exhausted: entry(429, 'The day\'s quota is used up', 'Wait for the next day in the app\'s time zone, or ask for a larger quota.'),
  head_too_large: entry(431, 'The request head is too large', 'Send fewer or smaller header fields.'),
  internal_error: entry(500, 'The gateway failed', 'Give the request id to the operator.'),
  upgrade_not_supported: entry(501, 'This upgrade or method is not supported', 'Send a plain HTTP/1.1 request.'),
  upstream_unavailable: entry(502, 'The upstream could not be reached', 'Try again later.'),
  upstream_broken: entry(502, 'The upstream\'s answer was not valid or was cut', 'Try again later.'),
  no_healthy_target: entry(503, 'Every target of the service is out', 'Try again later.'),
  draining: entry(503, 'This node is shutting down', 'Connect again; another node or worker answers.'),
  ledger_unavailable: entry(503, 'The limit ledger did not answer in time', 'Try again in a moment.'),
  upstream_timeout: entry(504, 'The upstream did not answer in time', 'Try again later.'),
  version_not_supported: entry(505, 'This HTTP version is not supported', 'Use HTTP/1.1 or HTTP/1.0.'),

  // -- answered by the control origin --------------------------------------------------------------------------
  invalid_parameter: entry(400, 'A parameter is not valid', 'The detail names the parameter and the values allowed.'),
  not_found: entry(404, 'No such thing', 'Check the name or the id.'),
  method_not_allowed: entry(405, 'This method is not allowed here', 'See /openapi.json.'),
  range_not_kept: entry(400, 'Raw events of that range are no longer kept', 'Ask without status, method, outcome, target and config_version, or for a later range.'),
  operator_only: entry(403, 'Only the operator may do this', 'Use the control token; an app\'s own credential reads its own reports, completeness and requests.'),
  report_too_large: entry(400, 'The report is too large', 'Ask for a shorter range, a coarser interval or fewer groups.'),
  report_busy: entry(503, 'Too many reports are waiting', 'Try again in a moment.'),
  collector_unavailable: entry(503, 'The collector does not answer', 'Wait for it to restart; see tidegate status.'),
  config_rejected: entry(422, 'The configuration was rejected', 'Mend the errors listed; the configuration in force is unchanged.'),

  // -- configuration ---------------------------------------------------------------------------------------------
  config_unreadable: entry(0, 'The configuration file cannot be read', 'Check the path and its permissions.'),
  config_syntax: entry(0, 'The file is not valid YAML', 'Mend the syntax at the place named.'),
  config_schema: entry(0, 'The configuration does not fit the schema', 'Mend the value at the place named; see docs/reference/configuration.md.'),
  config_unknown_key: entry(0, 'Unknown key', 'Remove it or mend its spelling.'),
  config_duplicate: entry(0, 'The same name twice', 'Give each its own name.'),
  config_reference: entry(0, 'Something named does not exist', 'Declare it, or mend the name.'),
  config_variable: entry(0, 'An environment variable is not set', 'Set it, or give a default: ${NAME:-default}.'),
  config_value: entry(0, 'The value is not usable', 'Mend the value at the place named.'),
  config_regexp: entry(0, 'The regular expression is not usable', 'Use syntax that can be matched in linear time: no look-around, no back-references.'),
  config_file: entry(0, 'A file named by the configuration cannot be used', 'Check the path, its permissions and its content.'),
  config_conflict: entry(0, 'Two routes match exactly the same requests', 'Change or remove one of them.'),
  config_doubtful: entry(0, 'Accepted, but probably not meant', 'A warning only: look at the place named.'),

  // -- running ---------------------------------------------------------------------------------------------------
  address_in_use: entry(0, 'The address is in use', 'Stop the other process, or choose another address.'),
  address_unusable: entry(0, 'The address cannot be bound', 'Check the address and the permission for the port.'),
  data_dir_in_use: entry(0, 'The data directory is in use by another process', 'Stop that process, or choose another data_dir.'),
  data_dir_unusable: entry(0, 'The data directory cannot be used', 'Check that it exists, is writable and has room.'),
  spool_full: entry(0, 'The spool is full; events are dropped and tallied', 'Make room, raise event_log.spool.max_bytes, or mend the collector.'),
  spool_write_failed: entry(0, 'The spool cannot be written; events are dropped and tallied', 'Check the disk.'),
  spool_version: entry(0, 'A spool segment was written by a newer version', 'Run that version, or a later one, to read it.'),
  spool_corrupt: entry(0, 'Part of a spool segment cannot be read; it went to quarantine', 'See GET /v1/completeness and docs/operations.md.'),
  store_unavailable: entry(0, 'The store cannot be opened', 'Install the optional dependency chdb (npm ci without --omit=optional), on Linux with glibc or macOS.'),
  store_version: entry(0, 'The store was written by a newer version', 'Run that version, or a later one.'),
  store_without_manifest: entry(0, 'The store holds coverage but the collector\'s manifest is missing', 'Restore collector/manifest.json from the backup of the same moment; see docs/operations.md.'),
  store_behind_manifest: entry(0, 'The store lacks rows that the collector\'s manifest says are stored', 'Restore the store and collector/manifest.json from backups of the same moment; see docs/operations.md.'),
  store_failed: entry(0, 'The store refused a statement', 'See the log line\'s cause.'),
  ledger_journal_lost: entry(0, 'The ledger\'s journal cannot be believed; quotas are rebuilt from recorded events', 'Nothing, unless it comes again: then check the disk under data_dir/ledger.'),
  ledger_write_failed: entry(0, 'The ledger\'s journal cannot be written', 'Check the disk under data_dir/ledger; counting goes on in memory meanwhile.'),
  control_unreachable: entry(0, 'The control origin does not answer', 'Start the gateway, or give its address with --url.'),
  open_files_low: entry(0, 'The limit of open files is low', 'Raise it: ulimit -n 65536, or LimitNOFILE= in the unit.'),
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERROR_CODES;
