package munin_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"corbie/munin"
)

var update = flag.Bool("update", false, "rewrite the expected outputs")

// describe is a reply as text for a golden file.
func describe(t *testing.T, r munin.Reply) string {
	t.Helper()
	var b strings.Builder
	for i := range r.Graphs {
		text, err := json.MarshalIndent(&r.Graphs[i], "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s\n", text)
	}
	for _, s := range r.Samples {
		at := "-"
		if !s.At.IsZero() {
			at = s.At.Format(time.RFC3339)
		}
		fmt.Fprintf(&b, "sample %s %s %s %s\n", s.Graph, s.Field, at, strconv.FormatFloat(s.Value, 'g', -1, 64))
	}
	for _, f := range r.Faults {
		fmt.Fprintf(&b, "fault %s\n", f)
	}
	if r.Dirty {
		b.WriteString("dirty\n")
	}
	return b.String()
}

func TestRepliesAreTakenApartAsExpected(t *testing.T) {
	inputs, err := filepath.Glob("testdata/reply/*.in")
	if err != nil || len(inputs) < 6 {
		t.Fatalf("%d inputs, %v", len(inputs), err)
	}
	for _, input := range inputs {
		body, err := os.ReadFile(input)
		if err != nil {
			t.Fatal(err)
		}
		// "fetch-cpu-rest.in" is a fetch reply of plugin cpu.
		verb, rest, _ := strings.Cut(strings.TrimSuffix(filepath.Base(input), ".in"), "-")
		plugin, _, _ := strings.Cut(rest, "-")
		parse := munin.ParseFetch
		if verb == "config" {
			parse = munin.ParseConfig
		}
		got := describe(t, parse(plugin, body))
		golden := strings.TrimSuffix(input, ".in") + ".golden"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s gives\n%s", input, got)
		}
	}
}

func TestValuesAreReadAsTheMasterOfMuninReadsThem(t *testing.T) {
	f := func(token string, want float64) {
		t.Helper()
		r := munin.ParseFetch("p", []byte("v.value "+token+"\n"))
		if len(r.Samples) != 1 || len(r.Faults) != 0 {
			t.Errorf("%q gives %v, %v", token, r.Samples, r.Faults)
			return
		}
		if got := r.Samples[0].Value; got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
			t.Errorf("%q is %g, want %g", token, got, want)
		}
	}
	f("8   trailing words", 8)
	f("U", math.NaN())
	f("u", math.NaN())
	f("NaN", math.NaN())
	f("-nan", math.NaN())
	f("inf", math.Inf(1))
	f("-Inf", math.Inf(-1))
	f("+7", 7)
	f("-2.5E-05", -2.5e-5)
	f("1.5e3", 1500)
	f("1e999", math.Inf(1))
	f("18446744073709551615", 1<<64)
	f(".5", .5)
	f("1479720000:3", 3)
	f("N:4", 4)
	f("1479720000:U", math.NaN())
}

func TestWhatIsNoNumberIsAFaultThatSaysHowToMendIt(t *testing.T) {
	f := func(line, want string) {
		t.Helper()
		r := munin.ParseFetch("p", []byte("good.value 1\n"+line+"\nalso.value 2\n"))
		if len(r.Samples) != 2 {
			t.Errorf("%q leaves the samples %v", line, r.Samples)
		}
		if len(r.Faults) != 1 || !strings.Contains(r.Faults[0].Reason, want) || r.Faults[0].Line != 2 || r.Faults[0].Plugin != "p" {
			t.Errorf("%q gives the faults %v, want %q", line, r.Faults, want)
		}
	}
	f("v.value 42,34", "use a point, not a comma")
	f("v.value 0x1F", "not a decimal number")
	f("v.value 1_000", "not a decimal number")
	f("v.value", "print \"v.value U\"")
	f("v.value  ", "print \"v.value U\"")
	f("v.value abc", "not a number")
	f("v.value 12:", "there is no number")
	f("v.value yesterday:5", "not a time in seconds")
	f("v.value -5:5", "not a time in seconds")
	f("v.value 99999999999999999999:5", "not a time in seconds")
	f("v.value "+strings.Repeat("1", 500), "too long")
	f(".value 5", "want \"field.attribute value\"")
	f("v. 5", "want \"field.attribute value\"")
	f("rubbish", "want \"field.value number\"")
	f("multigraph multigraph\nx.value 5\nmultigraph p", "cannot be named multigraph")
	f("# Timed out", "did not end in time")
	f("# Bad exit", "failed on the node")
	f("# Unknown service", "does not know this plugin")
	f("v.value 5 "+strings.Repeat("x", munin.MaxLineBytes), "longer than")
}

