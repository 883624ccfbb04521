package munin_test

import (
	"bytes"
	"encoding/xml"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"corbie/internal/testenv"
	"corbie/munin"
)

func run(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(name), strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return out
}

const (
	rrdStart = 999_999_900 // a multiple of 300
	rrdStep  = 300
)

// dataset is a small RRD of aligned gauges and the same values in memory.
type dataset struct {
	tool, file string
	values     map[string][]float64
	steps      int
}

func newDataset(t *testing.T, values map[string][]float64) dataset {
	t.Helper()
	d := dataset{tool: testenv.Program(t, "rrdtool"), file: filepath.Join(t.TempDir(), "d.rrd"), values: values}
	names := make([]string, 0, len(values))
	for name, v := range values {
		names = append(names, name)
		d.steps = len(v)
	}
	slices.Sort(names)
	args := []string{"create", d.file, "--start", strconv.Itoa(rrdStart), "--step", strconv.Itoa(rrdStep)}
	for _, name := range names {
		args = append(args, "DS:"+name+":GAUGE:600:U:U")
	}
	run(t, d.tool, append(args, "RRA:AVERAGE:0.5:1:"+strconv.Itoa(d.steps+10))...)
	args = []string{"update", d.file}
	for i := range d.steps {
		line := strconv.Itoa(rrdStart + (i+1)*rrdStep)
		for _, name := range names {
			v := values[name][i]
			if math.IsNaN(v) {
				line += ":U"
			} else {
				line += ":" + strconv.FormatFloat(v, 'f', -1, 64)
			}
		}
		args = append(args, line)
	}
	run(t, d.tool, args...)
	return d
}

// xport is what rrdtool makes of an expression, step by step.
func (d dataset) xport(t *testing.T, expression string) []float64 {
	t.Helper()
	args := []string{"xport", "-s", strconv.Itoa(rrdStart), "-e", strconv.Itoa(rrdStart + d.steps*rrdStep)}
	for name := range d.values {
		args = append(args, "DEF:"+name+"="+d.file+":"+name+":AVERAGE")
	}
	var table struct {
		Rows []string `xml:"data>row>v"`
	}
	text := run(t, d.tool, append(args, "CDEF:result="+expression, "XPORT:result")...)
	text = bytes.Replace(text, []byte("ISO-8859-1"), []byte("UTF-8"), 1)
	if err := xml.Unmarshal(text, &table); err != nil {
		t.Fatal(err)
	}
	out := make([]float64, len(table.Rows))
	for i, text := range table.Rows {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = v
	}
	return out
}

func (d dataset) input() munin.CDEFInput {
	return munin.CDEFInput{
		Steps: d.steps, Start: time.Unix(rrdStart, 0).UTC(), Step: rrdStep * time.Second, Now: time.Unix(1, 0),
		Values: func(name string) []float64 { return d.values[name] },
	}
}

// sameAs says whether two results agree within what rrdtool prints.
func sameAs(got, want []float64) bool {
	return slices.EqualFunc(got, want, func(a, b float64) bool {
		if math.IsNaN(a) || math.IsNaN(b) || math.IsInf(a, 0) || math.IsInf(b, 0) {
			return a == b || math.IsNaN(a) && math.IsNaN(b)
		}
		return math.Abs(a-b) <= 1e-9*max(1, math.Abs(a), math.Abs(b))
	})
}

