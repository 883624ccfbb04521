-- +goose Up

-- What a change by hand says besides the names that it is about: a silence, as JSON.
ALTER TABLE edits ADD COLUMN detail TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE edits DROP COLUMN detail;
