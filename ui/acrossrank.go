package ui

import (
	"cmp"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"corbie/munin"
	"corbie/ui/chart"
)

// rank reads the values, and computes them as the pictures of the single hosts do.
func (s *Server) rank(r *http.Request, v *acrossView) error {
	ctx := r.Context()
	var graphs []munin.Graph
	var hosts []munin.HostID
	var sources []munin.Source
	for _, id := range v.hosts {
		g, err := s.opts.Catalog.Graph(ctx, id, v.kind.name)
		if isNotFound(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read the graph %s of %s: %w", v.kind.name, id, err)
		}
		if v.partial = len(sources)+len(g.Fields) > maxSources; v.partial {
			break
		}
		for i := range g.Fields {
			sources = append(sources, g.Source(id, &g.Fields[i], v.fleet.byID[id].host.Interval))
		}
		graphs, hosts = append(graphs, g), append(hosts, id)
		if len(g.Fields) > len(v.graph.Fields) {
			v.graph = g
		}
	}
	step := chart.StepFor(v.span, 5*time.Minute, rankBuckets)
	series, err := s.opts.Samples.Query(ctx, sources, chart.Align(v.span, step), step)
	if err != nil {
		return fmt.Errorf("read the values of %s: %w", v.kind.name, err)
	}
	v.series = make(map[munin.SeriesID]munin.Series, len(series))
	for n := range graphs {
		g := &graphs[n]
		own := series[:len(g.Fields)]
		series = series[len(g.Fields):]
		for i := range own {
			own[i].ID = munin.SeriesID{Host: hosts[n], Graph: g.Name, Field: g.Fields[i].Name}
		}
		model := chart.New(chart.Request{Graph: g, Series: own, Range: v.span, Location: v.fleet.now.Location(), Now: v.fleet.now})
		for i := range g.Fields {
			field := &g.Fields[i]
			if v.field != "" && field.Name != v.field || v.field == "" && field.Hidden {
				continue
			}
			v.add(own[i], field, model, &model.Fields[i])
		}
	}
	slices.SortStableFunc(v.rows, func(a, b Ranked) int { return -cmp.Compare(a.by, b.by) })
	v.shares()
	return nil
}

// add makes a row of a field of a host.
func (v *acrossView) add(s munin.Series, field *munin.Field, m *chart.Model, shown *chart.FieldFigures) {
	id, figures := s.ID, shown.Figures
	for i := range s.Buckets {
		b := munin.Gap()
		if value := shown.Values[i]; value == value { // not NaN
			b = munin.Bucket{Avg: value, Min: value, Max: value, Count: 1}
		}
		s.Buckets[i] = b
	}
	s.Last.V = figures.Current
	v.series[id] = s
	row := Ranked{
		Host: id.Host.Name(), Group: groupWords(id.Host.Group()), HostURL: v.fleet.hostURL(id.Host), Label: clip(field.Label, 80), id: id,
		URL: rangeURL(v.fleet.graphURL(id.Host, id.Graph), v.from, v.to), Now: m.Format(figures.Current),
		Average: m.Format(figures.Average), Max: m.Format(figures.Max), Spark: spark(shown.Values),
	}
	switch v.sort {
	case "now":
		row.by = figures.Current
	case "max":
		row.by = figures.Max
	default:
		row.by = figures.Average
	}
	if row.by != row.by { // NaN goes last
		row.by = math.Inf(-1)
	}
	for _, p := range v.fleet.byID[id.Host].Problems {
		if p.ID.Graph == id.Graph && p.ID.Field == id.Field {
			row.Level, row.Shape = p.Level, p.Shape
		}
	}
	v.rows = append(v.rows, row)
}

// spark is a curve as an SVG path in a box of 120 by 20; what is unknown is left out.
func spark(values []float64) string {
	low, high := 0.0, 0.0
	for _, v := range values {
		if v-v == 0 { // known
			low, high = min(low, v), max(high, v)
		}
	}
	if high == low || len(values) < 2 {
		return ""
	}
	var b []byte
	pen := byte('M')
	for i, v := range values {
		if v-v != 0 {
			pen = 'M'
			continue
		}
		b = append(b, pen)
		b = strconv.AppendInt(b, int64(math.Round(120*float64(i)/float64(len(values)-1))), 10)
		b = append(b, ' ')
		b = strconv.AppendFloat(b, math.Round(10*(19-18*(v-low)/(high-low)))/10, 'f', -1, 64)
		pen = 'L'
	}
	return string(b)
}

func (v *acrossView) shares() {
	largest := 0.0
	for i := range v.rows {
		if by := v.rows[i].by; !math.IsInf(by, 0) {
			largest = max(largest, math.Abs(by))
		}
	}
	for i := range v.rows {
		if by := v.rows[i].by; largest > 0 && by > 0 {
			v.rows[i].Share = int(math.Round(by / largest * 100))
		}
	}
}

// describe is the picture of the highest in words.
func (v *acrossView) describe() string {
	var b strings.Builder
	b.WriteString(v.kind.title + ": the highest are ")
	for i := range v.rows[:min(len(v.rows), 5)] {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(v.rows[i].Host + " " + v.rows[i].Label + " " + v.rows[i].Average)
	}
	return b.String() + "."
}
