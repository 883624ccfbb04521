package ui

import (
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"

	"corbie/munin"
	"corbie/ui/chart"
)

// elsewhere answers for every path without a page: addresses that Munin's pages and pictures have lead to ours,
// all others are told where to go.
func (s *Server) elsewhere(w http.ResponseWriter, r *http.Request) error {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(parts) > 2 && (parts[0] == "munin-cgi" || parts[0] == "cgi-bin") && parts[1] == "munin-cgi-graph" {
		parts = parts[2:]
	}
	if len(r.URL.Path) < 1000 && len(parts) >= 2 {
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
	last := parts[len(parts)-1]
	format := path.Ext(last)
	name := strings.TrimSuffix(last, format)
	picture, ok := oldPicture{}, format == ".html"
	if !ok {
		if name, picture, ok = parseOldPicture(name, format, r); !ok {
			return ""
		}
	}
	f, err := s.fleet(r)
	if err != nil {
		return ""
	}
	host, graph := munin.HostID(strings.Join(parts[:len(parts)-1], ";")), name
	row := f.find(host)
	if row == nil { // a multigraph's child lies in a folder of its parent's name
		host, graph = munin.HostID(strings.Join(parts[:len(parts)-2], ";")), parts[len(parts)-2]+"."+name
		row = f.find(host)
	}
	switch {
	case row == nil:
		return ""
	case format == ".html" && name == "index" && graph == name:
		return row.URL
	case format == ".html":
		return f.graphURL(host, graph)
	}
	if g, err := s.opts.Catalog.Graph(r.Context(), host, graph); err == nil {
		picture.fit(r, &g)
	}
	return picture.address(f.graphURL(host, graph))
}

// oldPicture is what the name of one of Munin's pictures asks for.
type oldPicture struct {
	format, from, to string
	sum              sum // of "cpu-week-sum.png"
	width, height    int
}

// What Munin draws around a plot of the size that is asked for, and how large that is where nothing is.
const (
	muninWidth, muninHeight   = 400, 175
	muninAcross, muninUpright = 97, 58
)

// parseOldPicture reads "cpu-week", "cpu-week-sum" and "cpu-pinpoint=1600000000,1600100000", and the sizes that Munin's CGI takes.
func parseOldPicture(name, format string, r *http.Request) (graph string, p oldPicture, ok bool) {
	switch format {
	case ".png", ".pngx2", ".svg", ".csv", ".json":
	default:
		return "", p, false
	}
	p = oldPicture{format: format, to: "now", width: muninWidth + muninAcross, height: muninHeight + muninUpright}
	if before, span, pinpoint := strings.Cut(name, "-pinpoint="); pinpoint {
		graph = before
		p.from, p.to, ok = strings.Cut(span, ",")
	} else {
		name, summed := strings.CutSuffix(name, "-sum")
		graph, p.from = cutPeriod(name)
		ok = p.from != ""
		for _, s := range sums() {
			if summed && s.from == p.from {
				p.sum = s
			}
		}
		ok = ok && summed == (p.sum.by > 0)
	}
	p.size(r)
	return graph, p, ok && graph != ""
}

// fit makes the picture as large as its graph wants it, where the address does not say how large.
func (p *oldPicture) fit(r *http.Request, g *munin.Graph) {
	width, height := g.Size()
	p.width, p.height = width+muninAcross, height+muninUpright
	p.size(r)
}

// size reads the sizes that Munin's CGI takes.
func (p *oldPicture) size(r *http.Request) {
	size := func(name string, around, low, high int, target *int) {
		if n, err := strconv.Atoi(r.FormValue(name)); err == nil && n > 0 {
			*target = min(max(min(n, high)+around, low), high)
		}
	}
	size("size_x", muninAcross, chart.MinWidth, chart.MaxWidth, &p.width)
	size("size_y", muninUpright, chart.MinHeight, chart.MaxHeight, &p.height)
}

func (p *oldPicture) address(graphURL string) string {
	address := rangeURL(withFormat(graphURL, p.format), p.from, p.to) + p.sum.address()
	if p.format == ".csv" || p.format == ".json" {
		return address
	}
	return address + fmt.Sprintf("&w=%d&h=%d", p.width, p.height)
}

// cutPeriod parts "cpu-week" into the graph and where a week begins; from is empty where there is no period.
func cutPeriod(name string) (graph, from string) {
	for _, p := range append(periods(), Period{Name: "hour", From: "now-75m"}) {
		if graph, ok := strings.CutSuffix(name, "-"+p.Name); ok && graph != "" {
			return graph, p.From
		}
	}
	return name, ""
}
