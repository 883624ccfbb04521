package munin_test

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"corbie/internal/testenv"
	"corbie/munin"
)

// samples are raw values at steps of 300 s; NaN is unknown.
func samples(values ...float64) []munin.Point {
	out := make([]munin.Point, len(values))
	for i, v := range values {
		out[i] = munin.Point{T: int64(rrdStart+(i+1)*rrdStep) * 1000, V: v}
	}
	return out
}

func rateValues(source munin.Source, raw []munin.Point) []float64 {
	points := munin.Rates(source, raw)
	out := make([]float64, len(points))
	for i, p := range points {
		out[i] = p.V
	}
	return out
}

// fetch is what rrdtool makes of samples that lie on its steps.
func fetch(t *testing.T, tool string, source munin.Source, raw []munin.Point) []float64 {
	t.Helper()
	bound := func(v float64, has bool) string {
		if !has {
			return "U"
		}
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	file := filepath.Join(t.TempDir(), "r.rrd")
	run(t, tool, "create", file, "--start", strconv.Itoa(rrdStart), "--step", strconv.Itoa(rrdStep),
		"DS:v:"+source.Type.String()+":600:"+bound(source.Bounds.Low, source.Bounds.HasLow)+":"+bound(source.Bounds.High, source.Bounds.HasHigh),
		"RRA:AVERAGE:0.5:1:"+strconv.Itoa(len(raw)+10))
	args := []string{"update", file}
	for _, p := range raw {
		value := "U"
		if !math.IsNaN(p.V) {
			value = strconv.FormatFloat(p.V, 'f', -1, 64)
		}
		args = append(args, strconv.FormatInt(p.T/1000, 10)+":"+value)
	}
	run(t, tool, args...)
	text := run(t, tool, "fetch", file, "AVERAGE", "-s", strconv.Itoa(rrdStart), "-e", strconv.FormatInt(raw[len(raw)-1].T/1000, 10))
	byTime := make(map[int64]float64)
	for line := range strings.Lines(string(text)) {
		at, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if sec, err := strconv.ParseInt(at, 10, 64); ok && err == nil {
			v, err := strconv.ParseFloat(strings.TrimPrefix(value, "-"), 64)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(value, "-") {
				v = -v
			}
			byTime[sec*1000] = v
		}
	}
	out := make([]float64, len(raw))
	for i, p := range raw {
		v, ok := byTime[p.T]
		if !ok {
			t.Fatalf("rrdtool has nothing for %d:\n%s", p.T, text)
		}
		out[i] = v
	}
	return out
}

func TestRatesAreThoseOfRrdtool(t *testing.T) {
	tool := testenv.Program(t, "rrdtool")
	random := rand.New(rand.NewPCG(1, 2))
	var gauge, counter, derive, absolute []float64
	total, level := 0.0, 1e6 // rrdtool takes a change of sign for unknown
	for i := range 200 {
		if i%17 == 11 {
			for _, list := range []*[]float64{&gauge, &counter, &derive, &absolute} {
				*list = append(*list, math.NaN())
			}
			continue
		}
		total += float64(random.IntN(1_000_000))
		level += float64(random.IntN(2000) - 1000)
		gauge = append(gauge, math.Round(random.NormFloat64()*1e6)/1e3)
		counter = append(counter, total)
		derive = append(derive, level)
		absolute = append(absolute, float64(random.IntN(100_000)))
	}
	low, both := munin.Bounds{HasLow: true}, munin.Bounds{Low: 0, High: 1500, HasLow: true, HasHigh: true}
	for _, c := range []struct {
		name   string
		kind   munin.FieldType
		bounds munin.Bounds
		raw    []float64
	}{
		{"gauge", munin.Gauge, munin.Bounds{}, gauge},
		{"gauge from 0", munin.Gauge, low, gauge},
		{"gauge from 0 to 1500", munin.Gauge, both, gauge},
		{"counter", munin.Counter, munin.Bounds{}, counter},
		{"counter up to 1500", munin.Counter, both, counter},
		{"derive", munin.Derive, munin.Bounds{}, derive},
		{"derive from 0", munin.Derive, low, derive},
		{"absolute", munin.Absolute, munin.Bounds{}, absolute},
		{"absolute up to 300", munin.Absolute, munin.Bounds{High: 300, HasHigh: true}, absolute},
	} {
		source := munin.Source{Type: c.kind, Bounds: c.bounds, Heartbeat: 600 * time.Second}
		raw := samples(c.raw...)
		got, want := rateValues(source, raw), fetch(t, tool, source, raw)
		if c.kind == munin.Absolute {
			// rrdtool knows when the file was made and so has a rate at once; a first sample alone says nothing.
			got, want = got[1:], want[1:]
		}
		if !sameAs(got, want) {
			t.Errorf("%s\n gives %v\n want  %v", c.name, got, want)
		}
	}
}

func TestACounterThatFallsHasWrappedOnlyWithinItsMax(t *testing.T) {
	const step = 300
	f := func(name string, kind munin.FieldType, bounds munin.Bounds, from, to, want float64) {
		t.Helper()
		got := rateValues(munin.Source{Type: kind, Bounds: bounds}, samples(from, to))[1]
		if got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
			t.Errorf("%s: the rate is %g, want %g", name, got, want)
		}
	}
	most := munin.Bounds{High: 1e6, HasHigh: true}
	f("32 bits", munin.Counter, most, 1<<32-300, 300, 600./step)
	f("64 bits", munin.Counter, most, 1<<64-1<<20, 1<<20, (1<<21)/300.)
	f("a reset", munin.Counter, most, 1e9, 5, math.NaN())
	f("no max to judge by", munin.Counter, munin.Bounds{}, 1<<32-300, 300, math.NaN())
	f("beyond the max", munin.Counter, munin.Bounds{High: 1, HasHigh: true}, 1<<32-300, 300, math.NaN())
	f("a fractional counter never wraps", munin.DCounter, most, 1<<32-300, 300, math.NaN())
	f("a fractional counter", munin.DCounter, most, .5, 150.5, .5)
	f("a derive falls", munin.Derive, munin.Bounds{}, 600, 0, -2)
	f("a derive with min 0 is unknown when it falls", munin.Derive, munin.Bounds{HasLow: true}, 600, 0, math.NaN())
	f("no change", munin.Counter, munin.Bounds{}, 5, 5, 0)
}

