package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"corbie/munin"
)

// Configure says which hosts are configured now, with their addresses and intervals. What is known of them otherwise is kept.
// All other hosts become archived; one that is configured again comes back with its history.
func (c *Catalog) Configure(ctx context.Context, hosts []munin.Host) error {
	err := c.change(ctx, c.durable, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "UPDATE hosts SET archived = 1 WHERE archived = 0"); err != nil {
			return err
		}
		stmt, err := tx.PrepareContext(ctx, `INSERT INTO hosts (path, name, address, interval, silent) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (path) DO UPDATE SET address = excluded.address, interval = excluded.interval, silent = excluded.silent, archived = 0, removed = 0`)
		if err != nil {
			return err
		}
		defer stmt.Close()
		for _, h := range hosts {
			if h.ID.Name() == "" {
				return fmt.Errorf("a host without a name: %q", h.ID)
			}
			if _, err := stmt.ExecContext(ctx, h.ID, h.ID.Name(), h.Address, h.Interval, h.Silent); err != nil {
				return fmt.Errorf("%s: %w", h.ID, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store the configured hosts: %w", err)
	}
	return nil
}

const hostColumns = "path, address, interval, silent, first_seen, last_answer, last_tried, last_error, last_took, banner, archived, " +
	"last_lag, last_values, last_bytes, slowest, slowest_took, spool"

func scanHost(rows *sql.Rows) (munin.Host, error) {
	var h munin.Host
	var first, answer, tried sql.NullInt64
	err := rows.Scan(&h.ID, &h.Address, &h.Interval, &h.Silent, &first, &answer, &tried, &h.LastError, &h.LastTook, &h.Banner, &h.Archived,
		&h.LastLag, &h.LastValues, &h.LastBytes, &h.Slowest, &h.SlowestTook, &h.Spool)
	h.FirstSeen, h.LastAnswer, h.LastTried = fromNanos(first), fromNanos(answer), fromNanos(tried)
	return h, err
}

// Hosts lists every host ever known, by path: archived ones included, but for those that were removed. One that was renamed is listed
// under its present name.
func (c *Catalog) Hosts(ctx context.Context) ([]munin.Host, error) {
	hosts, err := collect(ctx, c.read, scanHost, "SELECT "+hostColumns+" FROM hosts WHERE removed = 0 OR archived = 0 ORDER BY path")
	if err != nil {
		return nil, fmt.Errorf("list hosts: %w", err)
	}
	return slices.DeleteFunc(hosts, c.hidden), nil
}

// hidden says whether a host has another name now.
func (c *Catalog) hidden(h munin.Host) bool { return c.Renames().Host(h.ID) != h.ID }

// Host finds a host by its full path, or by its bare name where only one has it: a host that is configured goes before
// archived ones. One that was renamed is found by its old name, too, unless another host has it. The error wraps munin.ErrNotFound or munin.ErrAmbiguous.
func (c *Catalog) Host(ctx context.Context, name string) (munin.Host, error) {
	hosts, err := collect(ctx, c.read, scanHost,
		"SELECT "+hostColumns+" FROM hosts WHERE path = ?1 OR name = ?1 ORDER BY path <> ?1, archived, path", name)
	if err != nil {
		return munin.Host{}, fmt.Errorf("find host %q: %w", name, err)
	}
	if hosts = c.presentNames(hosts); len(hosts) == 1 && c.hidden(hosts[0]) {
		return c.Host(ctx, string(c.Renames().Host(hosts[0].ID)))
	}
	switch {
	case len(hosts) == 0:
		return munin.Host{}, fmt.Errorf("host %q: %w", name, munin.ErrNotFound)
	case len(hosts) == 1, string(hosts[0].ID) == name, !hosts[0].Archived && hosts[1].Archived:
		return hosts[0], nil
	}
	paths := make([]string, len(hosts))
	for i, h := range hosts {
		paths[i] = string(h.ID)
	}
	return munin.Host{}, fmt.Errorf("host %q is %w: say one of %s", name, munin.ErrAmbiguous, quoteList(paths))
}

// presentNames leaves out hosts that have another name now, unless nothing would be left.
func (c *Catalog) presentNames(hosts []munin.Host) []munin.Host {
	visible := slices.DeleteFunc(slices.Clone(hosts), c.hidden)
	if len(visible) == 0 && len(hosts) > 0 {
		return hosts[:1]
	}
	return visible
}

// collect reads all rows of a query.
func collect[T any](ctx context.Context, db *sql.DB, scan func(*sql.Rows) (T, error), query string, args ...any) (all []T, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}
