package munindb_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"corbie/internal/testenv"
	"corbie/munin"
	"corbie/storage/munindb"
)

// muninRRD makes a file as munin-update does, with some weeks of updates.
func muninRRD(t *testing.T, kind munin.FieldType, step int, archives []string) (path string, last int64) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "x.rrd")
	rng := rand.New(rand.NewPCG(uint64(kind), 1))
	start := int64(1_700_000_000)
	args := []string{"create", path, "--start", strconv.FormatInt(start, 10), "--step", strconv.Itoa(step), fmt.Sprintf("DS:42:%s:%d:0:U", kind, 2*step)}
	for _, a := range archives {
		for _, function := range []string{"AVERAGE", "MIN", "MAX"} {
			args = append(args, "RRA:"+function+":0.5:"+a)
		}
	}
	testenv.RRDTool(t, args...)
	v := 0.0
	var updates []string
	for n := range 6000 {
		start += int64(step - 3 + rng.IntN(6))
		if n%700 > 650 {
			continue
		}
		v += float64(rng.IntN(100_000))
		value := v
		if kind == munin.Gauge || kind == munin.Absolute {
			value = float64(rng.IntN(1_000_000)) / 7
		}
		text := strconv.FormatFloat(value, 'f', 3, 64)
		if kind != munin.Gauge {
			text = strconv.FormatFloat(value, 'f', 0, 64)
		}
		updates = append(updates, strconv.FormatInt(start, 10)+":"+text)
		if len(updates) == 1000 {
			testenv.RRDTool(t, append([]string{"update", path}, updates...)...)
			updates = nil
		}
	}
	testenv.RRDTool(t, append([]string{"update", path}, updates...)...)
	return path, start
}

func TestEveryRowIsWhatRrdtoolFetches(t *testing.T) {
	normal := []string{"1:576", "6:432", "24:540", "288:450"}
	for _, c := range []struct {
		kind     munin.FieldType
		step     int
		archives []string
	}{
		{munin.Gauge, 300, normal},
		{munin.Counter, 300, normal},
		{munin.Derive, 300, []string{"1:115200"}},
		{munin.Absolute, 300, normal},
		{munin.Derive, 10, []string{"1:396", "6:132", "60:158"}},
	} {
		path, last := muninRRD(t, c.kind, c.step, c.archives)
		got, err := munindb.ReadRRD(path)
		if err != nil {
			t.Fatal(err)
		}
		if got.Type != c.kind || got.Step != time.Duration(c.step)*time.Second || got.Last.Unix() != last || len(got.Archives) != len(c.archives) ||
			!got.Bounds.HasLow || got.Bounds.HasHigh || got.Heartbeat != 2*got.Step {
			t.Fatalf("%s: %+v", c.kind, got)
		}
		rows := 0
		for i := range got.Archives {
			a := &got.Archives[i]
			span, ok := a.Span()
			if !ok {
				t.Fatalf("%s %s: no rows", c.kind, a.Size)
			}
			from, to := span.From/1000, span.To/1000-int64(a.Size.Seconds())
			avg := testenv.RRDFetch(t, path, "AVERAGE", a.Size, from, to)
			least, most := testenv.RRDFetch(t, path, "MIN", a.Size, from, to), testenv.RRDFetch(t, path, "MAX", a.Size, from, to)
			if len(avg) != len(a.Buckets) {
				t.Errorf("%s %s: %d rows, rrdtool has %d", c.kind, a.Size, len(a.Buckets), len(avg))
			}
			for _, b := range a.Buckets {
				end := b.Start/1000 + int64(a.Size.Seconds())
				if !near(b.Avg, avg[end]) || !near(b.Min, least[end]) || !near(b.Max, most[end]) {
					t.Fatalf("%s %s: row %d is %+v, rrdtool says %v %v %v", c.kind, a.Size, end, b, avg[end], least[end], most[end])
				}
				rows++
			}
		}
		if rows < 500 {
			t.Errorf("%s: only %d rows were compared", c.kind, rows)
		}
	}
}

// near allows for the digits that rrdtool prints.
func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(1, math.Abs(a)) }

func TestADatafileGivesHostsGraphsAndWhereTheirHistoryIs(t *testing.T) {
	hosts, err := munindb.ParseDatafile(strings.NewReader(`version 2.0.73
web;eu;www1:load.graph_title Load average
web;eu;www1:load.load.label load
web;eu;www1:load.load.warning 10
web;eu;www1:diskstats_iops.sda.graph_title IOs of sda
web;eu;www1:diskstats_iops.sda.graph_category disk
web;eu;www1:diskstats_iops.sda.graph_order wrio rdio
web;eu;www1:diskstats_iops.sda.rdio.label Read
web;eu;www1:diskstats_iops.sda.rdio.type DERIVE
web;eu;www1:diskstats_iops.sda.wrio.label Write
web;eu;www1:diskstats_iops.sda.wrio.graph no
web;eu;www1:use_node_name yes
alone:if_eth0.down.label received
alone:if_eth0.down.type COUNTER
nothing here
`))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, h := range hosts {
		for _, g := range h.Graphs {
			for i := range g.Fields {
				path, ok := munindb.RRDPath(h.ID, g.Name, &g.Fields[i])
				fmt.Fprintln(&b, h.ID, g.Plugin, g.Category, g.Name, g.Title, g.Fields[i].Name, g.Fields[i].Label, path, ok)
			}
		}
	}
	want := `alone if_eth0 other if_eth0  down received alone-if_eth0-down-c.rrd true
web;eu;www1 diskstats_iops disk diskstats_iops.sda IOs of sda wrio Write web/eu/www1-diskstats_iops-sda-wrio-g.rrd true
web;eu;www1 diskstats_iops disk diskstats_iops.sda IOs of sda rdio Read web/eu/www1-diskstats_iops-sda-rdio-d.rrd true
web;eu;www1 load other load Load average load load web/eu/www1-load-load-g.rrd true
`
	if b.String() != want {
		t.Errorf("got\n%s want\n%s", b.String(), want)
	}
	if path, ok := munindb.RRDPath("..;..;etc", "g", &munin.Field{Name: "f"}); ok {
		t.Errorf("%s leads out of the folder", path)
	}
}

func FuzzRRD(f *testing.F) {
	f.Add([]byte("RRD\x000003\x00"))
	for _, seed := range []string{"gauge.rrd"} {
		text, err := os.ReadFile(filepath.Join("testdata", seed))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := munindb.ParseRRD(text)
		if err != nil {
			return
		}
		for _, a := range r.Archives {
			for i, b := range a.Buckets {
				if math.IsNaN(b.Avg) || i > 0 && b.Start <= a.Buckets[i-1].Start {
					t.Fatalf("bucket %d is %+v after %+v", i, b, a.Buckets[max(i-1, 0)])
				}
			}
		}
	})
}

func FuzzDatafile(f *testing.F) {
	f.Add("g;h:load.load.label load\ng;h:load.graph_title x\n")
	f.Add(":::..label x\n\n;;:a.b.c d\n")
	f.Fuzz(func(t *testing.T, text string) {
		hosts, err := munindb.ParseDatafile(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, h := range hosts {
			for _, g := range h.Graphs {
				for i := range g.Fields {
					if path, ok := munindb.RRDPath(h.ID, g.Name, &g.Fields[i]); ok && !filepath.IsLocal(path) {
						t.Errorf("%q leads out of the folder", path)
					}
				}
			}
		}
	})
}
