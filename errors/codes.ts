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
  bad_path: entry(400, 'The path cannot be normalised', 'Send a path without control characters, encoded slashes, backslashes, overlong UTF-8, a % that begins no escape, a climb above the root, or ;parameters without which it is another route\'s.'),
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
  operator_only: entry(403, 'This credential may not do this', 'Use the control token, or one of control.tokens whose role may (docs/access.md); an app\'s own credential reads its own reports, completeness and requests.'),
  report_too_large: entry(400, 'The report is too large', 'Ask for a shorter range, a coarser interval or fewer groups.'),
  report_rate_limited: entry(429, 'Too many report queries', 'Wait for Retry-After, then ask less often; the operator may raise reports.queries_per_minute.'),
  report_busy: entry(503, 'Too many reports are waiting', 'Try again in a moment.'),
  collector_unavailable: entry(503, 'The collector does not answer', 'Wait for it to restart; see tidegate status.'),
  config_busy: entry(503, 'Too many configurations are being tried', 'Try again in a moment.'),
  collector_elsewhere: entry(421, 'This node has no collector', 'Ask the control origin of a node that runs tidegate collector (or tidegate start): reports, completeness, single requests and the quarantine are answered there.'),
  config_rejected: entry(422, 'The configuration was rejected', 'Mend the errors listed; nothing of it was put in force.'),

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
  half_without_kafka: entry(0, 'One half of a node was started, and the configuration names no Kafka', 'Set event_log.kafka.brokers, or run both halves: tidegate start.'),
  node_unlisted: entry(0, 'This node is not among the nodes that are listed', 'Add its name to nodes, or mend node.'),
  address_in_use: entry(0, 'The address is in use', 'Stop the other process, or choose another address.'),
  address_unusable: entry(0, 'The address cannot be bound', 'Check the address and the permission for the port.'),
  data_dir_in_use: entry(0, 'The data directory is in use by another process', 'Stop that node (tidegate start or npm start, not the child that is named: it would be started again), or choose another data_dir.'),
  data_dir_unusable: entry(0, 'The data directory cannot be used', 'Check that it exists, is writable and has room.'),
  spool_full: entry(0, 'The spool is full; events are dropped and tallied', 'Make room, raise event_log.spool.max_bytes, or mend the collector.'),
  spool_write_failed: entry(0, 'The spool cannot be written; events are dropped and tallied', 'Check the disk: is it full, or read-only? See docs/operations.md.'),
  spool_version: entry(0, 'A spool segment was written by a newer version', 'Run that version, or a later one, to read it.'),
  spool_corrupt: entry(0, 'Part of a spool segment cannot be read; it went to quarantine', 'See GET /v1/completeness and docs/operations.md.'),
  store_unavailable: entry(0, 'The store cannot be opened or reached', 'chDB: install the optional dependency chdb (npm ci without --omit=optional), on Linux with glibc or macOS. ClickHouse: check store.clickhouse.url and that a server answers there.'),
  store_version: entry(0, 'The store was written by a newer version', 'Run that version, or a later one.'),
  store_without_manifest: entry(0, 'The store holds coverage but the collector\'s manifest is missing', 'Restore collector/manifest.json from the backup of the same moment; see docs/operations.md.'),
  store_behind_manifest: entry(0, 'The store lacks rows that the collector\'s manifest says are stored', 'Restore the store and collector/manifest.json from backups of the same moment; see docs/operations.md.'),
  store_failed: entry(0, 'The store refused a statement', 'See the log line\'s cause.'),
  store_unknown: entry(0, 'Unknown whether it was stored: no answer came back', 'Nothing: the same insert is made again, which changes nothing if it was stored. If it goes on, check the server and store.clickhouse.timeout.'),
  store_insert_late: entry(0, 'An insert came to the store after its deadline, and was not stored', 'Nothing if the collector had stood still; it makes the insert again. If it goes on, set the clocks of the collector and the store.'),
  store_access: entry(0, 'The store does not let this user', 'Check store.clickhouse.user and password, and grant the right that is named; docs/store.md has the statements.'),
  store_old_server: entry(0, 'The ClickHouse server is too old', 'Run ClickHouse 25.3 or later.'),
  store_schema_old: entry(0, 'The store\'s schema is older than this program, and its user may not change it', 'Start one collector whose user may (docs/store.md); this one goes on by itself then.'),
  store_settings: entry(0, 'A table of the store was made with settings under which events could be lost or counted twice', 'Run the ALTER TABLE statement that is named, once no collector runs.'),
  store_cluster: entry(0, 'The cluster is not as the store needs it', 'Mend what is named in the servers\' configuration, or store.clickhouse.cluster.'),
  store_copy_source: entry(0, 'The store cannot be copied as it stands', 'Do what the detail says; docs/operations.md has the whole order.'),
  store_copy_nowhere: entry(0, 'Nothing says where the history should be copied to', 'Set store.clickhouse in the file that is named, then copy again (docs/operations.md).'),
  store_copy_target: entry(0, 'The store that the history should be copied to holds something else', 'Nothing was changed there. If nothing in it is needed there: DROP DATABASE tidegate, and copy again (docs/operations.md).'),
  store_copy_unfinished: entry(0, 'A history is being copied into this store, and not all of it is there', 'Run tidegate store copy until it says that both are the same; then start the collectors.'),
  log_corrupt: entry(0, 'A message of the log cannot be read; it went to quarantine', 'See tidegate quarantine list, and GET /v1/completeness for what is missing.'),
  log_gap: entry(0, 'Messages were gone from the log before they were read', 'Raise event_log.kafka.retention, or let collectors stand still for less long; GET /v1/completeness says what is missing.'),
  log_place_lost: entry(0, 'The group of collectors has no place in the log, and the store holds events of it', 'Stop the collectors, give the group its place again (kafka-consumer-groups --bootstrap-server BROKER --group GROUP --topic TOPIC --reset-offsets --to-earliest --execute: what is stored is recognised and left out), and start them.'),
  log_went_back: entry(0, 'The log ends before what the group of collectors has read of it: it has lost messages, as after an unclean leader election, or is another', 'Stop the collectors, reset the group (kafka-consumer-groups --bootstrap-server BROKER --group GROUP --topic TOPIC --reset-offsets --to-earliest --execute: what is stored is recognised and left out), and start them; GET /v1/completeness says what is missing.'),
  log_store_behind: entry(0, 'The store lacks events that the group of collectors has stored: it was put back to an earlier time, or is another', 'If it is the right store: stop the collectors, reset the group (kafka-consumer-groups --bootstrap-server BROKER --group GROUP --topic TOPIC --reset-offsets --to-earliest --execute: what is stored is recognised and left out, the rest comes again as far back as the log keeps it), and start them. Else mend store.clickhouse.'),
  log_range_gone: entry(0, 'A range was being inserted, and the log does not hold it any more', 'It may be stored in part: restore the store from a backup, or compare its days with the rollups (docs/store.md); then stop the collectors, reset the group to the earliest offset, and start them.'),
  log_intent_old: entry(0, 'A range was being inserted so long ago that the store may not recognise it any more', 'As for log_range_gone: it may be stored, whole or in part, and making it again could count it twice.'),
  log_intent_unreadable: entry(0, 'The committed offset carries an intent that this version cannot carry out', 'Run the version that wrote it, or a later one.'),
  quarantine_gone: entry(410, 'What lay in quarantine cannot be put back', 'Its copy has gone, or lies in a place that is read in another way; the detail says which.'),
  kafka_unreachable: entry(0, 'No Kafka broker answers', 'Check event_log.kafka.brokers and the network and, where connections are closed at once, event_log.kafka.tls and sasl; events wait in the spool, and shipping goes on by itself.'),
  kafka_tls: entry(0, 'The TLS connection to Kafka fails', 'Check event_log.kafka.tls: the authority that signed the brokers\' certificates, the names in brokers, this client\'s own certificate.'),
  kafka_unauthenticated: entry(0, 'Kafka refuses the credentials, or wants some', 'Check event_log.kafka.sasl: whether it is there, its mechanism, username, password.'),
  kafka_forbidden: entry(0, 'Kafka does not let this user', 'Grant the right that is named: Describe, DescribeConfigs, Create, Write and Read on the topics, Read on the group, IdempotentWrite on older brokers.'),
  kafka_version: entry(0, 'This is no Kafka, or one of a version that is not spoken', 'Run Kafka 2.1 to 4.x; the detail names what it does not know.'),
  kafka_topic_settings: entry(0, 'A topic has settings under which events could be lost', 'Run what the detail says with kafka-configs or kafka-topics, or change event_log.kafka.'),
  kafka_topic_refused: entry(0, 'Kafka refuses to make a topic', 'The detail is Kafka\'s; often replication asks for more brokers than there are.'),
  kafka_too_few_replicas: entry(0, 'Too few replicas are in sync for Kafka to take events', 'Bring the brokers back; events wait in the spool, and shipping goes on by itself.'),
  ship_spool_unfinished: entry(0, 'Shipping waits until a collector has finished what it had begun to store from the spool', 'It goes on by itself once the node\'s collector has started; on a gateway alone run tidegate start or tidegate collector on this data directory once.'),
  ship_place_failed: entry(0, 'Where in Kafka a stream goes cannot be noted; its events wait in the spool', 'Check the disk under data_dir/spool: room, rights, damage; it is tried again each second.'),
  kafka_failed: entry(0, 'Kafka refuses or fails', 'The detail is Kafka\'s; events wait in the spool, and shipping is tried again.'),
  ledger_journal_lost: entry(0, 'The ledger\'s journal cannot be believed; quotas are rebuilt from recorded events', 'Nothing, unless it comes again: then check the disk under data_dir/ledger.'),
  ledger_write_failed: entry(0, 'The ledger\'s journal cannot be written', 'Check the disk under data_dir/ledger; counting goes on in memory meanwhile.'),
  control_token: entry(0, 'No control token of this node', 'Run the command in the folder of the node\'s tidegate.yaml, or give -c FILE, --token or TIDEGATE_TOKEN; an app\'s own report takes --key.'),
  shared_state_unavailable: entry(0, 'Redis cannot be reached', 'Check shared_state.redis and that it answers there; nodes go on with what they hold, then as shared_state.on_ledger_loss says, and recover by themselves.'),
  shared_state_access: entry(0, 'Redis does not let this user', 'Check user and password of shared_state.redis, and grant the right that is named; docs/limits.md has the ACL.'),
  shared_state_replica: entry(0, 'This Redis is a replica: it cannot be written', 'Name the master in shared_state.redis.url, or an address that follows it.'),
  shared_state_eviction: entry(0, 'This Redis may drop counters when its memory is full', 'Set maxmemory-policy noeviction (CONFIG SET maxmemory-policy noeviction, and in redis.conf).'),
  shared_state_old_server: entry(0, 'The Redis server is too old', 'Run Redis 7.0 or later, or Valkey.'),
  shared_state_settings: entry(0, 'Redis is not as shared_state.redis says', 'Set shared_state.redis.cluster to true for a Redis Cluster, and to false for a single server.'),
  control_unreachable: entry(0, 'The control origin does not answer', 'Start the gateway, or give its address with --url.'),
  open_files_low: entry(0, 'The limit of open files is low', 'Raise it: ulimit -n 65536, or LimitNOFILE= in the unit.'),
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERROR_CODES;
