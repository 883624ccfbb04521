package catalog

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"corbie/munin"
)

// seen is what is known to be stored of a graph.
type seen struct {
	hash    [sha256.Size]byte
	current bool // the last poll that brought graphs brought this one
}

// changes is what a poll changes in the stored graphs of a host: usually nothing.
type changes struct {
	write []update // new, or described differently
	back  []string // not in the poll before, described as ever
	left  []string // in the poll before, not in this one
}

type update struct {
	name string
	body string
	hash [sha256.Size]byte
}

// Record stores what one poll said, in one transaction: how the session went, the graphs, the faults instead of those of the poll before. Graphs
// that it did not bring stay known with their LastSeen. LastAnswer moves only when the session ended well.
// A host that was never configured is added. The readings are not the catalogue's business.
func (c *Catalog) Record(ctx context.Context, p *munin.Poll) error {
	if p.Host.Name() == "" {
		return errors.New("store a poll: it names no host")
	}
	var todo changes
	err := c.change(ctx, c.fast, func(tx *sql.Tx) error {
		id, err := recordHost(ctx, tx, p)
		if err != nil {
			return err
		}
		known, err := c.stored(ctx, tx, p.Host, id)
		if err != nil {
			return err
		}
		if todo, err = diff(p, known); err != nil {
			return err
		}
		if err := writeGraphs(ctx, tx, id, p, todo); err != nil {
			return err
		}
		return writeFaults(ctx, tx, id, p.Faults)
	})
	if err != nil {
		c.forget(p.Host)
		return fmt.Errorf("store the poll of %s: %w", p.Host, err)
	}
	c.remember(p.Host, todo)
	return nil
}

func recordHost(ctx context.Context, tx *sql.Tx, p *munin.Poll) (id int64, err error) {
	text := ""
	if p.Err != nil {
		text = p.Err.Error()
	}
	var first, answer sql.NullInt64
	if p.Answered() {
		first = nanos(p.Start)
		if p.Err == nil {
			answer = nanos(p.Start)
		}
	}
	err = tx.QueryRowContext(ctx, `INSERT INTO hosts (path, name, address, first_seen, last_answer, last_tried, last_error, last_took, banner)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (path) DO UPDATE SET
			first_seen = coalesce(first_seen, excluded.first_seen), last_answer = coalesce(excluded.last_answer, last_answer),
			last_tried = excluded.last_tried, last_error = excluded.last_error, last_took = excluded.last_took,
			banner = iif(excluded.banner = '', banner, excluded.banner)
		RETURNING id`,
		p.Host, p.Host.Name(), p.Address, first, answer, nanos(p.Start), text, p.Took, p.Banner).Scan(&id)
	return id, err
}

