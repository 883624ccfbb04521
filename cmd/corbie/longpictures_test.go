package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"corbie/internal/testenv"
	"corbie/munin"
	"corbie/storage"
	"corbie/storage/storagetest"
	"corbie/ui/chart"
)

// longGraph is drawn over a week and a year: a gauge with days without values, counters of two types, and one by a cdef.
const longGraph = `graph_title Long
graph_vlabel things per ${graph_period}
graph_order gauge derive absolute bits
gauge.label gauge
derive.label derive
derive.type DERIVE
derive.min 0
absolute.label absolute
absolute.type ABSOLUTE
bits.label bits
bits.type DERIVE
bits.min 0
bits.cdef bits,8,*
`

// longValues are the rates, or values, of each field at a time, between 10 and 110.
func longValues() map[string]func(at time.Time) float64 {
	wave := func(phase float64) func(at time.Time) float64 {
		return func(at time.Time) float64 {
			days := float64(at.Unix()) / 86400
			return math.Round(60 + 25*math.Sin(2*math.Pi*days+phase) + 15*math.Sin(2*math.Pi*days/91+phase) + 10*math.Sin(float64(at.Unix()/300%9973)))
		}
	}
	gauge := wave(0)
	return map[string]func(at time.Time) float64{
		"gauge": func(at time.Time) float64 {
			if at.Unix()/86400%50 < 3 {
				return math.NaN()
			}
			return gauge(at)
		},
		"derive": wave(1), "absolute": wave(2), "bits": wave(3),
	}
}

// stored is a value as the node would send it: counters add up what the rates give.
func stored(kind munin.FieldType, rate func(time.Time) float64) func(at time.Time) float64 {
	total := 0.0
	return func(at time.Time) float64 {
		switch kind {
		case munin.Derive:
			total += rate(at) * 300
			return total
		case munin.Absolute:
			return rate(at) * 300
		default:
			return rate(at)
		}
	}
}

