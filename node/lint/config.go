package lint

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"corbie/munin"
)

// line is one line of a plugin's output, taken apart as far as both config and values do.
type line struct {
	number int
	text   string // trimmed
	key    string // up to the first blank
	value  string // after it
}

// graph is one graph as the config describes it.
type graph struct {
	name   string
	line   int // that mentioned it first
	said   map[string]int
	fields []*field
	byName map[string]*field
	model  munin.Graph
	closed bool // another multigraph line came after its own
	valued bool
}

// field is one field of a graph.
type field struct {
	name   string // as the master knows it
	spelt  string // as the plugin says it
	line   int
	said   map[string]int // attribute → line
	model  munin.Field
	values int
	// position is where the field comes in the order of drawing, from 0.
	position int
}

func (g *graph) at(line int) at { return at{line: line, graph: g.name} }

func (g *graph) atField(f *field, line int) at { return at{line: line, graph: g.name, field: f.name} }

func (g *graph) field(name string) *field { return g.byName[name] }

func (c *checker) find(name string) *graph { return c.byName[name] }

// lines goes through an output line by line, says what is wrong with each as text, and hands on those that are
// neither blank nor comments.
func (c *checker) lines(output []byte, handle func(line)) {
	number := 0
	var told oddities
	for raw := range bytes.Lines(output) {
		if len(c.findings) >= MaxFindings {
			return
		}
		number++
		here := at{line: number}
		text := c.clean(here, strings.TrimRight(string(raw), "\n"), &told)
		if len(text) > munin.MaxLineBytes {
			c.add(Error, "too-long", here, "print less", "the line is longer than %d bytes", munin.MaxLineBytes)
			continue
		}
		if c.dangerous(here, text) {
			continue
		}
		one := line{number: number, text: strings.TrimSpace(text)}
		if one.text == "" || one.text[0] == '#' {
			continue
		}
		if text[0] == ' ' || text[0] == '\t' {
			c.add(Warning, "leading-blank", here, "begin the line with the name", "the line begins with a blank: Munin's master does not understand it")
		}
		one.key, one.value = one.text, ""
		if i := strings.IndexAny(one.text, " \t"); i >= 0 {
			one.key, one.value = one.text[:i], strings.TrimSpace(one.text[i:])
		}
		handle(one)
	}
}

// oddities are what is reported once for a whole text.
type oddities struct{ ended, encoded bool }

// clean takes the line end off and says what is wrong with the characters.
func (c *checker) clean(here at, text string, told *oddities) string {
	if strings.Contains(text, "\r") && !told.ended {
		told.ended = true
		c.add(Warning, "crlf", here, "print lines that end with a line feed alone", "the line holds a carriage return")
	}
	text = strings.TrimRight(text, "\r")
	if !utf8.ValidString(text) && !told.encoded {
		told.encoded = true
		c.add(Warning, "encoding", here, "print UTF-8", "the line is not UTF-8; it is read as Latin-1, which may show other characters")
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r != '\t' && unicode.IsControl(r) }) {
		c.add(Warning, "control-characters", here, "print plain text", "the line holds control characters, which are removed: %q", excerpt(text))
	}
	return text
}

// dangerous finds lines that mean something to the protocol itself.
func (c *checker) dangerous(here at, text string) bool {
	switch {
	case strings.TrimSpace(text) == ".":
		c.add(Error, "lone-dot", here, "print something else on that line", "a line with nothing but a dot ends the whole answer; what comes after it is lost")
		return true
	case strings.Contains(text, "# timeout"):
		c.add(Error, "timeout-text", here, "use other words", "Munin's master gives up the whole node when a line holds \"# timeout\"")
		return true
	}
	return false
}

func newGraph(name string, line int) *graph {
	return &graph{
		name: name, line: line, said: make(map[string]int), byName: make(map[string]*field),
		model: munin.Graph{Name: name, Period: "second"},
	}
}

