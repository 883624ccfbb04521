// Package uitest is a made-up fleet for looking at the pages and for testing them: a shop, an office and a lab
// whose values are a function of time, with what pages have to get right: a disk that is nearly full, a host that
// is silent, one that never answered, two of the same short name, gaps, and a plugin that fails.
package uitest

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"time"

	"corbie/munin"
)

// Interval is the time between two polls in the made-up fleet.
const Interval = 5 * time.Minute

// Fleet answers for catalogue, states, samples, reports and faults. Now is the instant at which it is looked at.
// Its fields may be changed before use.
type Fleet struct {
	Now      time.Time
	Known    []munin.Host
	Drawn    map[munin.HostID][]munin.Graph
	Watched  []munin.AlertState
	Broken   map[munin.HostID][]munin.Fault
	Capacity *munin.Report
	kept     notes
}

// New is the whole fleet.
func New(now time.Time) *Fleet {
	f := &Fleet{Now: now, Drawn: make(map[munin.HostID][]munin.Graph), Broken: make(map[munin.HostID][]munin.Fault)}
	f.addHosts()
	for _, h := range f.Known {
		if h.FirstSeen.IsZero() {
			continue
		}
		for _, config := range configs() {
			for _, g := range munin.ParseConfig(config.plugin, []byte(config.text)).Graphs {
				g.LastSeen = h.LastAnswer
				f.Drawn[h.ID] = append(f.Drawn[h.ID], g)
			}
		}
	}
	f.addProblems()
	f.addNotes()
	f.addReport()
	return f
}

func (f *Fleet) addHosts() {
	add := func(id munin.HostID, address string, age time.Duration) *munin.Host {
		f.Known = append(f.Known, munin.Host{
			ID: id, Address: address, Interval: Interval, Silent: 3 * Interval,
			FirstSeen: f.Now.Add(-340 * 24 * time.Hour), LastAnswer: f.Now.Add(-age), LastTried: f.Now.Add(-age),
			LastTook: 840 * time.Millisecond, Banner: id.Name(),
		})
		return &f.Known[len(f.Known)-1]
	}
	add("shop;web1.example.com", "192.0.2.11:4949", 2*time.Minute)
	add("shop;web2.example.com", "192.0.2.12:4949", 2*time.Minute)
	db := add("shop;db1.example.com", "192.0.2.21:4949", 3*time.Hour+20*time.Minute)
	db.LastTried, db.LastError = f.Now.Add(-2*time.Minute), "connect to 192.0.2.21:4949: connection refused"
	add("office;files.example.com", "198.51.100.5:4949", time.Minute)
	add("office;print.example.com", "198.51.100.6:4949", time.Minute)
	add("lab;web1.example.com", "203.0.113.9:4949", time.Minute)
	fresh := add("new.example.com", "203.0.113.77:4949", time.Minute)
	*fresh = munin.Host{
		ID: fresh.ID, Address: fresh.Address, Interval: Interval, Silent: 3 * Interval,
		LastTried: f.Now.Add(-time.Minute), LastError: "look up new.example.com: no such host",
	}
	old := add("office;fax.example.com", "198.51.100.7:4949", 90*24*time.Hour)
	old.Archived = true
}

