-- +goose Up

-- What happened and when. Written by people and by the master; by is empty for the latter.
CREATE TABLE annotations (
    id        INTEGER PRIMARY KEY,
    kind      TEXT    NOT NULL,
    from_time INTEGER NOT NULL,
    to_time   INTEGER NOT NULL,                     -- equal to from_time for an instant
    place     TEXT    NOT NULL,                     -- host or group path, '' for everything
    graph     TEXT    NOT NULL,
    field     TEXT    NOT NULL,
    level     TEXT    NOT NULL,
    author    TEXT    NOT NULL,
    body      TEXT    NOT NULL,
    UNIQUE (from_time, kind, place, graph, field, body)
) STRICT;
CREATE INDEX annotations_by_end ON annotations (to_time);

-- Problems that somebody takes care of.
CREATE TABLE acks (
    host    TEXT    NOT NULL,
    graph   TEXT    NOT NULL,
    field   TEXT    NOT NULL,
    since   INTEGER,
    level   TEXT    NOT NULL,
    at      INTEGER,
    until   INTEGER,
    author  TEXT    NOT NULL,
    comment TEXT    NOT NULL,
    PRIMARY KEY (host, graph, field)
) STRICT, WITHOUT ROWID;

-- Pages that people put together.
CREATE TABLE views (
    name TEXT NOT NULL PRIMARY KEY,
    body TEXT NOT NULL                              -- munin.SavedView as JSON
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE views;
DROP TABLE acks;
DROP TABLE annotations;
