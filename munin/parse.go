package munin

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits on what one reply may hold. What exceeds them is dropped with a Fault.
const (
	MaxLineBytes   = 64 << 10 // of one line; "list" answers with one line for all plugins
	MaxNameBytes   = 200      // of a graph or field name
	MaxValueBytes  = 4 << 10  // of one attribute's text
	MaxGraphs      = 5000     // in one reply
	MaxFields      = 2000     // in one graph
	MaxSamples     = 500_000  // in one reply
	MaxFaults      = 50       // remembered of one reply; the rest is counted in the last one
	maxAttributes  = 100_000  // in one reply
	excerptBytes   = 80
	noLabelMessage = "No .label provided"
)

// Sample is one value line of a reply. At is zero when the plugin did not say a time.
type Sample struct {
	Graph string
	Field string
	At    time.Time
	Value float64
}

// Reply is the body of one config, fetch or spoolfetch answer, taken apart.
type Reply struct {
	Graphs  []Graph // only from config; in the order in which they were said
	Samples []Sample
	Faults  []Fault
	// Dirty says that a config reply carried values, so that no fetch is needed.
	Dirty bool
}

// ParseConfig takes a config reply apart: the lines between the command and the lone dot, without it.
// plugin is the name that was asked for; lines before the first "multigraph" belong to it. What cannot be
// used is left out and named in Faults; ParseConfig never fails as a whole.
func ParseConfig(plugin string, body []byte) Reply {
	p := newParser(plugin)
	p.config = true
	p.index, p.saidOn, p.labels = make(map[string]int), make(map[string]bool), make(map[string]bool)
	p.run(body)
	p.finishGraphs()
	return p.reply
}

// ParseFetch takes a fetch reply apart. Only values are used; attributes are accepted and ignored.
func ParseFetch(plugin string, body []byte) Reply {
	p := newParser(plugin)
	const usual = 64 // values at most: more are made room for when they come
	p.reply.Samples = make([]Sample, 0, min(bytes.Count(body, []byte{'\n'}), usual))
	p.run(body)
	return p.reply
}

type parser struct {
	plugin  string
	config  bool
	reply   Reply
	index   map[string]int // graph name → position in reply.Graphs; this and the other maps are for configs only
	current string         // graph that lines belong to; empty while an invalid multigraph is skipped
	line    int
	attrs   int
	dropped int
	saidOn  map[string]bool // graph attributes already said: the first one wins
	labels  map[string]bool // graph "\x00" field that have a label
}

func newParser(plugin string) *parser {
	return &parser{plugin: plugin, current: SanitisePlugin(plugin)}
}

func (p *parser) fault(text, format string, args ...any) {
	if len(p.reply.Faults) >= MaxFaults {
		p.dropped = max(p.dropped+1, 2) // the one that gives its place to the count, too
		p.reply.Faults[MaxFaults-1] = Fault{Plugin: p.plugin, Reason: fmt.Sprintf("%d more lines could not be used", p.dropped)}
		return
	}
	p.reply.Faults = append(p.reply.Faults,
		Fault{Plugin: p.plugin, Line: p.line, Text: excerpt(text), Reason: fmt.Sprintf(format, args...)})
}

func (p *parser) run(body []byte) {
	for raw := range strings.Lines(string(body)) {
		p.line++
		line := strings.TrimRight(raw, "\r\n")
		if len(line) > MaxLineBytes {
			p.fault(line[:excerptBytes], "the line is longer than %d bytes", MaxLineBytes)
			continue
		}
		p.oneLine(strings.TrimSpace(line))
	}
}

func (p *parser) oneLine(line string) {
	if line == "" || line[0] == '#' {
		p.comment(line)
		return
	}
	key, value := splitWord(line)
	if key == "multigraph" {
		p.multigraph(value)
		return
	}
	if p.current == "" {
		return
	}
	field, attr, dotted := strings.Cut(key, ".")
	switch {
	case !dotted:
		p.graphAttr(key, value)
	case field == "" || attr == "":
		p.fault(line, "want \"field.attribute value\"")
	case attr == "value":
		p.value(field, value)
	default:
		p.fieldAttr(field, attr, value)
	}
}

// comment notices what nodes say in comments instead of an answer.
func (p *parser) comment(line string) {
	lower := strings.ToLower(line)
	for _, said := range []struct{ text, reason string }{
		{"# timed out", "the plugin did not end in time on the node"},
		{"# bad exit", "the plugin failed on the node; run it there with munin-run or corbie-node run to see why"},
		{"# unknown service", "the node does not know this plugin"},
	} {
		if strings.HasPrefix(lower, said.text) {
			p.fault(line, "%s", said.reason)
		}
	}
}

func (p *parser) multigraph(name string) {
	if err := ValidateGraphName(name); err != nil {
		p.fault(name, "multigraph: %v; its lines are dropped", err)
		p.current = ""
		return
	}
	p.current = name
}

