package chart

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"corbie/munin"
)

// addDerived adds the trends and predictions that fields ask for, as lines that go on into the future where the range
// does: graph_future.
func (b *builder) addDerived() {
	drawn := len(b.model.Curves)
	for i := range drawn {
		c := b.model.Curves[i]
		f, ok := b.req.Graph.Field(c.Field)
		if !ok || c.Mirrored || c.Total || len(b.model.Curves) >= maxCurves {
			continue
		}
		if yes, err := munin.ParseBool(f.Extra["trend"]); err == nil && yes {
			b.derive(&c, "trend", "x,"+strconv.Itoa(b.trendWindow())+",TRENDNAN")
		}
		if text := f.Extra["predict"]; text != "" {
			expression, err := b.prediction(text)
			if err != nil {
				b.note("%s has no prediction: %v.", f.Name, err)
				continue
			}
			b.derive(&c, "prediction", expression)
		}
	}
}

// trendWindow is over how many seconds a trend averages: as many as it looks ahead, as Munin has it; a tenth of the
// range where it does not.
func (b *builder) trendWindow() int {
	ahead := b.req.Range.To.Sub(b.req.Now)
	if ahead < b.model.Step {
		ahead = b.req.Range.Duration() / 10
	}
	return int(ahead.Seconds())
}

// prediction turns "pattern,smooth" into rrdtool's words, as Munin does: the mean of what is known now, one pattern ago,
// two, and so on, each over as many steps as smooth says.
func (b *builder) prediction(text string) (string, error) {
	pattern, smooth, _ := strings.Cut(text, ",")
	length, err := strconv.Atoi(strings.TrimSpace(pattern))
	if err != nil || length < 1 {
		return "", fmt.Errorf("predict %q: want the length of the pattern in seconds and how many steps to smooth over, such as 86400,12", cut(text, 40))
	}
	over, err := strconv.Atoi(strings.TrimSpace(smooth))
	if err != nil || over < 0 || over > 10000 {
		return "", fmt.Errorf("predict %q: want how many steps to smooth over after the comma, such as 86400,12", cut(text, 40))
	}
	const most = 16
	ahead := math.Max(b.req.Range.To.Sub(b.req.Now).Seconds(), 0)
	times := min(int(ahead)/length+2, most)
	window := int(float64(over) * b.model.Step.Seconds())
	return fmt.Sprintf("%d,-%d,%d,x,PREDICT", length, times, window), nil
}

// derive draws what an expression makes of a curve's values, which it calls x.
func (b *builder) derive(of *Curve, what, expression string) {
	cdef, err := munin.CompileCDEF(expression)
	if err != nil {
		b.note("%s has no %s: %v.", of.Field, what, err)
		return
	}
	values, err := cdef.Eval(munin.CDEFInput{
		Steps: b.buckets, Start: b.model.Start.In(b.req.Location), Step: b.model.Step, Now: b.req.Now,
		Values: func(string) []float64 { return of.Values },
	})
	if err != nil {
		b.note("%s has no %s: %v.", of.Field, what, err)
		return
	}
	none := math.NaN()
	b.model.Curves = append(b.model.Curves, Curve{
		Field: of.Field, Label: of.Label + " " + what, Colour: of.Colour, Shape: Line, Width: 1.5, Derived: true,
		Values: values, Top: values,
		Figures: Figures{Current: none, Min: none, Average: none, Max: none, P95: none, Total: none},
	})
}
