package paint_test

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"corbie/ui/chart"
)

// shapeOf is a curve's draw in the words of rrdtool.
func shapeOf(c *chart.Curve) string {
	switch {
	case c.Stacked:
		return "STACK"
	case c.Shape == chart.Area:
		return "AREA"
	}
	return "LINE" + strconv.FormatFloat(c.Width, 'g', -1, 64)
}

// compare says where a model and Munin's picture differ.
func (s *sheetGraph) compare(m *chart.Model, draws *muninDraws) (differ []string, figures int) {
	say := func(format string, args ...any) { differ = append(differ, fmt.Sprintf(format, args...)) }
	var curves []string
	var above, below, totals []*chart.Curve
	for i := range m.Curves {
		c := &m.Curves[i]
		f, ok := s.graph.Field(c.Field)
		colour := ""
		switch {
		case c.Derived:
			continue
		case c.Total && c.Mirrored:
			totals = append(totals, c)
			continue
		case c.Mirrored:
			below = append(below, c)
			continue
		case c.Total:
			colour = "000000"
		case ok && !strings.HasPrefix(f.Colour, "COLOUR"):
			colour = strings.ToLower(f.Colour)
		}
		above = append(above, c)
		curves = append(curves, strings.Join([]string{shapeOf(c), c.Label, colour}, "|"))
	}
	same := slices.EqualFunc(curves, draws.curves, func(ours, theirs string) bool {
		if strings.HasSuffix(ours, "|") { // a colour of the palette
			theirs = theirs[:strings.LastIndexByte(theirs, '|')+1]
		}
		return ours == theirs
	})
	if !same || len(below) != len(draws.mirrored) {
		say("curves are\n\t%q and %d below zero\nwant\n\t%q and %d", curves, len(below), draws.curves, len(draws.mirrored))
		return differ, 0
	}
	for i, c := range above {
		figures += draws.compareFigures(draws.names[i], &c.Figures, say)
	}
	for i, c := range below {
		figures += draws.compareFigures(draws.mirrored[i], &c.Figures, say)
	}
	for _, c := range totals {
		figures += draws.compareFigures("negtotal", &c.Figures, say)
	}
	s.compareScale(m, draws, say)
	return differ, figures
}

// compareFigures counts the figures of a legend's row that it looked at.
func (d *muninDraws) compareFigures(name string, f *chart.Figures, say func(format string, args ...any)) (looked int) {
	for key, got := range map[string]float64{
		"LAST c" + name: f.Current, "LAST g" + name: f.Current, "MIN i" + name: f.Min, "AVERAGE g" + name: f.Average, "MAX a" + name: f.Max,
	} {
		want, ok := d.figures[key]
		if !ok {
			continue
		}
		looked++
		if math.IsNaN(got) != math.IsNaN(want) || math.Abs(got-want) > 1e-6*math.Max(math.Abs(want), 1e-9) {
			say("%s is %v, want %v", key, got, want)
		}
	}
	if looked < 4 {
		say("only %d figures of %s are known: %v", looked, name, d.figures)
	}
	return looked
}

// compareScale: ours holds all values and is no larger than Munin's, but for three reasons: zero, where areas stand on it;
// a level nearby; a round number at its end.
func (s *sheetGraph) compareScale(m *chart.Model, draws *muninDraws, say func(format string, args ...any)) {
	scale := m.YScale(175)
	if strings.Contains(s.graph.Args, "--log") {
		if !scale.Log || scale.High < draws.high/10 || scale.Low > draws.low*10 && draws.low > 0 {
			say("the scale is %v to %v (logarithmic: %v), want %v to %v", scale.Low, scale.High, scale.Log, draws.low, draws.high)
		}
		return
	}
	low, high := draws.low, draws.high
	least, most := math.Inf(1), math.Inf(-1)
	for i := range m.Curves {
		c := &m.Curves[i]
		if c.Shape == chart.Area || c.Stack > 0 || c.Mirrored {
			low, high = math.Min(low, 0), math.Max(high, 0)
		}
		for _, v := range c.Top {
			if !math.IsNaN(v) {
				least, most = math.Min(least, v), math.Max(most, v)
			}
		}
	}
	if low > 0 && low < 0.35*high {
		low = 0
	}
	for _, rule := range m.Rules {
		if rule.Value < scale.High && rule.Value > scale.Low {
			low, high = math.Min(low, rule.Value), math.Max(high, rule.Value)
		}
	}
	rigid := strings.Contains(s.graph.Args, "--rigid") || strings.Contains(s.graph.Args, "-r ")
	slack := math.Max(scale.Interval, (high-low)*0.1) * 1.01
	if scale.Low < low-slack || scale.High > high+slack || !rigid && (scale.Low > least || scale.High < most) {
		say("the scale is %v to %v, want about %v to %v; values are %v to %v", scale.Low, scale.High, low, high, least, most)
	}
	if rigid && (scale.Low != draws.low || scale.High != draws.high) {
		say("the rigid scale is %v to %v, want %v to %v", scale.Low, scale.High, draws.low, draws.high)
	}
}

// ask repeats Munin's command with every figure in full.
func (s *sheetGraph) ask(t *testing.T) muninDraws {
	t.Helper()
	draws := muninDraws{figures: make(map[string]float64)}
	args := []string{"graphv", os.DevNull}
	var keys []string
	for _, arg := range s.args[1:] {
		parts := strings.Split(strings.ReplaceAll(arg, `\:`, "\x00"), ":")
		switch {
		case parts[0] == "GPRINT":
			keys = append(keys, parts[2]+" "+parts[1])
			args = append(args, strings.Join([]string{"PRINT", parts[1], parts[2], "%.10le"}, ":"))
			continue
		case arg == "-2000m": // before now: the clock has gone on since Munin drew
			begin, _ := s.span(t)
			arg = strconv.FormatInt(begin, 10)
		case parts[0] == "HRULE":
			value, _, _ := strings.Cut(parts[1], "#")
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			draws.rules = append(draws.rules, v)
		case strings.HasPrefix(parts[0], "LINE"), parts[0] == "AREA", parts[0] == "STACK":
			name, colour, _ := strings.Cut(parts[1], "#")
			label := ""
			if len(parts) > 2 {
				label = strings.TrimSpace(strings.ReplaceAll(parts[2], "\x00", ":"))
			}
			switch {
			case strings.HasPrefix(name, "ng"):
				draws.mirrored = append(draws.mirrored, name[2:])
			case name[0] == 'g':
				shape := parts[0]
				if shape == "LINE" {
					shape = "LINE1"
				}
				draws.curves = append(draws.curves, strings.Join([]string{shape, label, strings.ToLower(colour)}, "|"))
				draws.names = append(draws.names, name[1:])
			}
		}
		args = append(args, arg)
	}
	cmd := exec.Command("rrdtool", args...)
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C.UTF-8")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: rrdtool %q: %v", s.graph.Name, args, err)
	}
	n := 0
	for line := range strings.Lines(string(out)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
		v, err := strconv.ParseFloat(strings.Trim(value, `"`), 64)
		switch {
		case key == "value_min" && err == nil:
			draws.low = v
		case key == "value_max" && err == nil:
			draws.high = v
		case strings.HasPrefix(key, "print["):
			if err != nil {
				t.Fatal(err)
			}
			draws.figures[keys[n]] = v
			n++
		}
	}
	return draws
}
