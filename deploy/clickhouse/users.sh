#!/bin/bash
# The image runs it once, while its volume is empty, as the administrator: the collectors' user, with what it needs and no more (docs/store.md).
set -euo pipefail
clickhouse-client --user "$CLICKHOUSE_USER" --password "$CLICKHOUSE_PASSWORD" --multiquery <<SQL
CREATE DATABASE IF NOT EXISTS tidegate;
CREATE USER IF NOT EXISTS tidegate_owner IDENTIFIED WITH sha256_password BY '$TIDEGATE_OWNER_PASSWORD';
GRANT SELECT, INSERT, CREATE DATABASE, CREATE TABLE, CREATE VIEW, ALTER ON tidegate.* TO tidegate_owner;
GRANT SELECT ON system.parts TO tidegate_owner;
SQL
