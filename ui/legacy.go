package ui

import (
	"fmt"
	"net/http"
	"path"
	"strings"

	"corbie/munin"
)

// elsewhere answers for every path without a page: addresses that Munin's pages and pictures have lead to ours,
// all others are told where to go.
func (s *Server) elsewhere(w http.ResponseWriter, r *http.Request) error {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if last := parts[len(parts)-1]; len(r.URL.Path) < 1000 && len(parts) >= 2 && (path.Ext(last) == ".png" || path.Ext(last) == ".html") {
		if target := s.oldAddress(r, parts); target != "" {
			http.Redirect(w, r, target, http.StatusFound)
			return nil
		}
	}
	return fmt.Errorf("page %q: %w", clip(r.URL.Path, 100), munin.ErrNotFound)
}

// oldAddress is where Munin's {group}/{host}/{graph}-{period}.png, {group}/{host}/{graph}.html and
// {group}/{host}/index.html are here; empty when there is no such host or graph.
func (s *Server) oldAddress(r *http.Request, parts []string) string {
	f, err := s.fleet(r)
	if err != nil {
		return ""
	}
	last := parts[len(parts)-1]
	name := strings.TrimSuffix(last, path.Ext(last))
	from := ""
	if path.Ext(last) == ".png" {
		if name, from = cutPeriod(name); from == "" {
			return ""
		}
	}
	host := munin.HostID(strings.Join(parts[:len(parts)-1], ";"))
	if row := f.find(host); row != nil {
		switch {
		case path.Ext(last) == ".html" && name == "index":
			return row.URL
		case from != "":
			return rangeURL(withFormat(f.graphURL(host, name), ".svg"), from, "now")
		}
		return f.graphURL(host, name)
	}
	// A multigraph's child lies in a folder of its parent's name.
	host = munin.HostID(strings.Join(parts[:len(parts)-2], ";"))
	child := parts[len(parts)-2] + "." + name
	switch row := f.find(host); {
	case row == nil:
		return ""
	case from != "":
		return rangeURL(withFormat(f.graphURL(host, child), ".svg"), from, "now")
	default:
		return f.graphURL(host, child)
	}
}

// cutPeriod parts "cpu-week" into the graph and where a week begins; from is empty where there is no period.
func cutPeriod(name string) (graph, from string) {
	for _, p := range periods() {
		if graph, ok := strings.CutSuffix(name, "-"+p.Name); ok && graph != "" {
			return graph, p.From
		}
	}
	return name, ""
}