func (p *parser) graph() *Graph {
	if i, ok := p.index[p.current]; ok {
		return &p.reply.Graphs[i]
	}
	if len(p.reply.Graphs) >= MaxGraphs {
		return nil
	}
	p.index[p.current] = len(p.reply.Graphs)
	p.reply.Graphs = append(p.reply.Graphs, Graph{Plugin: p.plugin, Name: p.current, Period: "second"})
	return &p.reply.Graphs[len(p.reply.Graphs)-1]
}

func (p *parser) overLimit(attr, value string) bool {
	p.attrs++
	if len(attr) > MaxNameBytes {
		p.fault(attr, "the name is longer than %d bytes", MaxNameBytes)
		return true
	}
	if p.attrs > maxAttributes {
		p.fault("", "more than %d attributes in one reply", maxAttributes)
		return true
	}
	if len(value) > MaxValueBytes {
		p.fault(value, "the text is longer than %d bytes", MaxValueBytes)
		return true
	}
	return false
}

func (p *parser) graphAttr(attr, value string) {
	value = CleanText(value)
	if value == "" {
		if !p.config {
			p.fault(attr, "want \"field.value number\"")
		}
		return
	}
	if !p.config {
		return
	}
	attr = SanitiseField(attr)
	g := p.graph()
	said := p.current + "\x00" + attr
	if g == nil || p.overLimit(attr, value) || p.saidOn[said] {
		return
	}
	p.saidOn[said] = true
	if err := g.Set(attr, value); err != nil {
		p.fault(value, "%v", err)
	}
}

func (p *parser) fieldAttr(field, attr, value string) {
	value = CleanText(value)
	if !p.config || value == "" {
		return
	}
	g := p.graph()
	if g == nil || p.overLimit(attr, value) {
		return
	}
	if i := strings.IndexFunc(attr, func(r rune) bool { return r > unicode.MaxASCII || !isNameByte(byte(r)) }); i >= 0 {
		p.fault(field+"."+attr, "only letters, digits and -_:. are allowed in the name of an attribute")
		return
	}
	name := SanitiseField(field)
	if len(name) > MaxNameBytes {
		p.fault(name, "the field name is longer than %d bytes", MaxNameBytes)
		return
	}
	f, ok := g.Field(name)
	if !ok {
		if len(g.Fields) >= MaxFields {
			p.fault(name, "more than %d fields in one graph", MaxFields)
			return
		}
		g.Fields = append(g.Fields, Field{Name: name, Draw: Draw{Kind: Line, Width: 1}})
		f = &g.Fields[len(g.Fields)-1]
	}
	if attr == "label" {
		p.labels[p.current+"\x00"+name] = true
	}
	if err := f.Set(attr, value); err != nil {
		p.fault(value, "%s: %v", name, err)
	}
}

func (p *parser) value(field, text string) {
	token, _ := splitWord(text)
	if token == "" {
		p.fault(field, "value without a number; print \"%s.value U\" when it is unknown", excerpt(field))
		return
	}
	s := Sample{Graph: p.current, Field: SanitiseField(field)}
	if stamp, rest, timed := strings.Cut(token, ":"); timed {
		if stamp != "N" {
			sec, err := strconv.ParseInt(stamp, 10, 64)
			if err != nil || sec < 0 || sec > math.MaxInt32*100 {
				p.fault(text, "%q is not a time in seconds since 1970", excerpt(stamp))
				return
			}
			s.At = time.Unix(sec, 0).UTC()
		}
		token = rest
	}
	var err error
	if s.Value, err = ParseValue(token); err != nil {
		p.fault(text, "%s: %v", excerpt(field), err)
		return
	}
	if len(s.Field) > MaxNameBytes || len(p.reply.Samples) >= MaxSamples {
		p.fault(text, "more than %d values in one reply, or a field name that is too long", MaxSamples)
		return
	}
	p.reply.Samples = append(p.reply.Samples, s)
	if p.config {
		p.reply.Dirty = true
		p.graph()
	}
}

func (p *parser) finishGraphs() {
	for i := range p.reply.Graphs {
		g := &p.reply.Graphs[i]
		g.Title = g.expandPeriod(g.Title)
		if g.Title == "" {
			g.Title = g.Name
		}
		if g.Category == "" {
			g.Category = "other"
		}
		for j := range g.Fields {
			f := &g.Fields[j]
			f.Label = g.expandPeriod(f.Label)
			if f.Label == "" {
				f.Label = f.Name
				if !p.labels[g.Name+"\x00"+f.Name] && len(f.Extra)+len(f.Info) == 0 {
					f.Info = noLabelMessage
				}
			}
		}
		g.SortFields()
	}
}

