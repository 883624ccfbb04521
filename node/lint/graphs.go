package lint

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"corbie/munin"
)

var (
	colourText   = regexp.MustCompile(`^([0-9A-Fa-f]{6}([0-9A-Fa-f]{2})?|COLOUR[0-9]+)$`)
	categoryText = regexp.MustCompile(`^[a-z0-9_-]+$`)
	wholeNumber  = regexp.MustCompile(`^[+-]?[0-9]+$`)
)

// checkAttribute looks at one attribute of a field beyond what the master's parser does.
func (c *checker) checkAttribute(here at, f *field, attr, value string) {
	switch attr {
	case "type":
		if value != f.model.Type.String() {
			c.add(Warning, "bad-type", here, "write "+f.model.Type.String(), "Munin knows types in capital letters only")
		}
	case "draw":
		if value != strings.ToUpper(value) {
			c.add(Warning, "bad-draw", here, "write "+strings.ToUpper(value), "Munin knows drawing styles in capital letters only")
		}
	case "colour":
		if !colourText.MatchString(strings.TrimPrefix(value, "#")) {
			c.add(Warning, "bad-colour", here, "write six hexadecimal digits, as in 0066B3, or COLOUR and a number", "colour %q is not understood", excerpt(value))
		}
	case "line":
		c.checkLine(here, value)
	}
}

func (c *checker) checkLine(here at, value string) {
	parts := strings.SplitN(value, ":", 3)
	if _, err := strconv.ParseFloat(parts[0], 64); err != nil {
		c.add(Warning, "bad-line", here, "write value:colour:label, as in 90:FF0000:limit", "line %q does not begin with a number", excerpt(value))
		return
	}
	if len(parts) > 1 && parts[1] != "" && !colourText.MatchString(parts[1]) {
		c.add(Warning, "bad-line", here, "write value:colour:label, as in 90:FF0000:limit", "line %q has a colour that is not understood", excerpt(value))
	}
}

// checkGraphs looks at what was described as a whole.
func (c *checker) checkGraphs() {
	if len(c.graphs) == 0 {
		c.add(Error, "empty", at{}, "print graph_title, and a label for each field", "the config describes no graph")
		return
	}
	for _, g := range c.graphs {
		c.checkGraph(g)
		c.checkParent(g)
		for _, f := range g.fields {
			c.checkField(g, f)
			c.checkLevels(g, f)
			c.checkReferences(g, f)
		}
	}
}

func (c *checker) checkGraph(g *graph) {
	if g.model.Title == "" && g.said["graph_title"] == 0 {
		c.add(Error, "no-title", g.at(g.line), "print \"graph_title What it shows\"", "there is no graph_title: Munin's master does not draw such a graph")
	}
	if len(g.fields) == 0 {
		c.add(Error, "no-fields", g.at(g.line), "print \"field.label name\" for each curve", "the graph has no fields")
	}
	if g.said["graph_vlabel"]+g.said["graph_vtitle"] == 0 {
		c.add(Hint, "no-vlabel", g.at(g.line), "print \"graph_vlabel bytes\" or what the values are", "nothing says in which unit the values are")
	}
	if g.said["graph_category"] == 0 {
		c.add(Hint, "no-category", g.at(g.line), "print \"graph_category disk\" or another", "the graph has no category, so that it is listed under other")
	} else if category := g.model.Category; !categoryText.MatchString(category) {
		c.add(Warning, "bad-category", g.at(g.said["graph_category"]), "use small letters, digits, - and _", "category %q is no good part of an address", excerpt(category))
	}
	g.arrange()
	c.checkArgs(g)
	c.checkOrder(g)
}

// checkArgs looks at the options for rrdtool, of which a wrong one costs the whole picture.
func (c *checker) checkArgs(g *graph) {
	here := g.at(g.said["graph_args"])
	if strings.Count(g.model.Args, `"`)%2+strings.Count(g.model.Args, "'")%2 > 0 {
		c.add(Warning, "bad-args", here, "close the quotation", "graph_args have a quotation mark too few")
		return
	}
	words := strings.Fields(g.model.Args)
	for i, word := range words {
		option, long := strings.CutPrefix(word, "--")
		option, value, _ := strings.Cut(option, "=")
		if long && option == "base" || word == "-b" {
			if value == "" && i+1 < len(words) {
				value = words[i+1]
			}
			if value != "1000" && value != "1024" {
				c.add(Warning, "bad-args", here, "write --base 1000 or --base 1024", "graph_args: base %q is not understood", excerpt(value))
			}
		}
		if !long || known(rrdOptions(), option) {
			continue
		}
		mend := "leave it out"
		if meant := nearest(option, rrdOptions()); meant != "" {
			mend = "write --" + meant
		}
		c.add(Warning, "bad-args", here, mend, "graph_args: rrdtool knows no option --%s and then draws nothing", excerpt(option))
	}
}