func TestEveryOperatorGivesWhatRrdtoolGives(t *testing.T) {
	u := math.NaN()
	d := newDataset(t, map[string][]float64{
		"a": {1, 4, 9, u, 25, 36, 49.5, 64, 81, 100, -7, 0, 12345678, 3.25},
		"b": {9, 8, 7, 6, 5, u, 3, 2, 1, 0, -2, 0, 17, 3.25},
		"c": {u, u, .5, .25, -.75, 1, 0, .1, u, u, u, -1, .3, 1e-9},
	})
	for _, expression := range []string{
		"a", "a,b,+", "a,b,-", "a,b,*", "a,b,/", "a,b,%", "a,b,ADDNAN", "a,c,ADDNAN", "c,a,-,ABS",
		"a,b,MIN", "a,b,MAX", "a,c,MINNAN", "a,c,MAXNAN", "a,INF,MIN", "a,NEGINF,MAX", "c,INF,MAX", "c,INF,MAXNAN",
		"a,0,36,LIMIT", "a,b,81,LIMIT", "a,0,INF,LIMIT", "a,NEGINF,5,LIMIT", "INF,a,INF,LIMIT",
		"a,b,LT", "a,b,LE", "a,b,GT", "a,b,GE", "a,b,EQ", "a,b,NE", "a,INF,LT", "a,UNKN,EQ", "INF,INF,EQ,a,*",
		"a,UN", "a,b,+,UN", "b,ISINF", "1,b,/,ISINF", "a,b,c,IF", "a,UN,0,a,IF", "a,b,UNKN,IF", "a,8,GT,a,b,IF",
		"c,SIN", "c,COS", "c,ATAN", "a,b,ATAN2", "b,a,ATAN2", "a,LOG", "c,EXP", "a,SQRT", "a,c,*,FLOOR", "a,c,*,CEIL", "b,ABS",
		"b,c,POW", "a,0.5,POW", "c,RAD2DEG",
		"a,b,2,AVG", "a,b,c,3,AVG", "UNKN,c,2,AVG", "a,b,c,7,4,MEDIAN", "a,b,c,3,MEDIAN", "a,b,c,3,STDEV", "a,b,7,3,STDEV",
		"a,1,STDEV", "a,b,c,3,SMIN", "a,b,c,3,SMAX",
		"a,b,c,3,SORT,+,+", "a,b,c,3,SORT,POP,POP", "a,b,c,3,SORT,EXC,POP,EXC,POP", "a,b,7,3,SORT,POP,EXC,POP",
		"a,b,c,3,REV,POP,POP", "a,b,c,3,REV,EXC,POP,EXC,POP",
		"a,DUP,*", "a,b,POP", "a,b,EXC,-", "a,b,DEPTH,+,+", "a,b,5,2,COPY,+,+,-,-", "a,b,5,3,INDEX,+,+,+", "a,b,5,1,INDEX,-,-,-",
		"UNKN,a,2,MINNAN,+", "a,UNKN,+",
		"PREV,UN,a,PREV,IF,1,+", "a,PREV,ADDNAN", "PREV(a)", "a,PREV(a),-", "b,PREV(c),-", "COUNT,a,-", "a,COUNT,3,%,*",
		"a,POP,TIME", "TIME,a,UN,-", "LTIME,b,POP", "a,STEPWIDTH,*",
		"a,600,TREND", "a,900,TRENDNAN", "b,700,TREND", "c,1200,TRENDNAN", "a,300,TREND", "a,0,TREND", "b,-5,TRENDNAN", "a,90000,TRENDNAN",
		"a,-1.5e1,*", "a,+3,+", "a,.5,*",
	} {
		c, err := munin.CompileCDEF(expression)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		got, err := c.Eval(d.input())
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if want := d.xport(t, expression); !sameAs(got, want) {
			t.Errorf("%s\n gives %v\n want  %v", expression, got, want)
		}
	}
	for _, percent := range []string{"20", "25", "26", "37.4", "37.6", "50", "62.4", "76", "87.6", "99", "100"} {
		expression := "a,b,17,3," + percent + ",4,PERCENT"
		c, err := munin.CompileCDEF(expression)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Eval(d.input())
		if err != nil {
			t.Fatal(err)
		}
		if want := d.xport(t, expression); !sameAs(got, want) {
			t.Errorf("%s\n gives %v\n want  %v", expression, got, want)
		}
	}
}