func TestARateNeedsTwoSamplesNearEnoughAndInOrder(t *testing.T) {
	source := munin.Source{Type: munin.Derive, Heartbeat: 600 * time.Second}
	r := munin.NewRater(source)
	at := func(sec int64, v float64) float64 { return r.Next(munin.Point{T: sec * 1000, V: v}) }
	if v := at(1000, 10); !math.IsNaN(v) {
		t.Errorf("the first sample gives %g", v)
	}
	if v := at(1300, 310); v != 1 {
		t.Errorf("the second gives %g, want 1", v)
	}
	if v := at(1300, 999); !math.IsNaN(v) {
		t.Errorf("a second value for the same instant gives %g", v)
	}
	if v := at(1200, 0); !math.IsNaN(v) {
		t.Errorf("an older sample gives %g", v)
	}
	if v := at(1600, 610); v != 1 {
		t.Errorf("after samples that were out of order it gives %g, want 1", v)
	}
	if v := at(2201, 5000); !math.IsNaN(v) {
		t.Errorf("after a gap longer than the heartbeat it gives %g", v)
	}
	if v := at(2801, 5600); v != 1 {
		t.Errorf("a gap of just the heartbeat gives %g, want 1", v)
	}
	if v := at(3101, math.NaN()); !math.IsNaN(v) {
		t.Errorf("unknown gives %g", v)
	}
	if v := at(3401, 6200); !math.IsNaN(v) {
		t.Errorf("after unknown it gives %g", v)
	}
	gauge := rateValues(munin.Source{Type: munin.Gauge, Bounds: munin.Bounds{High: 100, HasHigh: true}}, samples(100, 100.1, math.Inf(-1), -5))
	if gauge[0] != 100 || !math.IsNaN(gauge[1]) || !math.IsNaN(gauge[2]) || gauge[3] != -5 {
		t.Errorf("a gauge up to 100 gives %v", gauge)
	}
}
