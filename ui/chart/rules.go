package chart

import (
	"slices"
	"strconv"
	"strings"

	"corbie/munin"
)

// addRules makes the horizontal lines. A level means a single field's value, so it is drawn only for curves
// that begin at zero; it is scaled as the curve is.
func (b *builder) addRules() {
	b.model.Rules = append(b.model.Rules, b.model.limits.rules...)
	var levels []Rule
	for i := range b.model.Curves {
		c := &b.model.Curves[i]
		f, ok := b.req.Graph.Field(c.Field)
		if !ok || c.Total || c.Stacked || c.Derived {
			continue
		}
		if f.Line != "" {
			if rule, ok := parseLine(f.Line); ok && len(b.model.Rules) < maxRules {
				b.model.Rules = append(b.model.Rules, rule)
			}
			continue
		}
		levels = append(levels, b.levels(f, munin.Warning, f.Warning, c.Mirrored)...)
		levels = append(levels, b.levels(f, munin.Critical, f.Critical, c.Mirrored)...)
	}
	levels = slices.CompactFunc(sortRules(levels), func(x, y Rule) bool { return x.Value == y.Value && x.Level == y.Level })
	if len(levels) <= maxRules { // more would be a grid; the table has them all
		b.model.Rules = append(b.model.Rules, levels...)
	}
}

func sortRules(rules []Rule) []Rule {
	slices.SortStableFunc(rules, func(x, y Rule) int {
		switch {
		case x.Value < y.Value:
			return -1
		case x.Value > y.Value:
			return 1
		}
		return int(x.Level - y.Level)
	})
	return rules
}

func (b *builder) levels(f *munin.Field, level munin.Level, bounds munin.Bounds, mirrored bool) []Rule {
	var rules []Rule
	add := func(v float64, has bool) {
		if !has {
			return
		}
		v, ok := b.asDrawn(f, v)
		if !ok {
			return
		}
		if mirrored {
			v = -v
		}
		rules = append(rules, Rule{Value: v, Level: level, Label: level.String(), Colour: levelColour(level)})
	}
	add(bounds.Low, bounds.HasLow)
	add(bounds.High, bounds.HasHigh)
	return rules
}

// asDrawn does to a level what is done to the values of its field. A cdef over other fields has no one answer.
func (b *builder) asDrawn(f *munin.Field, v float64) (float64, bool) {
	if f.Type.IsRate() {
		v *= b.periodFactor()
	}
	if f.CDEF == "" {
		return v, known(v)
	}
	cdef, err := munin.CompileCDEF(f.CDEF)
	if err != nil || len(cdef.Names()) != 1 || cdef.Names()[0] != f.Name {
		return 0, false
	}
	out, err := cdef.Eval(munin.CDEFInput{
		Steps: 1, Start: b.model.Start, Step: b.model.Step, Now: b.req.Now,
		Values: func(string) []float64 { return []float64{v} },
	})
	if err != nil {
		return 0, false
	}
	return out[0], known(out[0])
}

// parseLine takes a field's line attribute apart: value[:colour[:label]].
func parseLine(text string) (Rule, bool) {
	parts := strings.SplitN(text, ":", 3)
	v, err := strconv.ParseFloat(strings.TrimSpace(parts[0]), 64)
	if err != nil || !known(v) {
		return Rule{}, false
	}
	rule := Rule{Value: v, Colour: inkColour()}
	if len(parts) > 1 && parts[1] != "" {
		rule.Colour = fieldColour(strings.TrimPrefix(parts[1], "#"), 0)
	}
	if len(parts) > 2 {
		rule.Label = parts[2]
	}
	return rule, true
}
