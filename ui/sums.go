package ui

import (
	"fmt"
	"net/http"
	"time"

	"corbie/munin"
	"corbie/ui/chart"
)

// sum is a way to show rates: by what they add up to in some time.
type sum struct {
	name string // in addresses; empty: rates as they are
	by   time.Duration
	text string
	from string // of the range that is shown where none is asked for
}

// sums are those that Munin draws where graph_sums says so.
func sums() []sum {
	return []sum{
		{name: "hour", by: time.Hour, text: "by the hour", from: "now-8d"},
		{name: "day", by: 24 * time.Hour, text: "by the day", from: "now-400d"},
	}
}

func sumBy(name string) (sum, error) {
	if name == "" {
		return sum{}, nil
	}
	for _, s := range sums() {
		if s.name == name {
			return s, nil
		}
	}
	return sum{}, &badRequestError{fmt.Errorf("sum=%q: want hour or day", clip(name, 20))}
}

func (s sum) address() string {
	if s.name == "" {
		return ""
	}
	return "&sum=" + s.name
}

// addSums adds a picture of the week by the hour and one of the year by the day, as Munin has them, and the ways to them.
func (p *GraphPage) addSums(v *view) {
	if !v.graph.Sums() && v.sum.by == 0 {
		return
	}
	p.Sum = v.sum.name
	p.Sums = append(p.Sums, RangeLink{
		Text: "none", Title: "Rates as they are", URL: rangeURL(v.url, periods()[0].From, "now"), Current: v.sum.by == 0,
	})
	for i, s := range sums() {
		period := periods()[[]int{1, 3}[i]].Name
		target := rangeURL(v.url, s.from, "now") + s.address()
		p.Sums = append(p.Sums, RangeLink{Text: s.text, Title: "What rates add up to, " + s.text, URL: target, Current: v.sum.name == s.name})
		height := asHigh(&v.graph, shotHeight)
		p.Shots = append(p.Shots, Shot{
			Period: period + ", sums " + s.text, Alt: p.Heading + ", sums " + s.text + " over the last " + period, URL: target,
			Src:   v.fleet.pictureURL(v.url, s.from, "now", shotWidth, height, v.host.LastAnswer) + s.address(),
			Width: shotWidth, Height: height,
		})
	}
}

// asHigh is how high a picture of a graph is that is so many pixels high where the plugin wants nothing else: a third to
// three times of that, by its graph_height.
func asHigh(g *munin.Graph, usual int) int {
	_, height := g.Size()
	return min(max(usual*height/175, usual/3), 3*usual)
}

// ownSize makes a picture as large as its graph wants it where the request does not ask for a size.
func (v *view) ownSize(r *http.Request, p *chart.Picture) {
	w, h := v.graph.Size()
	if r.FormValue("w") == "" {
		p.Width = min(p.Width*w/400, chart.MaxWidth)
	}
	if r.FormValue("h") == "" {
		p.Height = min(p.Height*h/175, chart.MaxHeight)
	}
}