// readConfig takes the config apart and finds what is wrong with single lines.
func (c *checker) readConfig(output []byte) {
	c.graph = newGraph(munin.SanitisePlugin(c.name), 1)
	c.lines(output, func(l line) {
		if l.key == "multigraph" {
			c.multigraph(l)
			return
		}
		if c.graph == nil {
			return
		}
		spelt, attr, dotted := strings.Cut(l.key, ".")
		switch {
		case !dotted:
			c.graphLine(l)
		case spelt == "" || attr == "":
			c.add(Error, "noise", c.graph.at(l.number), "print only \"field.attribute value\" and \"graph_… value\"; begin remarks with #",
				"the line is neither about a graph nor about a field: %s", excerpt(l.text))
		case attr == "value":
			c.add(Warning, "value-in-config", at{line: l.number, graph: c.graph.name, field: spelt},
				"print values here only when MUNIN_CAP_DIRTYCONFIG is 1",
				"a value in the config: masters that cannot take it do not see this plugin at all")
			c.use()
		default:
			c.fieldLine(l, spelt, attr)
		}
	})
}

// use puts the current graph into the list of those that were described.
func (c *checker) use() {
	if c.find(c.graph.name) == nil {
		c.graphs = append(c.graphs, c.graph)
		c.byName[c.graph.name] = c.graph
	}
}

// multigraph begins another graph, or goes on with one.
func (c *checker) multigraph(l line) {
	before := c.graph
	c.graph = nil
	if err := munin.ValidateGraphName(l.value); err != nil {
		c.add(Error, "multigraph-name", at{line: l.number}, "use letters, digits and -_:. in the name", "multigraph: %v; the lines after it are dropped", err)
		return
	}
	if before != nil && before.name != l.value {
		before.closed = true
	}
	c.graph = c.find(l.value)
	if c.graph == nil {
		c.graph = newGraph(l.value, l.number)
		return
	}
	if c.graph.closed {
		c.add(Warning, "multigraph-split", c.graph.at(l.number), "print all lines of a graph together", "the graph was begun before, in line %d", c.graph.line)
	}
}

// graphLine reads "graph_title Queue".
func (c *checker) graphLine(l line) {
	g := c.graph
	here := g.at(l.number)
	attr := munin.SanitiseField(l.key)
	if !known(graphAttributes(), attr) {
		c.unknownGraphLine(l, here)
		return
	}
	if attr != l.key {
		c.add(Warning, "unknown-attribute", here, "write "+attr, "%q is read as %s", excerpt(l.key), attr)
	}
	c.use()
	if l.value == "" {
		c.add(Warning, "no-value", here, "give it one, or leave the line out", "%s has no value", attr)
		return
	}
	if first, twice := g.said[attr]; twice {
		c.add(Warning, "duplicate", here, "leave one of them out", "%s was said in line %d already; the first one counts", attr, first)
		return
	}
	g.said[attr] = l.number
	c.tooLong(here, l.value)
	if err := g.model.Set(attr, munin.CleanText(l.value)); err != nil {
		c.refused(here, "bad-"+strings.ReplaceAll(attr, "_", "-"), err)
	}
}

func (c *checker) unknownGraphLine(l line, here at) {
	meant := nearest(l.key, graphAttributes())
	switch {
	case meant != "":
		c.use()
		c.add(Warning, "unknown-attribute", here, "write "+meant, "unknown attribute %q", excerpt(l.key))
	case strings.HasPrefix(l.key, "graph_"):
		c.use()
		c.add(Warning, "unknown-attribute", here, "leave it out", "unknown attribute %q", excerpt(l.key))
	default:
		c.add(Warning, "noise", here, "print only \"field.attribute value\" and \"graph_… value\"; begin remarks with #",
			"the line is neither about a graph nor about a field: %s", excerpt(l.text))
	}
}