func (f *Fleet) addProblems() {
	state := func(host munin.HostID, graph, field string, level munin.Level, ago time.Duration, value float64, bounds, reason string) {
		b, err := munin.ParseBounds(bounds)
		if err != nil {
			panic(err) // a typing error in this file
		}
		open := level
		if level == munin.Unknown {
			open = munin.OK
		}
		f.Watched = append(f.Watched, munin.AlertState{
			ID: munin.SeriesID{Host: host, Graph: graph, Field: field}, Level: level, Since: f.Now.Add(-ago),
			Open: open, OpenSince: f.Now.Add(-ago), Value: value, Bounds: b, Reason: reason,
		})
	}
	state("office;files.example.com", "df", "_dev_sdb1", munin.Critical, 200*time.Minute, 98.4, ":98", "98.4 is above 98")
	state("office;files.example.com", "load", "load", munin.OK, 20*time.Hour, 0.6, ":4", "")
	state("shop;web2.example.com", "load", "load", munin.Warning, 25*time.Minute, 4.6, ":4", "4.6 is above 4")
	state("shop;web1.example.com", "df", "_dev_sda1", munin.Warning, 51*time.Hour, 92.6, ":92", "92.6 is above 92")
	state("shop;db1.example.com", "", "", munin.Critical, 185*time.Minute, math.NaN(), "",
		"has not answered since "+f.Now.Add(-200*time.Minute).Format("15:04")+": connection refused")
	state("office;print.example.com", "sensors_temp", "temp2", munin.Unknown, 70*time.Minute, math.NaN(), ":80", "no value for 14 polls")
	f.Broken["office;print.example.com"] = []munin.Fault{
		{Plugin: "sensors_temp", Line: 2, Text: "temp2.value n/a", Reason: `"n/a" is not a number; print U when the value is unknown`},
		{Plugin: "apache_volume", Reason: "the plugin failed on the node; run it there with munin-run or corbie-node run to see why", Text: "# Bad exit"},
	}
}

func (f *Fleet) addReport() {
	find := func(host munin.HostID, graph, field, label string, used, chance float64, verdict munin.Verdict, days float64) munin.Finding {
		at := func(factor float64) time.Time {
			if days == 0 {
				return time.Time{}
			}
			return f.Now.Add(time.Duration(days * factor * 24 * float64(time.Hour)))
		}
		return munin.Finding{
			ID:    munin.SeriesID{Host: host, Graph: graph, Field: field},
			Title: "Disk usage in percent", Label: label, Unit: "%", Base: 1000, Used: used, Ceiling: 100, Verdict: verdict,
			Full10: at(0.6), Full50: at(1), Full90: at(1.9), Chance30: chance, GrowthPerDay: 0.21, Days: 340, Missing: 2,
		}
	}
	full := find("office;files.example.com", "df", "_dev_sdb1", "/srv", 98.4, 1, munin.Filling, 6)
	soon := find("shop;web1.example.com", "df", "_dev_sda1", "/", 92.6, 0.34, munin.Filling, 38)
	far := find("shop;web2.example.com", "df", "_dev_sda1", "/", 41, 0, munin.NotInSight, 0)
	none := find("office;print.example.com", "df", "_dev_sda1", "/", 12, 0, munin.TooLittleData, 0)
	none.Days, none.Note = 9, "9 days of values; a forecast from 3 December on"
	f.Capacity = &munin.Report{
		Name: "capacity", At: f.Now.Add(-4 * time.Hour), Horizon: 2 * 365 * 24 * time.Hour,
		Findings: []munin.Finding{full, soon, far, none},
	}
}

// Hosts lists the fleet.
func (f *Fleet) Hosts(context.Context) ([]munin.Host, error) { return slices.Clone(f.Known), nil }

// Host finds one by full path or unique short name.
func (f *Fleet) Host(_ context.Context, name string) (munin.Host, error) {
	var found []munin.Host
	for _, h := range f.Known {
		if string(h.ID) == name {
			return h, nil
		}
		if h.ID.Name() == name {
			found = append(found, h)
		}
	}
	switch len(found) {
	case 0:
		return munin.Host{}, fmt.Errorf("host %q: %w", name, munin.ErrNotFound)
	case 1:
		return found[0], nil
	}
	return munin.Host{}, fmt.Errorf("host %q: %w", name, munin.ErrAmbiguous)
}

// Graphs lists what a host described.
func (f *Fleet) Graphs(_ context.Context, host munin.HostID) ([]munin.Graph, error) {
	return slices.Clone(f.Drawn[host]), nil
}

// Graph is one of them.
func (f *Fleet) Graph(_ context.Context, host munin.HostID, name string) (munin.Graph, error) {
	for _, g := range f.Drawn[host] {
		if g.Name == name {
			return g, nil
		}
	}
	return munin.Graph{}, fmt.Errorf("graph %q: %w", name, munin.ErrNotFound)
}

