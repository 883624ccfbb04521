package chart

import (
	"math"
	"strconv"
	"strings"
)

// limits are what graph_args say of the y axis.
type limits struct {
	low, high       float64
	hasLow, hasHigh bool
	rigid, log      bool
	// tightLow and tightHigh fit the axis to the values, without zero or round numbers: --alt-autoscale and its kin.
	tightLow, tightHigh bool
	// exponent of ten of the prefix of all labels, a multiple of three; --units-exponent.
	exponent    int
	hasExponent bool
	label       string // --vertical-label
	title       string
	format      *printf // --left-axis-format
	right       rightAxis
	rules       []Rule // HRULE:value#colour:label
}

// rightAxis is a second axis with the same grid lines: --right-axis and its kin.
type rightAxis struct {
	scale, shift float64 // of the left axis' values; scale 0: there is none
	label        string
	format       *printf
}

// at is what stands at the right of a value of the left axis.
func (a *rightAxis) at(v float64) float64 { return v*a.scale + a.shift }

// option is one of the options of rrdtool graph.
type option struct {
	short byte
	value bool // it takes one
	apply func(l *limits, value string)
}

// options are those of rrdtool graph by their long name. Those that do not shape the axis are here so that their values
// are not taken for options.
func options() map[string]option {
	flag := func(short byte, apply func(l *limits)) option {
		return option{short: short, apply: func(l *limits, _ string) {
			if apply != nil {
				apply(l)
			}
		}}
	}
	value := func(short byte, apply func(l *limits, value string)) option {
		if apply == nil {
			apply = func(*limits, string) {}
		}
		return option{short: short, value: true, apply: apply}
	}
	table := map[string]option{
		"lower-limit":       value('l', func(l *limits, text string) { l.set(&l.low, &l.hasLow, text) }),
		"upper-limit":       value('u', func(l *limits, text string) { l.set(&l.high, &l.hasHigh, text) }),
		"rigid":             flag('r', func(l *limits) { l.rigid = true }),
		"logarithmic":       flag('o', func(l *limits) { l.log = true }),
		"alt-autoscale":     flag('A', func(l *limits) { l.tightLow, l.tightHigh = true, true }),
		"alt-autoscale-min": flag('J', func(l *limits) { l.tightLow = true }),
		"alt-autoscale-max": flag('M', func(l *limits) { l.tightHigh = true }),
		"units-exponent":    value('X', (*limits).setExponent),
		"vertical-label":    value('v', func(l *limits, text string) { l.label = text }),
		"title":             value('t', func(l *limits, text string) { l.title = text }),
		"right-axis":        value(0, (*limits).setRightAxis),
		"right-axis-label":  value(0, func(l *limits, text string) { l.right.label = text }),
		"right-axis-format": value(0, func(l *limits, text string) { setFormat(&l.right.format, text) }),
		"left-axis-format":  value(0, func(l *limits, text string) { setFormat(&l.format, text) }),
	}
	for name, short := range map[string]byte{
		"alt-y-grid": 'Y', "no-gridfit": 'N', "slope-mode": 'E', "no-legend": 'g', "force-rules-legend": 'F', "only-graph": 'j',
		"full-size-mode": 'D', "lazy": 'z', "pango-markup": 'P', "interlaced": 'i', "no-minor": 0, "dynamic-labels": 0,
		"allow-shrink": 0, "use-nan-for-all-missing-data": 0, "utc": 0,
	} {
		table[name] = flag(short, nil)
	}
	for name, short := range map[string]byte{
		"base": 'b', "units-length": 'L', "units": 0, "width": 'w', "height": 'h', "start": 's', "end": 'e', "step": 'S',
		"x-grid": 'x', "y-grid": 'y', "font": 'n', "color": 'c', "zoom": 'm', "imginfo": 'f', "imgformat": 'a', "watermark": 'W',
		"tabwidth": 'T', "left-axis-formatter": 0, "right-axis-formatter": 0, "week-fmt": 0, "border": 0, "grid-dash": 0, "daemon": 'd',
		"font-render-mode": 'R', "font-smoothing-threshold": 'B', "graph-render-mode": 'G', "legend-position": 0,
		"legend-direction": 0, "add-jsontime": 0,
	} {
		table[name] = value(short, nil)
	}
	return table
}

// parseLimits reads graph_args: the options that shape the y axes, and horizontal lines; all others are passed over. Long
// names may be cut short, as getopt allows.
func parseLimits(args string) limits {
	var l limits
	words := splitWords(args)
	table := options()
	for i := 0; i < len(words); i++ {
		opt, value, joined := find(table, words[i])
		if opt == nil {
			if rule, ok := parseRule(words[i]); ok && len(l.rules) < maxRules {
				l.rules = append(l.rules, rule)
			}
			continue
		}
		if opt.value && !joined && i+1 < len(words) {
			i++
			value = words[i]
		}
		opt.apply(&l, value)
	}
	if l.hasLow && l.hasHigh && l.low >= l.high {
		l.hasLow, l.hasHigh = false, false
	}
	return l
}

// find reads "--name", "--name=value", "-x" and "-xvalue"; joined says that there is a value.
func find(table map[string]option, word string) (opt *option, value string, joined bool) {
	if long, ok := strings.CutPrefix(word, "--"); ok {
		long, value, joined = strings.Cut(long, "=")
		if o, ok := table[long]; ok {
			return &o, value, joined
		}
		var found *option
		for name, o := range table {
			if long != "" && strings.HasPrefix(name, long) {
				if found != nil {
					return nil, "", false
				}
				found = &o
			}
		}
		return found, value, joined
	}
	if len(word) < 2 || word[0] != '-' {
		return nil, "", false
	}
	for _, o := range table {
		if o.short != 0 && o.short == word[1] {
			value = strings.TrimPrefix(word[2:], "=")
			return &o, value, len(word) > 2
		}
	}
	return nil, "", false
}

// splitWords parts text at spaces, except within quotes.
func splitWords(text string) []string {
	var words []string
	var word strings.Builder
	begun := false
	quote := rune(0)
	for _, r := range text {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, begun = r, true
		case quote == 0 && (r == ' ' || r == '\t'):
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	if begun {
		words = append(words, word.String())
	}
	return words
}

func (l *limits) set(target *float64, has *bool, text string) {
	v, err := strconv.ParseFloat(text, 64)
	if err == nil && known(v) && math.Abs(v) <= 1e30 {
		*target, *has = v, true
	}
}

func (l *limits) setExponent(text string) {
	if n, err := strconv.Atoi(text); err == nil && n >= -18 && n <= 18 && n%3 == 0 {
		l.exponent, l.hasExponent = n, true
	}
}

// setRightAxis reads "scale:shift".
func (l *limits) setRightAxis(text string) {
	first, second, ok := strings.Cut(text, ":")
	scale, err := strconv.ParseFloat(first, 64)
	shift, err2 := strconv.ParseFloat(second, 64)
	if ok && err == nil && err2 == nil && known(scale) && known(shift) && scale != 0 && math.Abs(scale) <= 1e15 && math.Abs(shift) <= 1e30 {
		l.right.scale, l.right.shift = scale, shift
	}
}

func setFormat(target **printf, text string) {
	if f, ok := parsePrintf(text); ok {
		*target = f
	}
}

// parseRule reads "HRULE:value#colour:label".
func parseRule(word string) (Rule, bool) {
	rest, ok := strings.CutPrefix(word, "HRULE:")
	if !ok {
		return Rule{}, false
	}
	value, rest, _ := strings.Cut(rest, "#")
	return parseLine(value + ":" + rest)
}
