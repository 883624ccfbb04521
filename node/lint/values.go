package lint

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"corbie/munin"
)

// aheadLimit is how far in the future the master takes a sample.
const aheadLimit = 10 * time.Minute

// readValues takes the values apart and compares them with what was described. Without a description only the
// lines themselves are looked at.
func (c *checker) readValues(where Where, run *Run, described bool) {
	c.where = where
	current := munin.SanitisePlugin(c.name)
	last := make(map[string]int64)
	skip := false
	c.lines(run.Output, func(l line) {
		if l.key == "multigraph" {
			if err := munin.ValidateGraphName(l.value); err != nil {
				c.add(Error, "multigraph-name", at{line: l.number}, "use letters, digits and -_:. in the name", "multigraph: %v; the lines after it are dropped", err)
				skip = true
				return
			}
			current, skip = l.value, false
			if described && c.find(current) == nil {
				c.add(Error, "graph-not-in-config", at{line: l.number, graph: current}, "describe it in the config", "the config has no graph of that name, so that its values are dropped")
				skip = true
			}
			return
		}
		if skip {
			return
		}
		spelt, attr, dotted := strings.Cut(l.key, ".")
		here := at{line: l.number, graph: current, field: munin.SanitiseField(spelt)}
		switch {
		case dotted && spelt != "" && attr == "value":
			if described {
				c.known(here, spelt)
			}
			c.value(here, l.value, run.At, last)
		case attr == "extinfo", where == Dirty:
		default:
			c.notAValue(here, l, attr)
		}
	})
	if described {
		c.missing()
	}
}

// notAValue reports a line that has no business among values.
func (c *checker) notAValue(here at, l line, attr string) {
	switch {
	case known(fieldAttributes(), attr), known(graphAttributes(), l.key):
		here.field = ""
		c.add(Warning, "config-in-values", here, "print it only when the first argument is \"config\"", "%s belongs to the config; here it is ignored", excerpt(l.key))
	case nearest(attr, []string{"value"}) != "":
		c.add(Error, "noise", here, "write value", "unknown attribute %q", excerpt(attr))
	default:
		here.field = ""
		c.add(Warning, "noise", here, "print only lines \"field.value number\"; begin remarks with #", "the line is no value: %s", excerpt(l.text))
	}
}

// known counts a value for its field, or says that there is no such field.
func (c *checker) known(here at, spelt string) {
	g := c.find(here.graph)
	if g == nil {
		c.add(Error, "value-without-field", here, "print a multigraph line before it, as in the config", "the config has no graph %s", excerpt(here.graph))
		return
	}
	g.valued = true
	f := g.field(here.field)
	if f == nil {
		mend := fmt.Sprintf("print \"%s.label name\" in the config, or leave the value out", here.field)
		if meant := c.meantField(g, here.field); strings.HasPrefix(meant, "write ") {
			mend = meant
		}
		c.add(Error, "value-without-field", here, mend, "the config has no field of that name, so that the value is dropped")
		return
	}
	if here.field != spelt && f.spelt != spelt {
		c.add(Warning, "field-name", here, "write it as in the config", "the field name %q becomes %s", excerpt(spelt), excerpt(here.field))
	}
	f.values++
}

// value looks at what stands after "field.value".
func (c *checker) value(here at, text string, now time.Time, last map[string]int64) {
	token, rest, _ := strings.Cut(text, " ")
	if token == "" {
		c.add(Error, "bad-value", here, "print U when the value is unknown", "there is no number")
		return
	}
	if strings.TrimSpace(rest) != "" {
		c.add(Warning, "trailing-text", here, "print the number alone; a unit belongs into graph_vlabel", "what comes after the number is ignored: %q", excerpt(rest))
	}
	if stamp, number, timed := strings.Cut(token, ":"); timed {
		c.stamp(here, stamp, now, last)
		token = number
	} else if f := c.fieldAt(here); f != nil && f.values > 1 && c.where != Dirty {
		c.add(Warning, "duplicate", here, "print it once, or with times, as in 1700000000:42", "the field has two values")
	}
	v, err := munin.ParseValue(token)
	if err != nil {
		text, mend, _ := strings.Cut(err.Error(), "; ")
		if mend == "" {
			mend = "print a decimal number, or U when it is unknown"
		}
		c.add(Error, "bad-value", here, mend, "%s", text)
		return
	}
	if math.IsInf(v, 0) {
		c.add(Warning, "bad-value", here, "print U when the value is unknown", "an infinite value is shown as unknown")
	}
	if f := c.fieldAt(here); f != nil && !math.IsNaN(v) {
		c.fits(here, f, token, v)
	}
}