// SortFields puts the fields into the order of graph_order, those it does not name after them as they were.
// Items with a leading "-" and borrowed fields ("alias=path") only give a position to the name before "=".
func (g *Graph) SortFields() {
	rank := make(map[string]int, len(g.Order))
	for i, item := range g.Order {
		name, _, _ := strings.Cut(strings.TrimPrefix(item, "-"), "=")
		if _, ok := rank[SanitiseField(name)]; !ok {
			rank[SanitiseField(name)] = i
		}
	}
	slices.SortStableFunc(g.Fields, func(a, b Field) int {
		ra, oka := rank[a.Name]
		rb, okb := rank[b.Name]
		switch {
		case oka && okb:
			return ra - rb
		case oka:
			return -1
		case okb:
			return 1
		}
		return 0
	})
}

// ParseValue reads a plugin's number: U and NaN are unknown (NaN), infinities are kept.
func ParseValue(token string) (float64, error) {
	switch {
	case token == "":
		return 0, errors.New("there is no number")
	case strings.EqualFold(token, "u"), strings.EqualFold(token, "nan"), strings.EqualFold(token, "-nan"):
		return math.NaN(), nil
	case len(token) > 400:
		return 0, errors.New("the number is too long")
	case strings.ContainsAny(token, "xXpP_"):
		return 0, fmt.Errorf("%q is not a decimal number", excerpt(token))
	case strings.Contains(token, ","):
		return 0, fmt.Errorf("%q is not a number; use a point, not a comma (LC_ALL=C)", excerpt(token))
	}
	v, err := strconv.ParseFloat(token, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("%q is not a number; print U when the value is unknown", excerpt(token))
	}
	return v, nil
}

// SanitiseField makes a field name as Munin's master does: every character but A-Z, a-z, 0-9 and _ becomes _,
// and so does a first character that is a digit.
func SanitiseField(name string) string {
	return sanitise(name, true)
}

// SanitisePlugin makes the name under which a plugin's graph is stored.
func SanitisePlugin(name string) string {
	return sanitise(name, false)
}

func sanitise(name string, noLeadingDigit bool) string {
	clean := []byte(nil)
	for i := range len(name) {
		c := name[i]
		letter := c == '_' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if letter || c >= '0' && c <= '9' && (i > 0 || !noLeadingDigit) {
			continue
		}
		if clean == nil {
			clean = []byte(name)
		}
		clean[i] = '_'
	}
	if clean == nil {
		return name
	}
	return string(clean)
}

// ValidateGraphName checks the name of a multigraph: letters, digits and -_:. without leading, trailing or
// doubled dots, and not "multigraph".
func ValidateGraphName(name string) error {
	switch {
	case name == "":
		return errors.New("the name is missing")
	case len(name) > MaxNameBytes:
		return fmt.Errorf("the name is longer than %d bytes", MaxNameBytes)
	case name == "multigraph":
		return errors.New("a graph cannot be named multigraph")
	case name[0] == '.' || name[len(name)-1] == '.' || strings.Contains(name, ".."):
		return errors.New("a name cannot begin or end with a dot or hold two in a row")
	}
	for _, c := range []byte(name) {
		if !isNameByte(c) {
			return fmt.Errorf("%q: only letters, digits and -_:. are allowed", excerpt(name))
		}
	}
	return nil
}

func isNameByte(c byte) bool {
	return c == '_' || c == '-' || c == ':' || c == '.' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// ValidatePluginName checks a name before it is used on the wire or as a file: letters, digits and -_.:@,
// not hidden.
func ValidatePluginName(name string) error {
	if name == "" || name[0] == '.' || len(name) > MaxNameBytes {
		return fmt.Errorf("plugin name %q: it must have 1 to %d characters and not begin with a dot", excerpt(name), MaxNameBytes)
	}
	for _, c := range []byte(name) {
		if !isNameByte(c) && c != '@' {
			return fmt.Errorf("plugin name %q: only letters, digits and -_.:@ are allowed", excerpt(name))
		}
	}
	return nil
}

// CleanText makes text from a plugin or node fit to be kept and shown: valid UTF-8 (Latin-1 is taken for what
// is not), no control characters, trimmed.
func CleanText(s string) string {
	if !utf8.ValidString(s) {
		var b strings.Builder
		for i := range len(s) {
			b.WriteRune(rune(s[i]))
		}
		s = b.String()
	}
	s = strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if unicode.IsControl(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, s)
	return strings.TrimSpace(s)
}

// excerpt is a printable, short form of hostile text for messages.
func excerpt(s string) string {
	if len(s) > excerptBytes {
		cut := excerptBytes
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		return CleanText(s[:cut]) + "…"
	}
	return CleanText(s)
}

func splitWord(s string) (word, rest string) {
	i := strings.IndexAny(s, " \t")
	if i < 0 {
		return s, ""
	}
	return s[:i], strings.TrimSpace(s[i:])
}