// States are the watched fields.
func (f *Fleet) States(context.Context) ([]munin.AlertState, error) {
	return slices.Clone(f.Watched), nil
}

// Faults are what failed in the last poll.
func (f *Fleet) Faults(_ context.Context, host munin.HostID) ([]munin.Fault, error) {
	return f.Broken[host], nil
}

// LastReport is the capacity report.
func (f *Fleet) LastReport(_ context.Context, name string) (munin.Report, error) {
	if f.Capacity == nil || name != f.Capacity.Name {
		return munin.Report{}, fmt.Errorf("report %q: %w", name, munin.ErrNotFound)
	}
	return *f.Capacity, nil
}

// Query makes up the values of the range.
func (f *Fleet) Query(ctx context.Context, sources []munin.Source, r munin.Range, step time.Duration) ([]munin.Series, error) {
	out := make([]munin.Series, len(sources))
	for i, source := range sources {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		out[i] = f.series(source, r, step)
	}
	return out, nil
}

func (f *Fleet) series(source munin.Source, r munin.Range, step time.Duration) munin.Series {
	s := munin.Series{ID: source.ID, Start: r.From, Step: step, Last: munin.Point{V: math.NaN()}}
	until, since := f.Now, f.Now
	for _, h := range f.Known {
		if h.ID == source.ID.Host && !h.LastAnswer.IsZero() {
			until, since = h.LastAnswer, h.FirstSeen
		}
	}
	each := max(Interval, step/6) // enough samples a bucket to show a band
	for t := r.From; t.Before(r.To); t = t.Add(step) {
		b, sum := munin.Gap(), 0.0
		for at := t; at.Before(t.Add(step)); at = at.Add(each) {
			v := f.value(source, at)
			if at.After(until) || at.Before(since) || math.IsNaN(v) || source.Bounds.Outside(v) {
				continue
			}
			b.Count++
			sum += v
			if b.Count == 1 {
				b.Min, b.Max = v, v
			}
			b.Min, b.Max, b.Avg = min(b.Min, v), max(b.Max, v), sum/float64(b.Count)
			s.Last = munin.Point{T: at.UnixMilli(), V: v}
		}
		s.Buckets = append(s.Buckets, b)
	}
	return s
}

// value is a field's value at an instant: a level with a daily and a weekly rhythm, a trend and noise.
func (f *Fleet) value(source munin.Source, at time.Time) float64 {
	id := source.ID
	seed := hash(id.String())
	hour := float64(at.Unix()%86400) / 3600
	weekday := 1 - 0.5*truth(at.Weekday() == time.Saturday || at.Weekday() == time.Sunday)
	day := 0.5 + 0.5*math.Sin((hour-9+float64(seed%5))/24*2*math.Pi)
	noise := float64(hash(fmt.Sprint(seed, at.Unix()/300))%1000) / 1000
	age := f.Now.Sub(at).Hours() / 24
	if int(at.Unix()/300)%900 > 880 && strings.HasPrefix(id.Graph, "if_") { // a gap every three days
		return math.NaN()
	}
	p, ok := profiles()[id.Field]
	if !ok {
		p = profile{level: 10 + float64(seed%40), swing: 0.6}
	}
	v := p.level * (1 - p.swing + p.swing*day*weekday + p.noise*(noise-0.5))
	v += p.level * p.spike * math.Pow(noise, 40)
	v -= p.growth * age
	if p.growth != 0 {
		v = math.Min(math.Max(v, p.level*0.05), 100)
	}
	if id.Field == "_dev_sdb1" && id.Host != "office;files.example.com" {
		v *= 0.5
	}
	if id.Field == "temp2" && id.Host == "office;print.example.com" && age < 0.05 {
		return math.NaN()
	}
	if id.Field == "load" && id.Host == "shop;web2.example.com" && age < 0.02 {
		v += 4
	}
	return math.Max(v, 0)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func hash(s string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s))
	v := h.Sum32()
	v ^= v >> 15 // FNV's last bytes hardly reach its high bits
	v *= 0x2c1b3c6d
	return v ^ v>>12
}