func (c *checker) fieldAt(here at) *field {
	if g := c.find(here.graph); g != nil {
		return g.field(here.field)
	}
	return nil
}

func (c *checker) stamp(here at, stamp string, now time.Time, last map[string]int64) {
	if stamp == "N" {
		c.add(Warning, "bad-time", here, "leave the N: out", "Munin's master loses a value with N: in front")
		return
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || seconds < 0 {
		c.add(Error, "bad-time", here, "write seconds since 1970, as in 1700000000:42", "%q is not a time", excerpt(stamp))
		return
	}
	if !now.IsZero() && time.Unix(seconds, 0).Sub(now) > aheadLimit {
		c.add(Error, "bad-time", here, "print the time in UTC, in seconds", "the time is in the future; the master refuses it")
	}
	key := here.graph + "\x00" + here.field
	if before, ok := last[key]; ok && seconds <= before {
		c.add(Warning, "bad-time", here, "print the oldest value first", "the value is not newer than the one before, so that Munin's master leaves it out")
	}
	last[key] = seconds
}

// fits compares a value with its field's type and bounds.
func (c *checker) fits(here at, f *field, token string, v float64) {
	switch f.model.Type {
	case munin.Counter, munin.Derive:
		if !wholeNumber.MatchString(token) {
			c.add(Error, "not-an-integer", here, fmt.Sprintf("print it without a fraction, or use D%s", f.model.Type), "%s wants whole numbers: Munin's master loses %s", f.model.Type, excerpt(token))
		} else if v < 0 && f.model.Type == munin.Counter {
			c.add(Error, "not-an-integer", here, "use GAUGE or DERIVE", "a COUNTER cannot be negative")
		}
	case munin.Gauge:
		if f.model.Bounds.Outside(v) {
			c.add(Warning, "out-of-bounds", here, "mend min and max, or the value", "%s is outside of the field's min and max, so that it is shown as unknown", excerpt(token))
		}
	case munin.Absolute, munin.DCounter, munin.DDerive:
	}
}

// missing reports what was described and has no value.
func (c *checker) missing() {
	for _, g := range c.graphs {
		if !g.valued && len(g.fields) > 0 && len(c.graphs) > 1 {
			if g.needsValues() {
				c.add(Warning, "graph-without-values", at{graph: g.name}, "print \"multigraph "+excerpt(g.name)+"\" and its values", "no value was printed for this graph")
			}
			continue
		}
		for _, f := range g.fields {
			if f.values == 0 && f.needsValue(g) {
				c.add(Warning, "field-without-value", at{graph: g.name, field: f.name}, fmt.Sprintf("print \"%s.value U\" when it is unknown", excerpt(f.name)), "no value was printed for this field")
			}
		}
	}
}

func (g *graph) needsValues() bool {
	for _, f := range g.fields {
		if f.needsValue(g) {
			return true
		}
	}
	return false
}

// needsValue says whether a field has its values from the plugin rather than from other fields.
func (f *field) needsValue(g *graph) bool {
	_, sum := f.model.Extra["sum"]
	_, stack := f.model.Extra["stack"]
	return !sum && !stack && !borrowed(g, f.name)
}

// checkDirty looks at the values that come with the config, where the plugin gives them.
func (c *checker) checkDirty(run *Run, described bool) {
	if !described || !bytes.Contains(run.Output, []byte(".value")) {
		return
	}
	for _, g := range c.graphs {
		g.valued = false
		for _, f := range g.fields {
			f.values = 0
		}
	}
	c.readValues(Dirty, run, described)
}
