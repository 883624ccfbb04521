package munin_test

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
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

// fetch is what rrdtool makes of samples that lie on its steps, at the time of each of them.
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
		"DS:v:"+source.Type.String()+":"+strconv.Itoa(int(source.Heartbeat.Seconds()))+":"+bound(source.Bounds.Low, source.Bounds.HasLow)+":"+bound(source.Bounds.High, source.Bounds.HasHigh),
		"RRA:AVERAGE:0.5:1:"+strconv.Itoa(2*len(raw)+10))
	args := []string{"update", file}
	for _, p := range raw {
		value := "U"
		if !math.IsNaN(p.V) {
			digits := -1
			if p.V == math.Trunc(p.V) {
				digits = 0 // the shortest text of a double near 2^64 is another integer
			}
			value = strconv.FormatFloat(p.V, 'f', digits, 64)
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

// thinned leaves samples out: of each 13 one, then two, then three in a row.
func thinned(raw []munin.Point) []munin.Point {
	var out []munin.Point
	for i, p := range raw {
		if k := i % 13; k != 2 && k != 5 && k != 6 && k < 9 || k == 12 {
			out = append(out, p)
		}
	}
	return out
}

// equalButWhereSaid puts what rrdtool says in place of our values where we mean to differ from it, and fails where we do not differ.
func equalButWhereSaid(t *testing.T, source munin.Source, raw []munin.Point, got, want []float64) bool {
	t.Helper()
	adopt := func(i int, why string) {
		if !math.IsNaN(got[i]) && !math.IsNaN(want[i]) {
			t.Errorf("sample %d: %s should be unknown to one side, not %g and %g", i, why, got[i], want[i])
		}
		got[i] = want[i]
	}
	if source.Type == munin.Absolute {
		adopt(0, "rrdtool knows when the file was made and so has a rate at once; a first sample alone says nothing")
	}
	for i := 1; i < len(raw); i++ {
		late := raw[i].T-raw[i-1].T > source.Heartbeat.Milliseconds()
		if late && source.Type == munin.Gauge {
			adopt(i, "a gauge after a gap longer than the heartbeat")
		}
		if fall := raw[i-1].V - raw[i].V; source.Type == munin.Counter && !late && fall > 0 {
			seconds := float64(raw[i].T-raw[i-1].T) / 1000
			switch {
			case !source.Bounds.HasHigh:
				adopt(i, "a counter without max that falls")
			case fall < 1<<32:
				want[i] += 1 / seconds // rrdtool adds 2^32 - 1
			case math.Abs(got[i]-want[i]) < 4097/seconds:
				want[i] = got[i] // rrdtool reads the difference to 52 bits only
			}
		}
	}
	return sameAs(got, want)
}

// rawOfRates are 200 samples for each type, some of them unknown.
func rawOfRates() map[string][]float64 {
	random := rand.New(rand.NewPCG(1, 2))
	raw := make(map[string][]float64)
	total, level := 0.0, 1e6 // rrdtool takes a change of sign of a DERIVE for unknown
	ticks, sway := 0.0, 0.0
	wraps32, wraps64 := 0.0, 1<<64-100*(1<<28)*1.0
	for i := range 200 {
		total += float64(random.IntN(1_000_000))
		level += float64(random.IntN(2000) - 1000)
		ticks += random.Float64() * 1000
		sway += random.NormFloat64() * 1000
		wraps32 = math.Mod(wraps32+float64(random.IntN(300_000_000)), 1<<32)
		wraps64 += (1 << 28) // of doubles near 2^64 there is one in 4096 integers
		if wraps64 >= 1<<64 {
			wraps64 -= 1 << 64
		}
		if i%50 == 41 { // a reboot
			total, ticks, wraps32 = 17, .25, 17
		}
		for name, v := range map[string]float64{
			"gauge": math.Round(random.NormFloat64()*1e6) / 1e3, "counter": total, "derive": level, "absolute": float64(random.IntN(100_000)),
			"dcounter": ticks, "dderive": sway, "wraps at 32 bits": wraps32, "wraps at 64 bits": wraps64,
		} {
			if i%17 == 11 {
				v = math.NaN()
			}
			raw[name] = append(raw[name], v)
		}
	}
	return raw
}

func TestRatesAreThoseOfRrdtool(t *testing.T) {
	tool := testenv.Program(t, "rrdtool")
	low, both := munin.Bounds{HasLow: true}, munin.Bounds{Low: 0, High: 1500, HasLow: true, HasHigh: true}
	upTo := func(most float64) munin.Bounds { return munin.Bounds{High: most, HasHigh: true} }
	list := rawOfRates()
	for _, c := range []struct {
		raw    string
		kind   munin.FieldType
		bounds munin.Bounds
	}{
		{"gauge", munin.Gauge, munin.Bounds{}},
		{"gauge", munin.Gauge, low},
		{"gauge", munin.Gauge, both},
		{"counter", munin.Counter, munin.Bounds{}},
		{"counter", munin.Counter, both},
		{"wraps at 32 bits", munin.Counter, munin.Bounds{}},
		{"wraps at 32 bits", munin.Counter, upTo(1e6)},
		{"wraps at 32 bits", munin.Counter, munin.Bounds{Low: 1e5, High: 5e5, HasLow: true, HasHigh: true}},
		{"wraps at 64 bits", munin.Counter, upTo(1e6)},
		{"derive", munin.Derive, munin.Bounds{}},
		{"derive", munin.Derive, low},
		{"derive", munin.Derive, munin.Bounds{Low: -2, High: 1, HasLow: true, HasHigh: true}},
		{"wraps at 32 bits", munin.Derive, low},
		{"absolute", munin.Absolute, munin.Bounds{}},
		{"absolute", munin.Absolute, upTo(300)},
		{"dcounter", munin.DCounter, munin.Bounds{}},
		{"dcounter", munin.DCounter, munin.Bounds{Low: .5, High: 2.5, HasLow: true, HasHigh: true}},
		{"dcounter", munin.DDerive, low},
		{"wraps at 32 bits", munin.DCounter, upTo(1e6)}, // a fractional counter never wraps
		{"dderive", munin.DDerive, munin.Bounds{}},
		{"dderive", munin.DDerive, low},
		{"dderive", munin.DDerive, munin.Bounds{Low: -2.5, High: 1.5, HasLow: true, HasHigh: true}},
	} {
		whole := samples(list[c.raw]...)
		for _, heartbeat := range []time.Duration{300 * time.Second, 600 * time.Second, 900 * time.Second} {
			source := munin.Source{Type: c.kind, Bounds: c.bounds, Heartbeat: heartbeat}
			for name, raw := range map[string][]munin.Point{"whole": whole, "with gaps": thinned(whole)} {
				got, want := rateValues(source, raw), fetch(t, tool, source, raw)
				known := slices.IndexFunc(want, func(v float64) bool { return !math.IsNaN(v) }) >= 0
				if !equalButWhereSaid(t, source, raw, got, want) || !known {
					t.Errorf("%s as %s in %+v, heartbeat %s, %s\n gives %v\n want  %v", c.raw, c.kind, c.bounds, heartbeat, name, got, want)
				}
			}
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
