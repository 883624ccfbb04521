-- +goose Up

-- Times are nanoseconds since 1970 in UTC, NULL where there is none; lengths of time are nanoseconds.
CREATE TABLE hosts (
    id          INTEGER PRIMARY KEY,
    path        TEXT    NOT NULL UNIQUE,            -- group;...;name
    name        TEXT    NOT NULL,                   -- last part of path
    address     TEXT    NOT NULL DEFAULT '',
    interval    INTEGER NOT NULL DEFAULT 0,
    silent      INTEGER NOT NULL DEFAULT 0,
    first_seen  INTEGER,
    last_answer INTEGER,
    last_tried  INTEGER,
    last_error  TEXT    NOT NULL DEFAULT '',
    last_took   INTEGER NOT NULL DEFAULT 0,
    banner      TEXT    NOT NULL DEFAULT '',
    graphs_seen INTEGER,                            -- when a poll last brought graphs
    archived    INTEGER NOT NULL DEFAULT 0 CHECK (archived IN (0, 1))
) STRICT;
CREATE INDEX hosts_by_name ON hosts (name);

CREATE TABLE graphs (
    id        INTEGER PRIMARY KEY,
    host_id   INTEGER NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    name      TEXT    NOT NULL,
    body      TEXT    NOT NULL,                     -- munin.Graph as JSON
    current   INTEGER NOT NULL DEFAULT 1 CHECK (current IN (0, 1)), -- the last poll that brought graphs brought it
    last_seen INTEGER,                              -- of one that is not current; else it is hosts.graphs_seen
    UNIQUE (host_id, name)
) STRICT;

-- What could not be used of the last poll.
CREATE TABLE faults (
    host_id  INTEGER NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    plugin   TEXT    NOT NULL,
    line     INTEGER NOT NULL,
    text     TEXT    NOT NULL,
    reason   TEXT    NOT NULL,
    PRIMARY KEY (host_id, position)
) STRICT, WITHOUT ROWID;

-- One row for each watched thing. A host, graph or field may be watched that the tables above do not know.
CREATE TABLE states (
    host       TEXT    NOT NULL,
    graph      TEXT    NOT NULL,
    field      TEXT    NOT NULL,
    level      TEXT    NOT NULL,
    since      INTEGER,
    open       TEXT    NOT NULL,
    open_since INTEGER,
    unknowns   INTEGER NOT NULL,
    value      REAL,                                -- NULL is unknown
    bounds     TEXT    NOT NULL,
    changed    INTEGER,
    reason     TEXT    NOT NULL,
    PRIMARY KEY (host, graph, field)
) STRICT, WITHOUT ROWID;

CREATE TABLE reports (
    id      INTEGER PRIMARY KEY,
    name    TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    horizon INTEGER NOT NULL,
    body    TEXT    NOT NULL                        -- findings as JSON
) STRICT;
CREATE INDEX reports_by_name ON reports (name, at);

-- +goose Down
DROP TABLE reports;
DROP TABLE states;
DROP TABLE faults;
DROP TABLE graphs;
DROP TABLE hosts;