// drawnByMunin is what munin-graph told rrdtool to draw of a week and a year, by the names of the pictures.
func drawnByMunin(t *testing.T, g *munin.Graph, from, to time.Time) map[string][]string {
	t.Helper()
	dir := t.TempDir()
	for _, folder := range []string{"db/g", "html", "log", "run"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var commands, datafile strings.Builder
	datafile.WriteString("version 2.0.73\ng;h:address 127.0.0.1\ng;h:use_node_name yes\n")
	for line := range strings.Lines(longGraph) {
		datafile.WriteString("g;h:long." + line)
	}
	rates := longValues()
	for i := range g.Fields {
		f := &g.Fields[i]
		path := filepath.Join(dir, "db/g", "h-long-"+f.Name+"-"+strings.ToLower(f.Type.String()[:1])+".rrd")
		fmt.Fprintf(&commands, "create %s --start %d --step 300 DS:42:%s:600:U:U", path, from.Unix()-300, f.Type)
		for _, function := range []string{"AVERAGE", "MIN", "MAX"} {
			for _, rows := range []string{"1:576", "6:432", "24:540", "288:450"} {
				fmt.Fprintf(&commands, " RRA:%s:0.5:%s", function, rows)
			}
		}
		value := stored(f.Type, rates[f.Name])
		n := 0
		for at := from; at.Before(to); at = at.Add(300 * time.Second) {
			if n++; n%500 == 1 {
				fmt.Fprintf(&commands, "\nupdate %s", path)
			}
			if v := value(at); math.IsNaN(v) {
				fmt.Fprintf(&commands, " %d:U", at.Unix())
			} else {
				fmt.Fprintf(&commands, " %d:%s", at.Unix(), strconv.FormatFloat(v, 'f', -1, 64))
			}
		}
		commands.WriteByte('\n')
	}
	run := func(stdin, name string, args ...string) string {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C.UTF-8")
		cmd.Stdin = strings.NewReader(stdin)
		var talk bytes.Buffer
		cmd.Stderr = &talk
		out, err := cmd.Output()
		if err != nil || bytes.Contains(out, []byte("ERROR")) {
			t.Fatalf("%s: %v\n%.2000s%.2000s", name, err, out, talk.String())
		}
		return string(out)
	}
	run(commands.String(), "rrdtool", "-")
	conf, data, list := filepath.Join(dir, "munin.conf"), filepath.Join(dir, "db/datafile"), filepath.Join(dir, "db/graphs")
	testenv.WriteFile(t, conf, fmt.Sprintf("dbdir %[1]s/db\nhtmldir %[1]s/html\nlogdir %[1]s/log\nrundir %[1]s/run\n[g;h]\n\taddress 127.0.0.1\n", dir), 0o644)
	testenv.WriteFile(t, data, datafile.String(), 0o644)
	testenv.WriteFile(t, data+".storable", run("", "/usr/share/munin/munin-datafile2storable", data), 0o644)
	testenv.WriteFile(t, list, "/g/h/long-week.png\n/g/h/long-year.png\n", 0o644)
	run("", "/usr/share/munin/munin-graph", "--config", conf, "--debug", "--force-run-as-root", "--nofork", "--nolazy", "--force", "--skip-locking",
		"--skip-stats", "--noday", "--week", "--nomonth", "--year", "--nosumweek", "--nosumyear")
	log := string(mustRead(t, filepath.Join(dir, "log/munin-graph.log")))
	calls := make(map[string][]string)
	for _, call := range strings.Split(log, "rrdtool 'graph' '")[1:] {
		call, _, _ = strings.Cut(call, "'\n")
		args := strings.Split(call, "' \\\n\t'")
		calls[strings.TrimSuffix(filepath.Base(args[0]), ".png")] = args
	}
	if calls["long-week"] == nil || calls["long-year"] == nil {
		t.Fatalf("munin-graph drew %d pictures:\n%.4000s", len(calls), log)
	}
	return calls
}

// muninFigures asks rrdtool for the figures of a picture, in full: "MIN igauge".
func muninFigures(t *testing.T, args []string) (figures map[string]float64, end time.Time) {
	t.Helper()
	ask, keys := []string{"graphv", os.DevNull}, []string(nil)
	for i, arg := range args[1:] {
		if parts := strings.Split(arg, ":"); parts[0] == "GPRINT" {
			keys = append(keys, parts[2]+" "+parts[1])
			arg = strings.Join([]string{"PRINT", parts[1], parts[2], "%.10le"}, ":")
		}
		if args[i] == "--end" {
			at, err := strconv.ParseInt(arg, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			end = time.Unix(at, 0).UTC()
		}
		ask = append(ask, arg)
	}
	out := testenv.RRDTool(t, ask...)
	figures = make(map[string]float64)
	for i, m := range regexp.MustCompile(`(?m)^print\[\d+\] = "(.*)"$`).FindAllStringSubmatch(out, -1) {
		v, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		figures[keys[i]] = v
	}
	return figures, end
}

// edges says by how much the least and the greatest value of a range depend on where it begins and ends, to a step.
func edges(value func(time.Time) float64, r munin.Range, step time.Duration) (least, greatest float64) {
	extremes := func(from, to time.Time) (lo, hi float64) {
		lo, hi = math.Inf(1), math.Inf(-1)
		for at := from.Truncate(300 * time.Second); !at.After(to); at = at.Add(300 * time.Second) {
			if v := value(at); !math.IsNaN(v) {
				lo, hi = min(lo, v), max(hi, v)
			}
		}
		return lo, hi
	}
	innerLow, innerHigh := extremes(r.From.Add(step), r.To.Add(-step))
	outerLow, outerHigh := extremes(r.From.Add(-step), r.To.Add(step))
	return innerLow - outerLow, outerHigh - innerHigh
}

// TestAWeekAndAYearHaveTheFiguresOfMunin compares the legends of munin-graph's pictures of a week and a year, on 410 days of values in RRDs as
// munin-update makes them, with those of ours on the same values, rolled up into hours and days.
//
// Both stand for the same time but for one step at either end: rrdtool's are the time before their stamps, buckets of ours the time after
// them, and the newest one may not be whole. So an average of n steps can differ by 2/n of what the values range over; least and greatest are equal, unless
// they lie just there, see edges. Rollups keep seven digits. "Now" is not compared: Munin's is the average of the
// last half hour or day, ours the newest value.
func TestAWeekAndAYearHaveTheFiguresOfMunin(t *testing.T) {
	t.Parallel()
	_, err := os.Stat("/usr/share/munin/munin-graph")
	testenv.Need(t, "munin-graph", err == nil)
	g := &munin.ParseConfig("long", []byte(longGraph)).Graphs[0]
	to := time.Now().UTC().Truncate(300 * time.Second)
	from := to.Add(-410 * 24 * time.Hour)
	calls := drawnByMunin(t, g, from, to)

	rates := longValues()
	values := make(map[munin.SeriesID]func(time.Time) float64)
	sources := make([]munin.Source, 0, len(g.Fields))
	for i := range g.Fields {
		f := &g.Fields[i]
		source := g.Source("g;h", f, 300*time.Second)
		sources = append(sources, source)
		values[source.ID] = stored(f.Type, rates[f.Name])
	}
	dir := t.TempDir()
	if err := storagetest.Backfill(dir, values, munin.Range{From: from, To: to}, 300*time.Second); err != nil {
		t.Fatal(err)
	}
	store, err := storage.Open(dir, storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	done, err := store.RollUp(t.Context(), func(_ context.Context, id munin.SeriesID) (munin.Source, error) {
		for _, s := range sources {
			if s.ID == id {
				return s, nil
			}
		}
		return munin.Source{ID: id}, nil
	})
	if err != nil || done.Windows == 0 {
		t.Fatalf("rolled up: %+v, %v", done, err)
	}
	const spread = 100 // of each field
	compared := 0
	for _, c := range []struct {
		name         string
		length, step time.Duration
	}{{"long-week", 12000 * time.Minute, 30 * time.Minute}, {"long-year", 400 * 24 * time.Hour, 24 * time.Hour}} {
		want, end := muninFigures(t, calls[c.name])
		r := munin.Range{From: end.Add(-c.length), To: end}
		read, err := store.Query(t.Context(), sources, r, c.step)
		if err != nil {
			t.Fatal(err)
		}
		m := chart.New(chart.Request{Graph: g, Series: read, Range: r, Interval: 300 * time.Second, Now: to})
		few := 2 * spread / float64(c.length/c.step)
		for i := range m.Curves {
			curve := &m.Curves[i]
			factor, name := 1.0, curve.Field
			if name == "bits" {
				factor, name = 8, "cdefbits" // as Munin calls the values of a cdef
			}
			least, greatest := edges(rates[curve.Field], r, c.step)
			for _, f := range []struct {
				key            string
				got, tolerance float64
			}{{"AVERAGE g", curve.Figures.Average, few}, {"MIN i", curve.Figures.Min, least}, {"MAX a", curve.Figures.Max, greatest}} {
				w, ok := want[f.key+name]
				allowed := factor * (f.tolerance + 1e-4)
				if !ok || !(math.Abs(f.got-w) <= allowed) {
					t.Errorf("%s: %s%s is %v, want %v within %v (known: %v)", c.name, f.key, curve.Field, f.got, w, allowed, ok)
				}
				compared++
			}
		}
	}
	if compared != 2*4*3 {
		t.Errorf("%d figures were compared", compared)
	}
	t.Logf("%d figures of a week and a year are those of munin-graph's pictures", compared)
}
