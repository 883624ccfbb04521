package munindb

import (
	"bufio"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"corbie/munin"
)

const (
	maxLine  = 1 << 20
	maxLines = 20_000_000
)

// Host is a host of the datafile with its graphs.
type Host struct {
	ID     munin.HostID
	Graphs []munin.Graph // by name
}

// line is one of the datafile: what it is about, and the value.
type line struct {
	path  []string // service, parts of it after dots, field, attribute
	value string
}

// ParseDatafile reads Munin's datafile. Lines that say nothing about a graph or a field are passed over, as are attributes that cannot be
// read: what matters is which fields there are, and their titles.
func ParseDatafile(r io.Reader) ([]Host, error) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(make([]byte, 64<<10), maxLine)
	byHost := make(map[munin.HostID][]line)
	for n := 0; scanner.Scan(); n++ {
		if n > maxLines {
			return nil, fmt.Errorf("datafile: more than %d lines", maxLines)
		}
		key, value, ok := strings.Cut(scanner.Text(), " ")
		colon := strings.LastIndexByte(key, ':')
		if !ok || colon < 1 {
			continue
		}
		path := strings.Split(key[colon+1:], ".")
		if len(path) < 2 || slices.Contains(path, "") {
			continue
		}
		host := munin.HostID(munin.CleanText(key[:colon]))
		byHost[host] = append(byHost[host], line{path, munin.CleanText(value)})
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("datafile: %w", err)
	}
	hosts := make([]Host, 0, len(byHost))
	for id, lines := range byHost {
		if graphs := graphsOf(lines); len(graphs) > 0 && id.Name() != "" {
			hosts = append(hosts, Host{ID: id, Graphs: graphs})
		}
	}
	slices.SortFunc(hosts, func(a, b Host) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return hosts, nil
}

// graphsOf builds the graphs of one host. What has a label is a field; what is before it is the graph.
func graphsOf(lines []line) []munin.Graph {
	graphs := make(map[string]*munin.Graph)
	for _, l := range lines {
		n := len(l.path)
		if l.path[n-1] != "label" || n < 3 {
			continue
		}
		name := strings.Join(l.path[:n-2], ".")
		if munin.ValidateGraphName(name) != nil {
			continue
		}
		if graphs[name] == nil {
			graphs[name] = &munin.Graph{Plugin: l.path[0], Name: name}
		}
		if g := graphs[name]; l.path[n-2] == munin.SanitiseField(l.path[n-2]) && len(g.Fields) < maxParts {
			g.Fields = append(g.Fields, munin.Field{Name: l.path[n-2]})
		}
	}
	for _, l := range lines {
		n := len(l.path)
		if n >= 3 {
			if g := graphs[strings.Join(l.path[:n-2], ".")]; g != nil {
				if f, ok := g.Field(l.path[n-2]); ok {
					_ = f.Set(l.path[n-1], l.value)
					continue
				}
			}
		}
		if g := graphs[strings.Join(l.path[:n-1], ".")]; g != nil {
			_ = g.Set(l.path[n-1], l.value)
		}
	}
	out := make([]munin.Graph, 0, len(graphs))
	for _, g := range graphs {
		if g.Category == "" {
			g.Category = "other"
		}
		inOrder(g)
		out = append(out, *g)
	}
	slices.SortFunc(out, func(a, b munin.Graph) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// inOrder puts the fields into the order that the graph asks for; the rest follows by name. The datafile has them in none.
func inOrder(g *munin.Graph) {
	place := func(name string) int {
		if i := slices.Index(g.Order, name); i >= 0 {
			return i
		}
		return len(g.Order)
	}
	slices.SortFunc(g.Fields, func(a, b munin.Field) int {
		if d := place(a.Name) - place(b.Name); d != 0 {
			return d
		}
		return strings.Compare(a.Name, b.Name)
	})
	g.Fields = slices.CompactFunc(g.Fields, func(a, b munin.Field) bool { return a.Name == b.Name })
}

// RRDPath is where Munin keeps the history of a field, relative to its dbdir. It never leads out of it: ok is false where a name would.
func RRDPath(host munin.HostID, graph string, f *munin.Field) (path string, ok bool) {
	kind := strings.ToLower(f.Type.String()[:1])
	name := host.Name() + "-" + strings.ReplaceAll(graph, ".", "-") + "-" + f.Name + "-" + kind + ".rrd"
	path = filepath.Join(filepath.Join(strings.Split(host.Group(), ";")...), name)
	return path, filepath.IsLocal(path) && !strings.ContainsAny(name, "/\x00") && !strings.Contains(string(host), "..")
}