// checkOrder looks at graph_order, in which a name that is not there is passed over without a word.
func (c *checker) checkOrder(g *graph) {
	seen := make(map[string]bool)
	for _, item := range g.model.Order {
		name, path, borrowed := strings.Cut(strings.TrimPrefix(item, "-"), "=")
		here := at{line: g.said["graph_order"], graph: g.name, field: name}
		name = munin.SanitiseField(name)
		switch {
		case seen[name]:
			c.add(Hint, "bad-order", here, "name it once", "graph_order names it twice")
		case borrowed && path == "":
			c.add(Warning, "bad-order", here, "write name=graph.field", "graph_order does not say from where to borrow it")
		case !borrowed && g.field(name) == nil:
			c.add(Warning, "bad-order", here, c.meantField(g, name), "graph_order names a field that the graph does not have")
		}
		seen[name] = true
	}
	if f := g.firstDrawn(); f != nil && f.model.Draw.Kind == munin.Stack && f.said["draw"] > 0 {
		c.add(Hint, "stack-first", g.atField(f, f.said["draw"]), "write AREA or AREASTACK for the first one",
			"there is nothing below the first field to be stacked on, so that it is drawn as a line")
	}
}

// arrange works out in which order the fields are drawn.
func (g *graph) arrange() {
	sorted := munin.Graph{Order: g.model.Order}
	for _, f := range g.fields {
		sorted.Fields = append(sorted.Fields, f.model)
	}
	sorted.SortFields()
	for i := range sorted.Fields {
		g.byName[sorted.Fields[i].Name].position = i
	}
}

// firstDrawn is the field that is drawn first, nil where none is drawn.
func (g *graph) firstDrawn() *field {
	var first *field
	for _, f := range g.fields {
		if !f.model.Hidden && (first == nil || f.position < first.position) {
			first = f
		}
	}
	return first
}

// checkParent looks at the place of a nested graph.
func (c *checker) checkParent(g *graph) {
	i := strings.LastIndexByte(g.name, '.')
	if i < 0 {
		return
	}
	parent := c.find(g.name[:i])
	if parent == nil {
		c.add(Warning, "multigraph-parent", g.at(g.line), "describe "+excerpt(g.name[:i])+" too, before it", "the graph is nested in one that the config does not describe")
		return
	}
	if parent.field(g.name[i+1:]) != nil {
		c.add(Warning, "multigraph-clash", g.at(g.line), "give one of them another name", "it has the same name as a field of its parent: Munin's master mixes them up")
	}
}

func (c *checker) checkField(g *graph, f *field) {
	here := g.atField(f, f.line)
	if f.said["label"] == 0 {
		c.add(Error, "no-label", here, fmt.Sprintf("print \"%s.label name\"", excerpt(f.name)), "the field has no label: Munin's master does not know it as a field")
	}
	b := f.model.Bounds
	if b.HasLow && b.HasHigh && b.Low >= b.High {
		c.add(Error, "min-max", g.atField(f, f.said["max"]), "swap them, or leave one out", "min %g is not below max %g, so that every value is unknown", b.Low, b.High)
	}
	at := g.atField(f, f.said["type"])
	switch f.model.Type {
	case munin.Derive, munin.DDerive:
		if !b.HasLow {
			c.add(Warning, "derive-min", at, fmt.Sprintf("print \"%s.min 0\" if it only counts up", excerpt(f.name)), "a %s without min 0 draws a deep spike when the counter begins anew", f.model.Type)
		}
	case munin.Counter, munin.DCounter:
		if !b.HasHigh {
			c.add(Hint, "counter-max", at, "use DERIVE with min 0, or say the max", "a COUNTER that begins anew is taken for one that wrapped: Munin draws a giant spike")
		}
	case munin.Gauge, munin.Absolute:
	}
}

