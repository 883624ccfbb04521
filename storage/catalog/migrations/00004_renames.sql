-- +goose Up

-- What was known under one name and is known under another now: a host (graph and field are empty), a graph or a field.
CREATE TABLE renames (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    from_host  TEXT    NOT NULL,
    from_graph TEXT    NOT NULL,
    from_field TEXT    NOT NULL,
    to_host    TEXT    NOT NULL,
    to_graph   TEXT    NOT NULL,
    to_field   TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    until      INTEGER,                             -- when the old name was given to another host
    undone     INTEGER,
    made       INTEGER NOT NULL DEFAULT 0 CHECK (made IN (0, 1)) -- the host of the new name was not known before
) STRICT;

-- What was changed by hand, for a running master to take over; afterwards it is a journal.
CREATE TABLE edits (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    kind       TEXT    NOT NULL,                    -- rename, undo, remove, restore
    from_host  TEXT    NOT NULL,
    from_graph TEXT    NOT NULL,
    from_field TEXT    NOT NULL,
    to_host    TEXT    NOT NULL,
    to_graph   TEXT    NOT NULL,
    to_field   TEXT    NOT NULL,
    taken      INTEGER                              -- when a master took it over
) STRICT;
CREATE INDEX edits_to_take ON edits (id) WHERE taken IS NULL;

-- Taken out of all lists by hand; until it is configured again.
ALTER TABLE hosts ADD COLUMN removed INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE hosts DROP COLUMN removed;
DROP TABLE edits;
DROP TABLE renames;
