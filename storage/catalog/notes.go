package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"corbie/munin"
)

const (
	// keptTransitions is how many annotations are kept that tell of problems; the others are kept for ever.
	keptTransitions = 200_000
	// maxAnnotations is how many one question is answered with, the newest.
	maxAnnotations = 5000
	// maxViews is how many saved views there may be.
	maxViews = 1000
)

// Annotate stores annotations. One that is stored already stays as it is, so that what is told again after a crash
// stands there once. What people wrote survives a power cut.
func (c *Catalog) Annotate(ctx context.Context, annotations ...munin.Annotation) error {
	db := c.fast
	for i := range annotations {
		if err := annotations[i].Tidy(); err != nil {
			return err
		}
		if annotations[i].By != "" {
			db = c.durable
		}
	}
	err := c.change(ctx, db, func(tx *sql.Tx) error {
		for _, a := range annotations {
			_, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO annotations (kind, from_time, to_time, place, graph, field, level, author, body)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
				string(a.Kind), a.From.UnixNano(), a.End().UnixNano(), string(a.Where), a.Graph, a.Field, a.Level.String(), a.By, a.Text)
			if err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM annotations WHERE kind = ?1 AND id <= (SELECT max(id) FROM annotations) - ?2`,
			string(munin.Transition), keptTransitions)
		return err
	})
	if err != nil {
		return fmt.Errorf("store annotations: %w", err)
	}
	return nil
}

// Annotations lists what happened in a range, oldest first; of more than 5000 the newest. What was renamed since has its present name.
func (c *Catalog) Annotations(ctx context.Context, r munin.Range) ([]munin.Annotation, error) {
	all, err := collect(ctx, c.read, scanAnnotation, `SELECT id, kind, from_time, to_time, place, graph, field, level, author, body
		FROM annotations WHERE to_time >= ? AND from_time < ? ORDER BY from_time DESC, id DESC LIMIT ?`,
		r.From.UnixNano(), r.To.UnixNano(), maxAnnotations)
	if err != nil {
		return nil, fmt.Errorf("list annotations: %w", err)
	}
	slices.Reverse(all)
	for i := range all {
		a := &all[i]
		now := c.Renames().CurrentOf(munin.SeriesID{Host: a.Where, Graph: a.Graph, Field: a.Field}, a.From)
		a.Where, a.Graph, a.Field = now.Host, now.Graph, now.Field
	}
	return all, nil
}

func scanAnnotation(rows *sql.Rows) (munin.Annotation, error) {
	var a munin.Annotation
	var from, to int64
	var level string
	if err := rows.Scan(&a.ID, &a.Kind, &from, &to, &a.Where, &a.Graph, &a.Field, &level, &a.By, &a.Text); err != nil {
		return a, err
	}
	a.From = time.Unix(0, from).UTC()
	if to != from {
		a.To = time.Unix(0, to).UTC()
	}
	var err error
	if a.Level, err = munin.ParseLevel(level); err != nil {
		return a, fmt.Errorf("stored annotation %d: %w", a.ID, err)
	}
	return a, nil
}

// RemoveAnnotation takes back what somebody wrote; an error wraps munin.ErrNotFound where there is no such annotation,
// or the master wrote it.
func (c *Catalog) RemoveAnnotation(ctx context.Context, id int64) error {
	return c.removeOne(ctx, fmt.Sprintf("annotation %d", id), "DELETE FROM annotations WHERE id = ? AND author <> ''", id)
}

// Acknowledge stores that somebody takes care of a problem, instead of what was stored for the same place before.
func (c *Catalog) Acknowledge(ctx context.Context, a munin.Ack) error {
	err := c.change(ctx, c.durable, func(tx *sql.Tx) error { return saveAck(ctx, tx, &a) })
	if err != nil {
		return fmt.Errorf("acknowledge %s: %w", a.ID, err)
	}
	return nil
}

func saveAck(ctx context.Context, tx *sql.Tx, a *munin.Ack) error {
	a.Tidy()
	_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO acks (host, graph, field, since, level, at, until, author, comment)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		string(a.ID.Host), a.ID.Graph, a.ID.Field, nanos(a.Since), a.Level.String(), nanos(a.At), nanos(a.Until), a.By, a.Comment)
	return err
}

const deleteAck = "DELETE FROM acks WHERE host = ? AND graph = ? AND field = ?"

// Unacknowledge takes an acknowledgement back; the error wraps munin.ErrNotFound where there is none.
func (c *Catalog) Unacknowledge(ctx context.Context, id munin.SeriesID) error {
	return c.removeOne(ctx, "acknowledgement of "+id.String(), deleteAck,
		string(id.Host), id.Graph, id.Field)
}

// Acks lists all acknowledgements, also of problems that have ended since.
func (c *Catalog) Acks(ctx context.Context) ([]munin.Ack, error) {
	scan := func(rows *sql.Rows) (munin.Ack, error) {
		var a munin.Ack
		var since, at, until sql.NullInt64
		var level string
		err := rows.Scan(&a.ID.Host, &a.ID.Graph, &a.ID.Field, &since, &level, &at, &until, &a.By, &a.Comment)
		if err == nil {
			a.Level, err = munin.ParseLevel(level)
		}
		a.Since, a.At, a.Until = fromNanos(since), fromNanos(at), fromNanos(until)
		return a, err
	}
	acks, err := collect(ctx, c.read, scan, "SELECT host, graph, field, since, level, at, until, author, comment FROM acks ORDER BY host, graph, field")
	if err != nil {
		return nil, fmt.Errorf("list acknowledgements: %w", err)
	}
	return acks, nil
}

// SaveView stores a view, instead of one of the same name.
func (c *Catalog) SaveView(ctx context.Context, v munin.SavedView) error {
	if err := v.Tidy(); err != nil {
		return err
	}
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("store the view %q: %w", v.Name, err)
	}
	err = c.change(ctx, c.durable, func(tx *sql.Tx) error {
		var others int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM views WHERE name <> ?", v.Name).Scan(&others); err != nil {
			return err
		}
		if others >= maxViews {
			return fmt.Errorf("there are %d views already: remove one first", others)
		}
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO views (name, body) VALUES (?, ?)", v.Name, string(body))
		return err
	})
	if err != nil {
		return fmt.Errorf("store the view %q: %w", v.Name, err)
	}
	return nil
}

// RemoveView removes a view; the error wraps munin.ErrNotFound where there is none.
func (c *Catalog) RemoveView(ctx context.Context, name string) error {
	return c.removeOne(ctx, fmt.Sprintf("view %q", name), "DELETE FROM views WHERE name = ?", name)
}

// Views lists all views by name.
func (c *Catalog) Views(ctx context.Context) ([]munin.SavedView, error) {
	scan := func(rows *sql.Rows) (munin.SavedView, error) {
		var v munin.SavedView
		var body []byte
		if err := rows.Scan(&body); err != nil {
			return v, err
		}
		return v, json.Unmarshal(body, &v)
	}
	views, err := collect(ctx, c.read, scan, "SELECT body FROM views ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("list views: %w", err)
	}
	return views, nil
}

// removeOne deletes the one row that a statement means.
func (c *Catalog) removeOne(ctx context.Context, what, statement string, args ...any) error {
	err := c.change(ctx, c.durable, func(tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx, statement, args...)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n > 0 {
			return err
		}
		return munin.ErrNotFound
	})
	if err != nil {
		return fmt.Errorf("remove the %s: %w", what, err)
	}
	return nil
}

// GraphIndex lists all graphs of all hosts that are configured, by host and name.
func (c *Catalog) GraphIndex(ctx context.Context) ([]munin.GraphEntry, error) {
	scan := func(rows *sql.Rows) (munin.GraphEntry, error) {
		var e munin.GraphEntry
		var at sql.NullInt64
		var hidden sql.NullBool
		var fields []byte
		err := rows.Scan(&e.Host, &e.Name, &e.Plugin, &e.Title, &e.Category, &hidden, &at, &fields)
		if err != nil {
			return e, err
		}
		e.Hidden, e.LastSeen = hidden.Bool, fromNanos(at)
		var pairs [][2]string
		if err := json.Unmarshal(fields, &pairs); err != nil {
			return e, fmt.Errorf("stored fields of %s: %w", e.Name, err)
		}
		e.Fields = make([]munin.FieldEntry, len(pairs))
		for i, p := range pairs {
			e.Fields[i] = munin.FieldEntry{Name: p[0], Label: p[1]}
		}
		return e, nil
	}
	entries, err := collect(ctx, c.read, scan, `SELECT path, graphs.name, coalesce(body ->> 'plugin', ''), coalesce(body ->> 'title', ''),
		coalesce(body ->> 'category', ''), coalesce(body ->> 'hidden', 0), iif(current, graphs_seen, graphs.last_seen),
		(SELECT coalesce(json_group_array(json_array(coalesce(value ->> 'name', ''), coalesce(value ->> 'label', ''))), '[]')
			FROM json_each(body, '$.fields'))
		FROM graphs JOIN hosts ON hosts.id = host_id WHERE archived = 0
			OR path IN (SELECT from_host FROM renames WHERE from_graph = '' AND undone IS NULL AND until IS NULL)
		ORDER BY path, graphs.name`)
	if err != nil {
		return nil, fmt.Errorf("list all graphs: %w", err)
	}
	if c.Renames() == nil {
		return entries, nil
	}
	hosts, err := c.Hosts(ctx)
	if err != nil {
		return nil, fmt.Errorf("list all graphs: %w", err)
	}
	return c.presentGraphs(entries, hosts), nil
}

// presentGraphs puts the graphs of hosts that were renamed to their present names, each once.
func (c *Catalog) presentGraphs(entries []munin.GraphEntry, hosts []munin.Host) []munin.GraphEntry {
	configured := make(map[munin.HostID]bool, len(hosts))
	for i := range hosts {
		configured[hosts[i].ID] = !hosts[i].Archived
	}
	own := make(map[munin.SeriesID]bool, len(entries))
	for i := range entries {
		own[munin.SeriesID{Host: entries[i].Host, Graph: entries[i].Name}] = true
	}
	out := entries[:0]
	for _, e := range entries {
		id := munin.SeriesID{Host: e.Host, Graph: e.Name}
		now := c.Renames().Current(id)
		if now.Graph != e.Name || now != id && own[now] || !configured[now.Host] {
			continue
		}
		own[now] = true
		e.Host = now.Host
		out = append(out, e)
	}
	slices.SortStableFunc(out, func(a, b munin.GraphEntry) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Name, b.Name))
	})
	return out
}