func (c *checker) checkLevels(g *graph, f *field) {
	w, k := f.model.Warning, f.model.Critical
	if w.HasHigh && k.HasHigh && k.High < w.High || w.HasLow && k.HasLow && k.Low > w.Low {
		c.add(Warning, "levels", g.atField(f, f.said["critical"]), "put critical outside of warning", "critical %s is reached before warning %s", k, w)
	}
	c.checkLevel(g, f, "warning", w)
	c.checkLevel(g, f, "critical", k)
	if line := max(f.said["warning"], f.said["critical"]); line > 0 && f.model.CDEF != "" {
		c.add(Hint, "levels-cdef", g.atField(f, line), "give levels for the value as the plugin prints it, per second for counters", "levels look at the value before cdef, which changes the picture only")
	}
}

func (c *checker) checkLevel(g *graph, f *field, word string, level munin.Bounds) {
	here, b := g.atField(f, f.said[word]), f.model.Bounds
	if level.IsZero() && here.line > 0 {
		c.add(Hint, "levels", here, "write :max, min: or min:max, or leave it out", "%s has no bound, so that it never tells", word)
	}
	// "0:3" for a field with min 0 is usual: a bound that equals min or max only matters when there is no other.
	top := b.HasHigh && level.HasHigh && (level.High > b.High || level.High == b.High && !level.HasLow)
	if top {
		c.add(Warning, "levels", here, "lower it, or raise max", "%s %g can never be passed: a value above max %g is unknown", word, level.High, b.High)
	}
	if b.HasLow && level.HasLow && (level.Low < b.Low || level.Low == b.Low && (!level.HasHigh || top)) {
		c.add(Warning, "levels", here, "raise it, or lower min", "%s %g can never be passed: a value below min %g is unknown", word, level.Low, b.Low)
	}
}

// checkReferences looks at fields that name other fields.
func (c *checker) checkReferences(g *graph, f *field) {
	if f.model.CDEF != "" {
		here := g.atField(f, f.said["cdef"])
		expression, err := munin.CompileCDEF(f.model.CDEF)
		if err != nil {
			c.add(Error, "bad-cdef", here, "write reverse Polish notation over field names, as in bytes,8,*", "%v", err)
			return
		}
		for _, name := range expression.Names() {
			if g.field(name) == nil && !borrowed(g, name) {
				c.add(Error, "bad-cdef", here, c.meantField(g, name), "cdef names %q, which is neither an operator nor a field of this graph", excerpt(name))
			}
		}
	}
	if f.model.Negative == "" {
		return
	}
	here := g.atField(f, f.said["negative"])
	other := g.field(f.model.Negative)
	switch {
	case borrowed(g, f.model.Negative):
	case other == nil:
		c.add(Error, "bad-negative", here, c.meantField(g, f.model.Negative), "negative names %q, which is no field of this graph", excerpt(f.model.Negative))
	case other == f:
		c.add(Error, "bad-negative", here, "name the other field of the pair", "negative names the field itself")
	default:
		if !other.model.Hidden {
			c.add(Hint, "negative-drawn", g.atField(other, other.line), fmt.Sprintf("print \"%s.graph no\"", excerpt(other.name)), "%s shows this field below zero, and it is drawn by itself as well", excerpt(f.name))
		}
		if other.position > f.position {
			c.add(Warning, "negative-order", here, fmt.Sprintf("describe %s before %s, or name it earlier in graph_order", excerpt(other.name), excerpt(f.name)),
				"%s comes later: Munin's master then draws nothing", excerpt(other.name))
		}
	}
}

// borrowed says whether graph_order takes a field of that name from another graph.
func borrowed(g *graph, name string) bool {
	return slices.ContainsFunc(g.model.Order, func(item string) bool {
		alias, _, ok := strings.Cut(strings.TrimPrefix(item, "-"), "=")
		return ok && munin.SanitiseField(alias) == name
	})
}

// meantField proposes the field that was probably meant.
func (c *checker) meantField(g *graph, name string) string {
	var names []string
	for _, f := range g.fields {
		names = append(names, f.name)
	}
	if meant := nearest(name, names); meant != "" && meant != name {
		return "write " + excerpt(meant)
	}
	return "name a field that has a label in this graph"
}