func TestPredictionsAndCalendarAreAsRrdtoolHasThem(t *testing.T) {
	a := make([]float64, 390) // from Sunday to Monday
	for i := range a {
		if a[i] = 100 + 50*math.Sin(float64(i)/17) + float64(i*7919%13); i%40 == 11 {
			a[i] = math.NaN()
		}
	}
	d := newDataset(t, map[string][]float64{"a": a})
	for _, expression := range []string{
		"7200,3600,2,900,a,PREDICT", "3600,-3,600,a,PREDICT", "3600,-3,0,a,PREDICT", "86400,1,1800,a,PREDICT",
		"86400,-2,1800,a,PREDICTSIGMA", "7200,1,0,a,PREDICTSIGMA", "7200,3600,2,900,50,a,PREDICTPERC",
		"7200,3600,2,900,0,a,PREDICTPERC", "7200,3600,2,900,100,a,PREDICTPERC", "7200,3600,2,900,95,a,PREDICTPERC",
		"7200,-4,900,-95,a,PREDICTPERC", "NEWDAY,a,POP", "NEWMONTH,a,POP", "NEWYEAR,a,POP",
	} {
		c, err := munin.CompileCDEF(expression)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		got, err := c.Eval(d.input())
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		want := d.xport(t, expression)
		// At the last step rrdtool reads behind the end of its values.
		if n := len(got) - 1; !sameAs(got[:n], want[:n]) {
			t.Errorf("%s\n gives %v\n want  %v", expression, got, want)
		}
	}
	c, err := munin.CompileCDEF("NEWWEEK,TIME,*")
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Eval(d.input())
	if err != nil {
		t.Fatal(err)
	}
	monday := float64(time.Date(2001, 9, 10, 0, 0, 0, 0, time.UTC).Unix())
	if begun := slices.DeleteFunc(got, func(v float64) bool { return v == 0 }); !slices.Equal(begun, []float64{monday}) {
		t.Errorf("weeks begin at %v, want only Monday, %v", begun, monday)
	}
}

// rrdtool 1.7.2 rolls other elements than its manual says and rounds pi to eight digits; the manual is followed.
func TestRollAndAnglesAreAsTheManualSays(t *testing.T) {
	f := func(expression string, want float64) {
		t.Helper()
		c, err := munin.CompileCDEF(expression)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Eval(munin.CDEFInput{Steps: 1, Step: time.Minute})
		if err != nil || math.Abs(got[0]-want) > 1e-12 {
			t.Errorf("%s gives %v, %v; want %v", expression, got, err, want)
		}
	}
	digits := ",10,*,+,10,*,+,10,*,+" // d,c,b,a on the stack become the number abcd
	f("4,3,2,1"+digits, 1234)
	f("4,3,2,1,3,1,ROLL"+digits, 2314)  // 4,1,3,2
	f("4,3,2,1,3,-1,ROLL"+digits, 3124) // 4,2,1,3
	f("4,3,2,1,3,3,ROLL"+digits, 1234)
	f("4,3,2,1,4,5,ROLL"+digits, 2341) // 1,4,3,2
	f("180,DEG2RAD", math.Pi)
	f("90,DEG2RAD,RAD2DEG", 90)
}

func TestACdefNamesItsFieldsSanitisedAndOnce(t *testing.T) {
	c, err := munin.CompileCDEF(" if-in ,8,* , out,PREV(9x),if-in,+,+,+")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Names(), []string{"if_in", "out", "_x"}; !slices.Equal(got, want) {
		t.Errorf("names are %v, want %v", got, want)
	}
}

func TestACdefSaysWhetherItLooksBack(t *testing.T) {
	for text, want := range map[string]bool{
		"a,8,*": false, "a,b,2,AVG": false, "TIME": false, "a,PREV,+": true, "PREV(a)": true, "a,600,TREND": true, "COUNT": true,
		"86400,-2,600,a,PREDICT": true, "NEWDAY": true,
	} {
		c, err := munin.CompileCDEF(text)
		if err != nil {
			t.Fatal(err)
		}
		if c.LooksBack() != want {
			t.Errorf("%s looks back: %v, want %v", text, !want, want)
		}
	}
}