// fieldLine reads "mails.label Mails".
func (c *checker) fieldLine(l line, spelt, attr string) {
	c.use()
	g := c.graph
	f := c.fieldFor(l.number, spelt)
	here := g.atField(f, l.number)
	if !known(fieldAttributes(), attr) {
		c.unknownFieldAttribute(here, spelt, attr)
		return
	}
	if l.value == "" {
		c.add(Warning, "no-value", here, "give it one, or leave the line out", "%s has no value", attr)
		return
	}
	if first, twice := f.said[attr]; twice {
		c.add(Warning, "duplicate", here, "leave one of them out", "%s was said in line %d already; the last one counts", attr, first)
	}
	f.said[attr] = l.number
	c.tooLong(here, l.value)
	if strings.HasPrefix(l.value, "#") && attr == "colour" {
		c.add(Warning, "bad-colour", here, "write "+strings.TrimPrefix(l.value, "#"), "Munin does not know colours with a # in front")
	}
	if err := f.model.Set(attr, munin.CleanText(l.value)); err != nil {
		c.refused(here, "bad-"+strings.ReplaceAll(attr, "_", "-"), err)
		delete(f.said, attr)
		return
	}
	c.checkAttribute(here, f, attr, l.value)
}

// fieldFor is the field that a line is about, which it may be the first one to mention.
func (c *checker) fieldFor(number int, spelt string) *field {
	g := c.graph
	name := munin.SanitiseField(spelt)
	if f := g.field(name); f != nil {
		if f.spelt != spelt {
			c.add(Error, "field-collision", g.atField(f, number), "give each field a name of its own",
				"%q and %q (line %d) both become %s", excerpt(spelt), excerpt(f.spelt), f.line, excerpt(name))
			f.spelt = spelt
		}
		return f
	}
	f := &field{name: name, spelt: spelt, line: number, said: make(map[string]int)}
	f.model = munin.Field{Name: name, Draw: munin.Draw{Kind: munin.Line, Width: 1}}
	g.fields = append(g.fields, f)
	g.byName[name] = f
	here := g.atField(f, number)
	if name != spelt {
		c.add(Warning, "field-name", here, "use letters, digits and _ only, with no digit in front",
			"the field name %q becomes %s", excerpt(spelt), excerpt(name))
	}
	if name == "root" {
		c.add(Warning, "field-root", here, "call it __root or rootfs", "Munin's master cannot draw a graph with a field that is called root")
	}
	return f
}

func (c *checker) unknownFieldAttribute(here at, spelt, attr string) {
	if field, rest, dotted := strings.Cut(attr, "."); dotted {
		c.add(Warning, "field-name", here, fmt.Sprintf("write %s_%s.%s", excerpt(spelt), excerpt(field), excerpt(rest)),
			"a field name cannot hold a dot: this is read as the attribute %q of %s", excerpt(attr), excerpt(spelt))
		return
	}
	mend := "leave it out"
	meant := nearest(attr, fieldAttributes())
	if other := misnomers()[attr]; known(graphAttributes(), other) {
		meant = ""
	}
	if meant != "" {
		mend = "write " + meant
	} else if meant := nearest(attr, graphAttributes()); meant != "" {
		mend = "write " + meant + " in a line of its own: it belongs to the graph"
	}
	c.add(Warning, "unknown-attribute", here, mend, "unknown attribute %q", excerpt(attr))
}

func (c *checker) tooLong(here at, value string) {
	if len(value) > munin.MaxValueBytes {
		c.add(Error, "too-long", here, "write less", "the text is longer than %d bytes", munin.MaxValueBytes)
	}
}

// refused reports what an attribute's own parser says. Its "want …" and "write …" become the way to mend it.
func (c *checker) refused(here at, rule string, err error) {
	text := err.Error()
	if before, after, ok := strings.Cut(text, ": want "); ok {
		c.add(Error, rule, here, "write "+after, "%s is not understood", before)
		return
	}
	if before, after, ok := strings.Cut(text, "; write "); ok {
		c.add(Error, rule, here, "write "+after, "%s", before)
		return
	}
	c.add(Error, rule, here, "put the lower bound first, as in 10:90", "%s", text)
}

func known(list []string, word string) bool {
	for _, one := range list {
		if one == word {
			return true
		}
	}
	return false
}
