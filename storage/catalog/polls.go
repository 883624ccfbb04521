package catalog

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

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

// stored is what is known to be stored of a host.
type stored struct {
	id        int64
	graphs    map[string]seen
	described uint64 // munin.Poll.Described of the graphs that are current; 0: not known
	faults    bool   // there may be some
}

// Record stores what one poll said, in one transaction: how the session went, the graphs, the faults instead of those of the poll before. Graphs
// that it did not bring stay known with their LastSeen. LastAnswer moves only when the session ended well.
// A host that was never configured is added. The readings are not the catalogue's business. Polls that are recorded
// at the same time share a transaction, unless one of them cannot be stored.
func (c *Catalog) Record(ctx context.Context, p *munin.Poll) error {
	if p.Host.Name() == "" {
		return errors.New("store a poll: it names no host")
	}
	if c.fast == nil {
		return fmt.Errorf("store the poll of %s: %w", p.Host, errReadOnly)
	}
	if err := c.polls.run(ctx, p); err != nil {
		return fmt.Errorf("store the poll of %s: %w", p.Host, err)
	}
	return nil
}

// recordAll stores polls in one transaction, all or none.
func (c *Catalog) recordAll(ctx context.Context, batch []*munin.Poll) error {
	err := c.change(ctx, c.fast, func(tx *sql.Tx) error {
		again, err := tx.PrepareContext(ctx, seenAgain)
		if err != nil {
			return err
		}
		defer again.Close()
		for _, p := range batch {
			if same, err := c.recordSame(ctx, again, p); err != nil {
				return err
			} else if same {
				continue
			}
			if err := c.recordOne(ctx, tx, p); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		c.forget(batch)
	}
	return err
}

// times are those of a poll as they are stored.
func times(p *munin.Poll) (first, answer, graphs sql.NullInt64) {
	if p.Answered() {
		first = nanos(p.Start)
		if p.Err == nil {
			answer = nanos(p.Start)
		}
	}
	if len(p.Graphs) > 0 {
		graphs = nanos(p.Start)
	}
	return first, answer, graphs
}

func errorText(p *munin.Poll) string {
	if p.Err == nil {
		return ""
	}
	return p.Err.Error()
}

const seenAgain = `UPDATE hosts SET
	first_seen = coalesce(first_seen, ?), last_answer = coalesce(?, last_answer), last_tried = ?, last_error = ?, last_took = ?,
	banner = iif(? = '', banner, ?), graphs_seen = coalesce(?, graphs_seen),
	last_lag = ?, last_values = ?, last_bytes = ?, slowest = ?, slowest_took = ?, spool = iif(? = 0, spool, ?)
	WHERE id = ? AND path = ?`

// recordSame stores a poll that said what the one before said, which is the usual one. It is false when it did not.
func (c *Catalog) recordSame(ctx context.Context, stmt *sql.Stmt, p *munin.Poll) (bool, error) {
	known := c.hosts[p.Host]
	if known == nil || known.faults || len(p.Faults) > 0 || len(p.Graphs) > 0 && (p.Described == 0 || p.Described != known.described) {
		return false, nil
	}
	first, answer, graphs := times(p)
	done, err := stmt.ExecContext(ctx, first, answer, nanos(p.Start), errorText(p), p.Took, p.Banner, p.Banner, graphs,
		p.Lag, len(p.Readings), p.Bytes, p.Slowest, p.SlowestTook, p.Spool, p.Spool, known.id, p.Host)
	if err != nil {
		return false, err
	}
	n, err := done.RowsAffected()
	return n == 1, err
}

func (c *Catalog) recordOne(ctx context.Context, tx *sql.Tx, p *munin.Poll) error {
	id, err := recordHost(ctx, tx, p)
	if err != nil {
		return err
	}
	known, err := c.stored(ctx, tx, p.Host, id)
	if err != nil {
		return err
	}
	var todo changes
	if p.Described == 0 || p.Described != known.described {
		if todo, err = diff(p, known.graphs); err != nil {
			return err
		}
	}
	if err := writeGraphs(ctx, tx, id, p, todo); err != nil {
		return err
	}
	if err := writeFaults(ctx, tx, id, p.Faults); err != nil {
		return err
	}
	// Should the transaction fail, all of this is forgotten.
	known.apply(todo)
	known.faults = len(p.Faults) > 0
	if len(p.Graphs) > 0 {
		known.described = p.Described
	}
	return nil
}

func recordHost(ctx context.Context, tx *sql.Tx, p *munin.Poll) (id int64, err error) {
	first, answer, _ := times(p)
	err = tx.QueryRowContext(ctx, `INSERT INTO hosts (path, name, address, first_seen, last_answer, last_tried, last_error, last_took, banner,
			last_lag, last_values, last_bytes, slowest, slowest_took, spool)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (path) DO UPDATE SET
			first_seen = coalesce(first_seen, excluded.first_seen), last_answer = coalesce(excluded.last_answer, last_answer),
			last_tried = excluded.last_tried, last_error = excluded.last_error, last_took = excluded.last_took,
			banner = iif(excluded.banner = '', banner, excluded.banner),
			last_lag = excluded.last_lag, last_values = excluded.last_values, last_bytes = excluded.last_bytes,
			slowest = excluded.slowest, slowest_took = excluded.slowest_took, spool = iif(excluded.spool = 0, spool, excluded.spool)
		RETURNING id`,
		p.Host, p.Host.Name(), p.Address, first, answer, nanos(p.Start), errorText(p), p.Took, p.Banner,
		p.Lag, len(p.Readings), p.Bytes, p.Slowest, p.SlowestTook, p.Spool).Scan(&id)
	return id, err
}

// stored is what the database holds of a host; it is read once.
func (c *Catalog) stored(ctx context.Context, tx *sql.Tx, host munin.HostID, id int64) (*stored, error) {
	if known := c.hosts[host]; known != nil && known.id == id {
		return known, nil
	}
	rows, err := tx.QueryContext(ctx, "SELECT name, body, current FROM graphs WHERE host_id = ?", id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	known := &stored{id: id, graphs: make(map[string]seen), faults: true}
	for rows.Next() {
		var name string
		var body []byte
		var current bool
		if err := rows.Scan(&name, &body, &current); err != nil {
			return nil, err
		}
		known.graphs[name] = seen{hash: sha256.Sum256(body), current: current}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	c.hosts[host] = known
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

// apply notes what was written.
func (s *stored) apply(done changes) {
	for _, u := range done.write {
		s.graphs[u.name] = seen{hash: u.hash, current: true}
	}
	for _, name := range done.back {
		s.graphs[name] = seen{hash: s.graphs[name].hash, current: true}
	}
	for _, name := range done.left {
		s.graphs[name] = seen{hash: s.graphs[name].hash}
	}
}

// forget makes the next polls of hosts read again what is stored.
func (c *Catalog) forget(batch []*munin.Poll) {
	c.write.Lock()
	defer c.write.Unlock()
	for _, p := range batch {
		delete(c.hosts, p.Host)
	}
}

const graphsOfHost = `SELECT body, iif(current, graphs_seen, last_seen) FROM graphs JOIN hosts ON hosts.id = host_id WHERE path = ?`

// Graphs lists every graph that a host ever had, by name. Those that the last poll brought have a LastSeen that is the
// start of that poll. A host that was renamed has those that it had under its earlier names as well.
func (c *Catalog) Graphs(ctx context.Context, host munin.HostID) ([]munin.Graph, error) {
	var all []munin.Graph
	have := make(map[string]bool)
	for _, name := range c.namesOf(host) {
		graphs, err := collect(ctx, c.read, scanGraph, graphsOfHost+" ORDER BY graphs.name", name)
		if err != nil {
			return nil, fmt.Errorf("list the graphs of %s: %w", host, err)
		}
		for i := range graphs {
			g := &graphs[i]
			if id := (munin.SeriesID{Host: name, Graph: g.Name}); have[g.Name] || c.Renames().Current(id).Graph != g.Name {
				continue
			}
			have[g.Name] = true
			all = append(all, *g)
		}
	}
	slices.SortStableFunc(all, func(a, b munin.Graph) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// Graph finds one graph of a host by its stored name, or one that it had before it was renamed; the error wraps munin.ErrNotFound.
func (c *Catalog) Graph(ctx context.Context, host munin.HostID, name string) (munin.Graph, error) {
	current := c.Renames().Current(munin.SeriesID{Host: host, Graph: name})
	for _, path := range c.namesOf(current.Host) {
		graphs, err := collect(ctx, c.read, scanGraph, graphsOfHost+" AND graphs.name = ?", path, current.Graph)
		if err != nil {
			return munin.Graph{}, fmt.Errorf("graph %q of %s: %w", name, host, err)
		}
		if len(graphs) > 0 {
			return graphs[0], nil
		}
	}
	return munin.Graph{}, fmt.Errorf("graph %q of %s: %w", name, host, munin.ErrNotFound)
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
		"SELECT plugin, line, text, reason FROM faults WHERE host_id = (SELECT id FROM hosts WHERE path = ?) ORDER BY position",
		c.Renames().Host(host))
	if err != nil {
		return nil, fmt.Errorf("list the faults of %s: %w", host, err)
	}
	return faults, nil
}

// Failing lists, by host, the plugins of whose last answer something could not be used, by name.
func (c *Catalog) Failing(ctx context.Context) (map[munin.HostID][]string, error) {
	type pair struct {
		host   munin.HostID
		plugin string
	}
	scan := func(rows *sql.Rows) (p pair, err error) { return p, rows.Scan(&p.host, &p.plugin) }
	pairs, err := collect(ctx, c.read, scan,
		"SELECT DISTINCT path, plugin FROM faults JOIN hosts ON hosts.id = host_id WHERE plugin != '' ORDER BY path, plugin")
	if err != nil {
		return nil, fmt.Errorf("list the plugins that fail: %w", err)
	}
	failing := make(map[munin.HostID][]string)
	for _, p := range pairs {
		failing[p.host] = append(failing[p.host], p.plugin)
	}
	return failing, nil
}