func TestABadCdefIsRefusedWithTheTokenAtFault(t *testing.T) {
	f := func(expression, want string) {
		t.Helper()
		_, err := munin.CompileCDEF(expression)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("CompileCDEF(%.60q) says %v, want %q in it", expression, err, want)
		}
	}
	f("", "nothing between")
	f("a,,+", "nothing between")
	f("a,b", "leaves 2 values")
	f("a,POP", "leaves 0 values")
	f("a,+", "+ (part 2) needs 2 values, but there are only 1")
	f("a,b,3,AVG", "AVG (part 4) needs 4 values")
	f("a,b,n,AVG", "plain number")
	f("a,0,AVG", "cannot take 0")
	f("a,b,1.5,AVG", "cannot take 1.5")
	f("a,b,-2,SORT", "cannot take -2")
	f("a,ROLL", "plain number")
	f("a,2,1,ROLL", "needs 4 values")
	f("a,1e9,COPY", "cannot take 1e+09")
	f("86400,-7,1800,3,PREDICT", "PREDICT wants shifts")
	f("86400,b,1800,a,PREDICT", "PREDICT wants shifts")
	f("86400,2,1800,a,PREDICT", "PREDICT wants shifts")
	f("-86400,1,1800,a,PREDICT", "PREDICT wants shifts")
	f("86400,1,1800,101,a,PREDICTPERC", "PREDICTPERC wants shifts")
	f("86400,-17,1800,a,PREDICT", "more than 16 shifts")
	f("a,b,+,600,TREND", "TREND wants a field name and a number of seconds")
	f("a,b;rm,+", "neither an operator, a number nor a field name")
	f("a,PREV(b,+", "neither an operator")
	f("a,--1,+", "neither an operator")
	f("a,1.2.3,+", "neither an operator")
	f(strings.Repeat("a,", 400)+"a", "leaves 401")
	f(strings.Repeat("a,", 600)+"a", "more than 500 parts")
	f("a,"+strings.Repeat("DUP,", 10)+strings.Repeat("8,COPY,", 100)+"1", "deeper than")
	f(strings.Repeat("a,300,TREND,", 5)+"+,+,+,+", "more than 4 times TREND")
	f(strings.Repeat("x", 5000), "longer than")
}

func TestEvaluationNamesAFieldThatIsMissingOrShort(t *testing.T) {
	c, err := munin.CompileCDEF("a,nosuch,+")
	if err != nil {
		t.Fatal(err)
	}
	in := munin.CDEFInput{Steps: 1, Step: time.Minute, Values: func(name string) []float64 {
		if name == "a" {
			return []float64{1}
		}
		return nil
	}}
	if _, err = c.Eval(in); err == nil || !strings.Contains(err.Error(), "nosuch is neither") {
		t.Errorf("a missing field gives %v", err)
	}
	in.Steps = 2
	if _, err = c.Eval(in); err == nil || !strings.Contains(err.Error(), "a has 1 values for 2 steps") {
		t.Errorf("a short field gives %v", err)
	}
}

func TestLocalTimeFollowsTheZoneAndItsSummerTime(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Skip("no time zone data on this machine")
	}
	c, err := munin.CompileCDEF("LTIME,TIME,-")
	if err != nil {
		t.Fatal(err)
	}
	in := munin.CDEFInput{Steps: 3, Step: time.Hour, Start: time.Date(2026, 3, 29, 0, 0, 0, 0, time.UTC).In(zone)}
	got, err := c.Eval(in)
	if err != nil {
		t.Fatal(err)
	}
	// Summer time began at 01:00 UTC, which is where the first step ends.
	if want := []float64{7200, 7200, 7200}; !slices.Equal(got, want) {
		t.Errorf("offsets are %v, want %v", got, want)
	}
	in.Start = in.Start.Add(-3 * time.Hour)
	if got, err = c.Eval(in); err != nil || got[0] != 3600 {
		t.Errorf("in winter the offset is %v (%v), want 3600", got, err)
	}
}

func FuzzACdefThatCompilesAlsoEvaluates(f *testing.F) {
	for _, seed := range []string{
		"a,8,*", "a,b,+,2,/", "a,UN,0,a,IF", "a,PREV,ADDNAN", "a,b,2,AVG", "a,600,TREND", "a,b,3,4,4,2,ROLL,+,+,+",
		"a,b,c,3,SORT,POP,POP", "a,50,1,PERCENT", "a,1,COPY,+", "COUNT,TIME,+", "a,DEPTH,INDEX", ",", "a,1e308,1e308,*,TRENDNAN",
		"7200,3600,2,900,95,a,PREDICTPERC", "86400,-7,1800,a,PREDICT", "NEWDAY,NEWWEEK,+,a,*", "1e300,1,1e300,a,PREDICTSIGMA",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, expression string) {
		c, err := munin.CompileCDEF(expression)
		if err != nil {
			return
		}
		values := []float64{1, math.NaN(), math.Inf(-1), 0, -3.5}
		out, err := c.Eval(munin.CDEFInput{
			Steps: len(values), Start: time.Unix(rrdStart, 0), Step: 5 * time.Minute, Now: time.Unix(rrdStart, 0),
			Values: func(string) []float64 { return slices.Clone(values) },
		})
		if err != nil || len(out) != len(values) {
			t.Fatalf("%q compiled but gives %v, %v", expression, out, err)
		}
	})
}
