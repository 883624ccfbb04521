package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"corbie/munin"
)

// keptChanges is how long the audit log goes back, and mostChanges how many entries it has.
const (
	keptChanges = 3 * 366 * 24 * time.Hour
	mostChanges = 1_000_000
)

// SaveSession stores a session, instead of what was stored under its ID. Those that have ended go.
func (c *Catalog) SaveSession(ctx context.Context, s munin.Session) error {
	err := c.change(ctx, c.durable, func(tx *sql.Tx) error {
		groups, err := json.Marshal(s.Groups)
		if err == nil {
			_, err = tx.ExecContext(ctx, `INSERT OR REPLACE INTO sessions (id, person, method, groups, proof, began, seen, ends, address, agent)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, s.ID, s.Person, s.Method, string(groups), s.Proof,
				nanos(s.Began), nanos(s.Seen), nanos(s.Ends), s.Address, s.Agent)
		}
		if err == nil {
			_, err = tx.ExecContext(ctx, "DELETE FROM sessions WHERE ends < ?", nanos(s.Seen))
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("store a session: %w", err)
	}
	return nil
}

const sessionColumns = "SELECT id, person, method, groups, proof, began, seen, ends, address, agent FROM sessions"

func scanSession(rows *sql.Rows) (s munin.Session, err error) {
	var groups string
	var began, seen, ends sql.NullInt64
	if err = rows.Scan(&s.ID, &s.Person, &s.Method, &groups, &s.Proof, &began, &seen, &ends, &s.Address, &s.Agent); err != nil {
		return s, err
	}
	s.Began, s.Seen, s.Ends = fromNanos(began), fromNanos(seen), fromNanos(ends)
	return s, json.Unmarshal([]byte(groups), &s.Groups)
}

// Session finds a session by its ID; the error wraps munin.ErrNotFound.
func (c *Catalog) Session(ctx context.Context, id string) (munin.Session, error) {
	all, err := collect(ctx, c.read, scanSession, sessionColumns+" WHERE id = ?", id)
	if err == nil && len(all) == 0 {
		err = munin.ErrNotFound
	}
	if err != nil {
		return munin.Session{}, fmt.Errorf("find a session: %w", err)
	}
	return all[0], nil
}

// Sessions lists all, that which was seen last first.
func (c *Catalog) Sessions(ctx context.Context) ([]munin.Session, error) {
	all, err := collect(ctx, c.read, scanSession, sessionColumns+" ORDER BY seen DESC, id")
	if err != nil {
		return nil, fmt.Errorf("list the sessions: %w", err)
	}
	return all, nil
}

// EndSession ends a session; one that does not exist is none.
func (c *Catalog) EndSession(ctx context.Context, id string) error {
	err := c.change(ctx, c.durable, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM sessions WHERE id = ?", id)
		return err
	})
	if err != nil {
		return fmt.Errorf("end a session: %w", err)
	}
	return nil
}

// AddToken stores a new token. The error wraps munin.ErrExists where the name is taken, also by one that was revoked.
func (c *Catalog) AddToken(ctx context.Context, t munin.Token) error {
	err := c.change(ctx, c.durable, func(tx *sql.Tx) error {
		groups, err := json.Marshal(t.Groups)
		if err != nil {
			return err
		}
		done, err := tx.ExecContext(ctx, `INSERT INTO tokens (name, hash, role, groups, created, author, ends) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (name) DO NOTHING`, t.Name, t.Hash, t.Role.String(), string(groups), nanos(t.Created), t.By, nanos(t.Ends))
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, munin.ErrExists)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store the token %q: %w", t.Name, err)
	}
	return nil
}

const tokenColumns = "SELECT name, hash, role, groups, created, author, ends, used, revoked FROM tokens"

func scanToken(rows *sql.Rows) (t munin.Token, err error) {
	var role, groups string
	var created, ends, used, revoked sql.NullInt64
	if err = rows.Scan(&t.Name, &t.Hash, &role, &groups, &created, &t.By, &ends, &used, &revoked); err != nil {
		return t, err
	}
	t.Created, t.Ends, t.Used, t.Revoked = fromNanos(created), fromNanos(ends), fromNanos(used), fromNanos(revoked)
	if t.Role, err = munin.ParseRole(role); err != nil {
		return t, err
	}
	return t, json.Unmarshal([]byte(groups), &t.Groups)
}

// Token finds a token by its hash; the error wraps munin.ErrNotFound.
func (c *Catalog) Token(ctx context.Context, hash string) (munin.Token, error) {
	all, err := collect(ctx, c.read, scanToken, tokenColumns+" WHERE hash = ?", hash)
	if err == nil && len(all) == 0 {
		err = munin.ErrNotFound
	}
	if err != nil {
		return munin.Token{}, fmt.Errorf("find a token: %w", err)
	}
	return all[0], nil
}

// Tokens lists all, by name.
func (c *Catalog) Tokens(ctx context.Context) ([]munin.Token, error) {
	all, err := collect(ctx, c.read, scanToken, tokenColumns+" ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("list the tokens: %w", err)
	}
	return all, nil
}

// TokenUsed notes when a token was used. A power cut may forget it.
func (c *Catalog) TokenUsed(ctx context.Context, hash string, at time.Time) error {
	err := c.change(ctx, c.fast, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE tokens SET used = ? WHERE hash = ?", nanos(at), hash)
		return err
	})
	if err != nil {
		return fmt.Errorf("note that a token was used: %w", err)
	}
	return nil
}

// RevokeToken ends a token by its name; the error wraps munin.ErrNotFound where no valid one has it.
func (c *Catalog) RevokeToken(ctx context.Context, name string, at time.Time) error {
	err := c.change(ctx, c.durable, func(tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx, "UPDATE tokens SET revoked = ? WHERE name = ? AND revoked IS NULL", nanos(at), name)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, munin.ErrNotFound)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("revoke the token %q: %w", name, err)
	}
	return nil
}

// LogChange writes an entry of the audit log. When it returns nil, it survives a power cut. Entries go after three years, and
// the oldest of more than a million.
func (c *Catalog) LogChange(ctx context.Context, e munin.Change) error {
	e.Clean()
	err := c.change(ctx, c.durable, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO changes (at, who, method, address, action, detail, refused) VALUES (?, ?, ?, ?, ?, ?, ?)",
			nanos(e.At), e.Who, e.Method, e.Address, e.Action, e.Detail, e.Refused)
		if err == nil {
			_, err = tx.ExecContext(ctx, "DELETE FROM changes WHERE at < ? OR id <= (SELECT max(id) FROM changes) - ?",
				nanos(e.At.Add(-keptChanges)), mostChanges)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("write the audit log: %w", err)
	}
	return nil
}

// Changes lists entries of the audit log from before a time, the newest first, most of them at the most. Zero is now.
func (c *Catalog) Changes(ctx context.Context, before time.Time, most int) ([]munin.Change, error) {
	scan := func(rows *sql.Rows) (e munin.Change, err error) {
		var at sql.NullInt64
		err = rows.Scan(&at, &e.Who, &e.Method, &e.Address, &e.Action, &e.Detail, &e.Refused)
		e.At = fromNanos(at)
		return e, err
	}
	all, err := collect(ctx, c.read, scan, `SELECT at, who, method, address, action, detail, refused FROM changes
		WHERE ?1 IS NULL OR at < ?1 ORDER BY at DESC, id DESC LIMIT ?2`, nanos(before), most)
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	return all, nil
}