// stored is what the database holds of a host's graphs; it is read once.
func (c *Catalog) stored(ctx context.Context, tx *sql.Tx, host munin.HostID, id int64) (map[string]seen, error) {
	if known, ok := c.graphs[host]; ok {
		return known, nil
	}
	rows, err := tx.QueryContext(ctx, "SELECT name, body, current FROM graphs WHERE host_id = ?", id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	known := make(map[string]seen)
	for rows.Next() {
		var name string
		var body []byte
		var current bool
		if err := rows.Scan(&name, &body, &current); err != nil {
			return nil, err
		}
		known[name] = seen{hash: sha256.Sum256(body), current: current}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	c.graphs[host] = known
	return known, nil
}

// diff finds what a poll changes. One that brought no graph at all (a silent host) changes nothing.
func diff(p *munin.Poll, known map[string]seen) (changes, error) {
	var todo changes
	if len(p.Graphs) == 0 {
		return todo, nil
	}
	brought := make(map[string]bool, len(p.Graphs))
	for i := range p.Graphs {
		g := &p.Graphs[i]
		brought[g.Name] = true
		body, err := json.Marshal(g)
		if err != nil {
			return todo, fmt.Errorf("graph %s: %w", g.Name, err)
		}
		old, ok := known[g.Name]
		switch hash := sha256.Sum256(body); {
		case !ok || old.hash != hash:
			todo.write = append(todo.write, update{g.Name, string(body), hash})
		case !old.current:
			todo.back = append(todo.back, g.Name)
		}
	}
	for name, old := range known {
		if old.current && !brought[name] {
			todo.left = append(todo.left, name)
		}
	}
	return todo, nil
}

// writeGraphs stores the changes. When the current graphs of a host were seen is kept once, with the host, so that the
// usual poll writes one row; a graph gets a time of its own when it leaves.
func writeGraphs(ctx context.Context, tx *sql.Tx, host int64, p *munin.Poll, todo changes) error {
	if len(p.Graphs) == 0 {
		return nil
	}
	for _, name := range todo.left {
		_, err := tx.ExecContext(ctx, `UPDATE graphs SET current = 0, last_seen = (SELECT graphs_seen FROM hosts WHERE id = host_id)
			WHERE host_id = ? AND name = ?`, host, name)
		if err != nil {
			return fmt.Errorf("graph %s: %w", name, err)
		}
	}
	for _, name := range todo.back {
		_, err := tx.ExecContext(ctx, "UPDATE graphs SET current = 1, last_seen = NULL WHERE host_id = ? AND name = ?", host, name)
		if err != nil {
			return fmt.Errorf("graph %s: %w", name, err)
		}
	}
	for _, u := range todo.write {
		_, err := tx.ExecContext(ctx, `INSERT INTO graphs (host_id, name, body) VALUES (?, ?, ?)
			ON CONFLICT (host_id, name) DO UPDATE SET body = excluded.body, current = 1, last_seen = NULL`, host, u.name, u.body)
		if err != nil {
			return fmt.Errorf("graph %s: %w", u.name, err)
		}
	}
	_, err := tx.ExecContext(ctx, "UPDATE hosts SET graphs_seen = ? WHERE id = ?", nanos(p.Start), host)
	return err
}

func writeFaults(ctx context.Context, tx *sql.Tx, host int64, faults []munin.Fault) error {
	if _, err := tx.ExecContext(ctx, "DELETE FROM faults WHERE host_id = ?", host); err != nil {
		return err
	}
	for i, f := range faults {
		if i == munin.MaxFaults {
			break
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO faults (host_id, position, plugin, line, text, reason) VALUES (?, ?, ?, ?, ?, ?)",
			host, i, f.Plugin, f.Line, f.Text, f.Reason)
		if err != nil {
			return fmt.Errorf("fault: %w", err)
		}
	}
	return nil
}

// remember notes what was committed.
func (c *Catalog) remember(host munin.HostID, done changes) {
	c.write.Lock()
	defer c.write.Unlock()
	known := c.graphs[host]
	if known == nil {
		return
	}
	for _, u := range done.write {
		known[u.name] = seen{hash: u.hash, current: true}
	}
	for _, name := range done.back {
		known[name] = seen{hash: known[name].hash, current: true}
	}
	for _, name := range done.left {
		known[name] = seen{hash: known[name].hash}
	}
}

// forget makes the next poll of a host read again what is stored.
func (c *Catalog) forget(host munin.HostID) {
	c.write.Lock()
	defer c.write.Unlock()
	delete(c.graphs, host)
}

const graphsOfHost = `SELECT body, iif(current, graphs_seen, last_seen) FROM graphs JOIN hosts ON hosts.id = host_id WHERE path = ?`

// Graphs lists every graph that a host ever had, by name. Those that the last poll brought have a LastSeen that is the
// start of that poll.
func (c *Catalog) Graphs(ctx context.Context, host munin.HostID) ([]munin.Graph, error) {
	graphs, err := collect(ctx, c.read, scanGraph,
		graphsOfHost+" ORDER BY graphs.name", host)
	if err != nil {
		return nil, fmt.Errorf("list the graphs of %s: %w", host, err)
	}
	return graphs, nil
}

// Graph finds one graph of a host by its stored name; the error wraps munin.ErrNotFound.
func (c *Catalog) Graph(ctx context.Context, host munin.HostID, name string) (munin.Graph, error) {
	graphs, err := collect(ctx, c.read, scanGraph,
		graphsOfHost+" AND graphs.name = ?", host, name)
	if err == nil && len(graphs) == 0 {
		err = munin.ErrNotFound
	}
	if err != nil {
		return munin.Graph{}, fmt.Errorf("graph %q of %s: %w", name, host, err)
	}
	return graphs[0], nil
}

func scanGraph(rows *sql.Rows) (munin.Graph, error) {
	var g munin.Graph
	var body []byte
	var at sql.NullInt64
	if err := rows.Scan(&body, &at); err != nil {
		return g, err
	}
	if err := json.Unmarshal(body, &g); err != nil {
		return g, fmt.Errorf("stored description: %w", err)
	}
	g.LastSeen = fromNanos(at)
	return g, nil
}

// Faults lists what could not be used of the last poll of a host.
func (c *Catalog) Faults(ctx context.Context, host munin.HostID) ([]munin.Fault, error) {
	scan := func(rows *sql.Rows) (f munin.Fault, err error) {
		return f, rows.Scan(&f.Plugin, &f.Line, &f.Text, &f.Reason)
	}
	faults, err := collect(ctx, c.read, scan,
		"SELECT plugin, line, text, reason FROM faults WHERE host_id = (SELECT id FROM hosts WHERE path = ?) ORDER BY position", host)
	if err != nil {
		return nil, fmt.Errorf("list the faults of %s: %w", host, err)
	}
	return faults, nil
}