func TestNamesAreSanitisedAsMuninDoes(t *testing.T) {
	for in, want := range map[string]string{"9x-y": "_x_y", "a.b": "a_b", "abc": "abc", "": "", "é": "__", "a9": "a9", "_": "_", "-": "_"} {
		if got := munin.SanitiseField(in); got != want {
			t.Errorf("the field %q becomes %q, want %q", in, got, want)
		}
	}
	if got := munin.SanitisePlugin("9if-eth0.100"); got != "9if_eth0_100" {
		t.Errorf("the plugin becomes %q", got)
	}
}

func TestNamesOnTheWireAreChecked(t *testing.T) {
	for name, want := range map[string]bool{
		"disk.sda": true, "a.b.c-d:e_9": true, "": false, "multigraph": false, ".a": false, "a.": false, "a..b": false, "a/b": false, "a b": false,
		strings.Repeat("x", munin.MaxNameBytes): true, strings.Repeat("x", munin.MaxNameBytes+1): false,
	} {
		if got := munin.ValidateGraphName(name) == nil; got != want {
			t.Errorf("the graph name %.20q is valid: %v", name, got)
		}
	}
	for name, want := range map[string]bool{
		"if_eth0.100": true, "a@b:c-d": true, "": false, ".hidden": false, "../x": false, "a\n": false, "a;b": false, "é": false,
	} {
		if got := munin.ValidatePluginName(name) == nil; got != want {
			t.Errorf("the plugin name %q is valid: %v", name, got)
		}
	}
}

