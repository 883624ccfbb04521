-- +goose Up

-- Browsers in which somebody has signed in.
CREATE TABLE sessions (
    id      TEXT    NOT NULL PRIMARY KEY,           -- SHA-256 of what the cookie holds
    person  TEXT    NOT NULL,
    method  TEXT    NOT NULL,
    groups  TEXT    NOT NULL,                       -- JSON list
    proof   TEXT    NOT NULL,
    began   INTEGER NOT NULL,
    seen    INTEGER NOT NULL,
    ends    INTEGER NOT NULL,
    address TEXT    NOT NULL,
    agent   TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- Programs that are let in. One that was revoked stays, so that its name still says who did what.
CREATE TABLE tokens (
    name    TEXT    NOT NULL PRIMARY KEY,
    hash    TEXT    NOT NULL UNIQUE,
    role    TEXT    NOT NULL,
    groups  TEXT    NOT NULL,                       -- JSON list
    created INTEGER NOT NULL,
    author  TEXT    NOT NULL,
    ends    INTEGER,
    used    INTEGER,
    revoked INTEGER
) STRICT, WITHOUT ROWID;

-- Who did what. Nothing ever changes or deletes a row but its age.
CREATE TABLE changes (
    id      INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    who     TEXT    NOT NULL,
    method  TEXT    NOT NULL,
    address TEXT    NOT NULL,
    action  TEXT    NOT NULL,
    detail  TEXT    NOT NULL,
    refused INTEGER NOT NULL
) STRICT;
CREATE INDEX changes_by_time ON changes (at);

-- +goose Down
DROP TABLE changes;
DROP TABLE tokens;
DROP TABLE sessions;
