-- +goose Up

-- What the last session cost, and how far the node's spool has been fetched (seconds since 1970).
ALTER TABLE hosts ADD COLUMN last_lag     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN last_values  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN last_bytes   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN slowest      TEXT    NOT NULL DEFAULT '';
ALTER TABLE hosts ADD COLUMN slowest_took INTEGER NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN spool        INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE hosts DROP COLUMN last_lag;
ALTER TABLE hosts DROP COLUMN last_values;
ALTER TABLE hosts DROP COLUMN last_bytes;
ALTER TABLE hosts DROP COLUMN slowest;
ALTER TABLE hosts DROP COLUMN slowest_took;
ALTER TABLE hosts DROP COLUMN spool;