func TestTextIsMadeFitToBeShown(t *testing.T) {
	for in, want := range map[string]string{
		" a\tb ": "a b", "caf\xe9": "café", "a\x00\x1b[31mb\u0085": "a[31mb", "日本": "日本", "\ufffd": "", "\u200bx": "\u200bx",
	} {
		if got := munin.CleanText(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func TestOneReplyCannotHoldMoreThanItsLimits(t *testing.T) {
	var b strings.Builder
	for i := range munin.MaxFields + 10 {
		fmt.Fprintf(&b, "f%d.label x\n", i)
	}
	r := munin.ParseConfig("p", []byte(b.String()))
	if len(r.Graphs) != 1 || len(r.Graphs[0].Fields) != munin.MaxFields || len(r.Faults) != 10 {
		t.Errorf("%d graphs, %d faults", len(r.Graphs), len(r.Faults))
	}
	b.Reset()
	for i := range munin.MaxGraphs + 10 {
		fmt.Fprintf(&b, "multigraph g%d\ngraph_title x\n", i)
	}
	if r = munin.ParseConfig("p", []byte(b.String())); len(r.Graphs) != munin.MaxGraphs {
		t.Errorf("%d graphs", len(r.Graphs))
	}
	r = munin.ParseFetch("p", []byte(strings.Repeat("rubbish\n", 1000)))
	if len(r.Faults) != munin.MaxFaults || r.Faults[munin.MaxFaults-1].Reason != "951 more lines could not be used" {
		t.Errorf("%d faults, the last is %v", len(r.Faults), r.Faults[len(r.Faults)-1])
	}
	r = munin.ParseFetch("p", []byte(strings.Repeat("v.value 1\n", munin.MaxSamples+5)))
	if len(r.Samples) != munin.MaxSamples || len(r.Faults) != 5 {
		t.Errorf("%d samples, %d faults", len(r.Samples), len(r.Faults))
	}
	long := strings.Repeat("x", munin.MaxValueBytes+1)
	name := strings.Repeat("n", munin.MaxNameBytes+1)
	r = munin.ParseConfig("p", []byte("graph_info "+long+"\nf.label "+long+"\n"+name+".label x\n"+name+".value 1\n"+name+" x\nf."+name+" x\n"))
	if len(r.Faults) != 6 || len(r.Samples) != 0 || len(r.Graphs[0].Fields) != 0 {
		t.Errorf("%d fields, faults %v", len(r.Graphs[0].Fields), r.Faults)
	}
}

func TestDrawsAndTypesAreReadInAnyCaseAndWrittenBack(t *testing.T) {
	for in, want := range map[string]string{
		"line1": "LINE1", "LINE": "LINE1", "LINE2.5": "LINE2.5", "area": "AREA", "STACK": "STACK", "AreaStack": "AREASTACK", "LINESTACK2": "LINESTACK2",
	} {
		if d, err := munin.ParseDraw(in); err != nil || d.String() != want {
			t.Errorf("the draw %q is %s, %v", in, d, err)
		}
	}
	for _, bad := range []string{"", "LINE0", "LINE99", "LINEx", "BAR", "AREA2", "LINENaN", "LINEinf"} {
		if d, err := munin.ParseDraw(bad); err == nil || d.String() != "LINE1" {
			t.Errorf("the draw %q is %s, %v", bad, d, err)
		}
	}
	for kind := munin.Gauge; kind <= munin.DDerive; kind++ {
		if got, err := munin.ParseFieldType(strings.ToLower(kind.String())); err != nil || got != kind {
			t.Errorf("%s is read as %s, %v", kind, got, err)
		}
	}
	if _, err := munin.ParseFieldType("COUNT"); err == nil {
		t.Error("the type COUNT was taken")
	}
}

func TestAGraphKnowsItsBaseUnitAndStep(t *testing.T) {
	graph := func(config string) munin.Graph {
		t.Helper()
		r := munin.ParseConfig("p", []byte(config))
		if len(r.Graphs) != 1 {
			t.Fatalf("%q gives %d graphs", config, len(r.Graphs))
		}
		return r.Graphs[0]
	}
	for args, want := range map[string]int{
		"--base 1024 -l 0": 1024, "--base=1024": 1024, "-b 1024": 1024, "--base 1000": 1000, "-l 0": 1000, "--base": 1000, "-l 1024": 1000,
	} {
		g := graph("graph_args " + args + "\n")
		if g.Base() != want {
			t.Errorf("%q has the base %d, want %d", args, g.Base(), want)
		}
	}
	g := graph("graph_title Packets per ${graph_period}\ngraph_vlabel p/${graph_period}\ngraph_period minute\nupdate_rate 60 aligned\na.label per ${graph_period}\n")
	if g.Title != "Packets per minute" || g.Unit() != "p/minute" || g.PeriodFactor() != 60 || g.Fields[0].Label != "per minute" {
		t.Errorf("%+v", g)
	}
	if g.Step(10*time.Second) != time.Minute || g.Step(5*time.Minute) != 5*time.Minute {
		t.Errorf("the steps are %s and %s", g.Step(10*time.Second), g.Step(5*time.Minute))
	}
	s := g.Source("h", &g.Fields[0], 5*time.Minute)
	if s.Heartbeat != 630*time.Second || s.ID.String() != "h:p.a" {
		t.Errorf("the source is %+v", s)
	}
	for rate, want := range map[string]time.Duration{"300": 5 * time.Minute, "5m": 5 * time.Minute, "1h": time.Hour, "1d": 24 * time.Hour, "0": 0, "x": 0, "-5": 0} {
		if g := graph("graph_title x\nupdate_rate " + rate + "\n"); g.UpdateRate != want {
			t.Errorf("update_rate %s is %s, want %s", rate, g.UpdateRate, want)
		}
	}
}

func TestAHostPathIsItsGroupAndName(t *testing.T) {
	id := munin.NewHostID("web;eu", "www1.example.com")
	if id.Group() != "web;eu" || id.Name() != "www1.example.com" || munin.NewHostID("", "h") != "h" || munin.HostID("h").Group() != "" {
		t.Errorf("%q: group %q, name %q", id, id.Group(), id.Name())
	}
}

// roundTrip writes the graph of a reply and reads it again.
func roundTrip(plugin string, g *munin.Graph) munin.Reply {
	text := []byte("multigraph " + g.Name + "\n")
	return munin.ParseConfig(plugin, munin.AppendConfig(text, g))
}

func TestAGraphThatIsWrittenReadsTheSame(t *testing.T) {
	inputs, err := filepath.Glob("testdata/reply/config-*.in")
	if err != nil {
		t.Fatal(err)
	}
	for _, input := range inputs {
		body, err := os.ReadFile(input)
		if err != nil {
			t.Fatal(err)
		}
		r := munin.ParseConfig("p", body)
		for i := range r.Graphs {
			again := roundTrip("p", &r.Graphs[i])
			if len(again.Faults) != 0 || len(again.Graphs) != 1 || !reflect.DeepEqual(again.Graphs[0], r.Graphs[i]) {
				t.Errorf("%s: %s\n  was %+v\n now %+v\n%v", input, r.Graphs[i].Name, r.Graphs[i], again.Graphs, again.Faults)
			}
		}
	}
	for _, v := range []float64{0, -1.5, 1e300, 5e-324, math.NaN(), math.Inf(1), math.Inf(-1), 1 << 62} {
		at := time.Unix(1479720000, 0).UTC()
		r := munin.ParseFetch("p", munin.AppendValue(nil, "f", at, v))
		if len(r.Samples) != 1 || !r.Samples[0].At.Equal(at) || r.Samples[0].Value != v && !math.IsNaN(v) {
			t.Errorf("%g became %+v, %v", v, r.Samples, r.Faults)
		}
	}
}

func seeds(f *testing.F, pattern string) {
	f.Helper()
	inputs, err := filepath.Glob("testdata/reply/" + pattern)
	if err != nil || len(inputs) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, input := range inputs {
		body, err := os.ReadFile(input)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
}

// clean says whether a text may be shown as it is.
func clean(text string) bool {
	return utf8.ValidString(text) && strings.IndexFunc(text, unicode.IsControl) < 0 && len(text) <= 2*munin.MaxValueBytes
}

func FuzzAConfigIsCleanAndReadsTheSameWhenWritten(f *testing.F) {
	seeds(f, "config-*.in")
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > 4000 {
			return
		}
		r := munin.ParseConfig("p", body)
		for i := range r.Graphs {
			g := &r.Graphs[i]
			texts := []string{g.Title, g.VLabel, g.Category, g.Info, g.Args, g.NodeName}
			for k, v := range g.Extra {
				texts = append(texts, k, v)
			}
			for j := range g.Fields {
				fl := &g.Fields[j]
				if fl.Name != munin.SanitiseField(fl.Name) {
					t.Errorf("the field name %q", fl.Name)
				}
				texts = append(texts, fl.Label, fl.Info, fl.ExtInfo, fl.CDEF, fl.Colour, fl.Negative, fl.Line)
				for k, v := range fl.Extra {
					texts = append(texts, k, v)
				}
			}
			for _, text := range texts {
				if !clean(text) {
					t.Errorf("the text %q was kept", text)
				}
			}
			again := roundTrip("p", g)
			if len(again.Graphs) != 1 || !reflect.DeepEqual(again.Graphs[0], *g) {
				t.Errorf("was %+v\nnow %+v\nfaults %v", *g, again.Graphs, again.Faults)
			}
		}
		for _, fault := range r.Faults {
			if !clean(fault.String()) {
				t.Errorf("the fault %q", fault)
			}
		}
	})
}

func FuzzAFetchNeverPanicsAndKeepsItsLimits(f *testing.F) {
	seeds(f, "fetch-*.in")
	f.Fuzz(func(t *testing.T, body []byte) {
		r := munin.ParseFetch("p", body)
		if len(r.Samples) > munin.MaxSamples || len(r.Faults) > munin.MaxFaults || len(r.Graphs) > 0 {
			t.Errorf("%d samples, %d faults, %d graphs", len(r.Samples), len(r.Faults), len(r.Graphs))
		}
		for _, s := range r.Samples {
			if s.Field != munin.SanitiseField(s.Field) || s.Field == "" || s.Graph == "" || len(s.Field) > munin.MaxNameBytes {
				t.Errorf("the sample %+v", s)
			}
		}
	})
}
