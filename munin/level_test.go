package munin_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"corbie/munin"
)

func TestLevelsAreReadInMuninsGrammar(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		got, err := munin.ParseBounds(text)
		if err != nil || got.String() != want {
			t.Errorf("ParseBounds(%q) is %q, %v; want %q", text, got.String(), err, want)
		}
	}
	f("", "")
	f(":", "")
	f("92", ":92")
	f(":92", ":92")
	f("10:", "10:")
	f("10:92", "10:92")
	f("-5:-1", "-5:-1")
	f(" 1.5 : 2.5 ", "1.5:2.5")
	f("1e3", ":1000")
	f("+7", ":7")
	f("5:5", "5:5")
	f("0:", "0:")
}

func TestABadLevelIsRefused(t *testing.T) {
	for _, text := range []string{"x", "1:2:3", "5:1", "0x10", "nan", "inf", ":inf", "1,5", "50%", "1 2", "--1", "1_0", "1e999"} {
		if got, err := munin.ParseBounds(text); err == nil {
			t.Errorf("ParseBounds(%q) is %q", text, got)
		} else if !strings.Contains(err.Error(), "level") {
			t.Errorf("ParseBounds(%q) says %v", text, err)
		}
	}
}

func TestOnlyAValueBeyondABoundIsOutside(t *testing.T) {
	b := munin.Bounds{Low: 10, High: 20, HasLow: true, HasHigh: true}
	for v, want := range map[float64]bool{9.999: true, 10: false, 15: false, 20: false, 20.001: true, math.Inf(1): true, math.Inf(-1): true} {
		if b.Outside(v) != want {
			t.Errorf("%g is outside %s: %v", v, b, !want)
		}
	}
	if b.Outside(math.NaN()) || (munin.Bounds{}).Outside(1e300) {
		t.Error("an unknown value, or any value without bounds, is outside")
	}
}

func TestLevelsAndBoundsSurviveJSON(t *testing.T) {
	type pair struct {
		L munin.Level
		B munin.Bounds
		T munin.FieldType
	}
	for _, level := range []munin.Level{munin.OK, munin.Unknown, munin.Warning, munin.Critical} {
		in := pair{level, munin.Bounds{Low: .1, HasLow: true}, munin.Derive}
		text, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var out pair
		if err := json.Unmarshal(text, &out); err != nil || out != in {
			t.Errorf("%s became %+v, %v", text, out, err)
		}
	}
	var l munin.Level
	if err := json.Unmarshal([]byte(`"bad"`), &l); err == nil {
		t.Error("a level that does not exist was read")
	}
	if munin.Warning <= munin.Unknown || munin.Critical <= munin.Warning || munin.Unknown <= munin.OK {
		t.Error("the levels are not in the order of severity")
	}
}

func FuzzBoundsThatAreReadAreWrittenAlike(f *testing.F) {
	for _, seed := range []string{"", ":", "92", "1:2", ":1e5", "-1:", "0:0", " 5 ", "x", "-0:"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		b, err := munin.ParseBounds(text)
		if err != nil {
			return
		}
		again, err := munin.ParseBounds(b.String())
		if err != nil || again != b {
			t.Errorf("%q is %+v, written %q, read as %+v, %v", text, b, b.String(), again, err)
		}
	})
}
