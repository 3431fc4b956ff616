#!/bin/bash
# The image runs it once, while its volume is empty, as the administrator: the collectors' user and the boards', with what each needs and no more (docs/store.md).
set -euo pipefail
clickhouse-client --user "$CLICKHOUSE_USER" --password "$CLICKHOUSE_PASSWORD" --multiquery <<SQL
CREATE DATABASE IF NOT EXISTS tidegate;
CREATE USER IF NOT EXISTS tidegate_owner IDENTIFIED WITH sha256_password BY '$TIDEGATE_OWNER_PASSWORD';
GRANT SELECT, INSERT, CREATE DATABASE, CREATE TABLE, CREATE VIEW, ALTER ON tidegate.* TO tidegate_owner;
GRANT SELECT ON system.parts TO tidegate_owner;
GRANT SELECT ON system.detached_parts TO tidegate_owner;
CREATE USER IF NOT EXISTS tidegate_grafana IDENTIFIED WITH sha256_password BY '$TIDEGATE_GRAFANA_PASSWORD' SETTINGS readonly = 2, max_execution_time = 30, max_memory_usage = 2000000000;
GRANT SELECT ON tidegate.traffic_minute TO tidegate_grafana;
GRANT SELECT ON tidegate.traffic_quarter_hour TO tidegate_grafana;
GRANT SELECT ON tidegate.billing_days TO tidegate_grafana;
GRANT SELECT ON tidegate.billing_terms TO tidegate_grafana;
SQL
