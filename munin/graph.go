package munin

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// FieldType says how raw values become the values that people see.
type FieldType int

// The types that rrdtool knows. DCounter and DDerive are their namesakes for fractional counters.
const (
	Gauge FieldType = iota
	Counter
	Derive
	Absolute
	DCounter
	DDerive
)

//nolint:gochecknoglobals // a constant table
var fieldTypes = [...]string{"GAUGE", "COUNTER", "DERIVE", "ABSOLUTE", "DCOUNTER", "DDERIVE"}

// String is the word that plugins use.
func (t FieldType) String() string {
	if t < 0 || int(t) >= len(fieldTypes) {
		return "type(" + strconv.Itoa(int(t)) + ")"
	}
	return fieldTypes[t]
}

// ParseFieldType reads a plugin's word, in any case.
func ParseFieldType(s string) (FieldType, error) {
	for i, name := range fieldTypes {
		if strings.EqualFold(name, s) {
			return FieldType(i), nil
		}
	}
	return Gauge, fmt.Errorf("type %q: want GAUGE, COUNTER, DERIVE or ABSOLUTE", excerpt(s))
}

// MarshalText makes a type a word in JSON.
func (t FieldType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (t *FieldType) UnmarshalText(text []byte) error {
	got, err := ParseFieldType(string(text))
	*t = got
	return err
}

// IsRate says whether the values shown are per second (or graph_period).
func (t FieldType) IsRate() bool { return t != Gauge }

// DrawKind is the shape of a field's curve.
type DrawKind int

// The shapes. Stacked ones stand on the field drawn before.
const (
	Line DrawKind = iota
	Area
	Stack
	AreaStack
	LineStack
)

// Draw is a field's draw attribute, taken apart.
type Draw struct {
	Kind  DrawKind `json:"kind"`
	Width float64  `json:"width,omitempty"` // of the line, in pixels; 0 for areas and stacks
}

// ParseDraw reads LINE1, LINE2.5, AREA, STACK, AREASTACK, LINESTACK1.
func ParseDraw(s string) (Draw, error) {
	word := strings.ToUpper(strings.TrimSpace(s))
	width := func(tail string) (float64, bool) {
		if tail == "" {
			return 1, true
		}
		w, err := strconv.ParseFloat(tail, 64)
		return w, err == nil && w > 0 && w <= 10
	}
	switch {
	case word == "AREA":
		return Draw{Kind: Area}, nil
	case word == "STACK":
		return Draw{Kind: Stack}, nil
	case word == "AREASTACK":
		return Draw{Kind: AreaStack}, nil
	case strings.HasPrefix(word, "LINESTACK"):
		if w, ok := width(word[len("LINESTACK"):]); ok {
			return Draw{Kind: LineStack, Width: w}, nil
		}
	case strings.HasPrefix(word, "LINE"):
		if w, ok := width(word[len("LINE"):]); ok {
			return Draw{Kind: Line, Width: w}, nil
		}
	}
	return Draw{Kind: Line, Width: 1}, fmt.Errorf("draw %q: want LINE1 to LINE3, AREA, STACK, AREASTACK or LINESTACK1", excerpt(s))
}

// String is the plugin's spelling.
func (d Draw) String() string {
	w := strconv.FormatFloat(d.Width, 'g', -1, 64)
	switch d.Kind {
	case Line:
		return "LINE" + w
	case Area:
		return "AREA"
	case Stack:
		return "STACK"
	case AreaStack:
		return "AREASTACK"
	case LineStack:
		return "LINESTACK" + w
	}
	return "LINE1"
}

// Graph is one picture that a plugin describes: its attributes and its fields.
type Graph struct {
	Plugin     string        `json:"plugin"`                // wire name of the plugin that described it
	Name       string        `json:"name"`                  // stored name; multigraph dots are kept
	Title      string        `json:"title"`                 // graph_title; the name where none was said
	VLabel     string        `json:"vlabel,omitempty"`      // graph_vlabel, ${graph_period} expanded by Unit
	Category   string        `json:"category"`              // lower case; "other" where none was said
	Info       string        `json:"info,omitempty"`        // graph_info, untrusted HTML or text
	Args       string        `json:"args,omitempty"`        // graph_args as said
	Order      []string      `json:"order,omitempty"`       // graph_order items as said
	Period     string        `json:"period"`                // second, minute or hour
	NoScale    bool          `json:"noscale,omitempty"`     // graph_scale no: no SI prefixes
	Printf     string        `json:"printf,omitempty"`      // graph_printf
	Total      string        `json:"total,omitempty"`       // graph_total: label of the sum
	Hidden     bool          `json:"hidden,omitempty"`      // graph no
	UpdateRate time.Duration `json:"update_rate,omitempty"` // 0: the host's interval
	// NodeName is the virtual node for which the plugin speaks (host_name), empty for the node itself.
	NodeName string `json:"host_name,omitempty"`
	// LastSeen is when a poll last brought the description; zero until it was stored.
	LastSeen time.Time         `json:"-"`
	Fields   []Field           `json:"fields"`          // in drawing order
	Extra    map[string]string `json:"extra,omitempty"` // every other attribute, as said
	// Origin says where an attribute came from when not from the plugin: "corbie.yml:14".
	Origin map[string]string `json:"origin,omitempty"`
}

// Field is one curve of a graph.
type Field struct {
	Name     string    `json:"name"` // sanitised
	Label    string    `json:"label"`
	Type     FieldType `json:"type"`
	Draw     Draw      `json:"draw"`
	Colour   string    `json:"colour,omitempty"`   // RRGGBB or COLOURn, without #
	CDEF     string    `json:"cdef,omitempty"`     // RPN over field names; changes pictures, not levels
	Negative string    `json:"negative,omitempty"` // name of the field mirrored below zero
	Hidden   bool      `json:"hidden,omitempty"`   // graph no: kept, not drawn by itself
	Bounds   Bounds    `json:"bounds"`             // min and max of the rate; outside is unknown
	Warning  Bounds    `json:"warning"`
	Critical Bounds    `json:"critical"`
	// UnknownLimit is how many unknown values in a row are tolerated; 0 means the default, 3.
	UnknownLimit int               `json:"unknown_limit,omitempty"`
	Info         string            `json:"info,omitempty"`
	ExtInfo      string            `json:"extinfo,omitempty"` // added to notices
	Line         string            `json:"line,omitempty"`    // value[:colour[:label]]
	Extra        map[string]string `json:"extra,omitempty"`   // every other attribute: sum, stack, trend, …
	// From are the series that the field's values come from, where it has none of its own: the one that it borrows,
	// or those whose sum it is. Graph.Borrow fills it in.
	From []Source `json:"from,omitempty"`
	// Origin says where an attribute came from when not from the plugin: "corbie.yml:14".
	Origin map[string]string `json:"origin,omitempty"`
}

// DefaultUnknownLimit is how many unknown values in a row leave the state of a field as it is.
const DefaultUnknownLimit = 3

// Base is 1024 where graph_args say so, else 1000. As in rrdtool, letters after the number say nothing.
func (g *Graph) Base() int {
	args := strings.Fields(g.AllArgs())
	for i, arg := range args {
		value, joined := strings.CutPrefix(arg, "--base=")
		if !joined && (arg == "--base" || arg == "-b") && i+1 < len(args) {
			value, joined = args[i+1], true
		}
		if joined && strings.HasPrefix(value, "1024") {
			return 1024
		}
	}
	return 1000
}

// AllArgs is graph_args with graph_args_after, which goes after everything.
func (g *Graph) AllArgs() string {
	if after := g.Extra["graph_args_after"]; after != "" {
		return strings.TrimSpace(g.Args + " " + after)
	}
	return g.Args
}

// Sums says whether the graph asks to be drawn by what its rates add up to in an hour and in a day as well: graph_sums.
func (g *Graph) Sums() bool {
	yes, err := ParseBool(g.Extra["graph_sums"])
	return err == nil && yes
}

// Size is how large the plugin wants the plot, in pixels: graph_width and graph_height, 400 by 175 where it does not say,
// within 100 to 2000.
func (g *Graph) Size() (width, height int) {
	size := func(name string, usual int) int {
		n, err := strconv.Atoi(strings.TrimSpace(g.Extra[name]))
		if err != nil || n < 1 {
			return usual
		}
		return min(max(n, 100), 2000)
	}
	return size("graph_width", 400), size("graph_height", 175)
}

// Unit is the y label with ${graph_period} expanded.
func (g *Graph) Unit() string { return g.expandPeriod(g.VLabel) }

func (g *Graph) expandPeriod(text string) string {
	return strings.ReplaceAll(text, "${graph_period}", g.Period)
}

// PeriodFactor turns a rate per second into one per graph_period.
func (g *Graph) PeriodFactor() float64 {
	switch g.Period {
	case "minute":
		return 60
	case "hour":
		return 3600
	}
	return 1
}

// Field finds a field by name.
func (g *Graph) Field(name string) (*Field, bool) {
	for i := range g.Fields {
		if g.Fields[i].Name == name {
			return &g.Fields[i], true
		}
	}
	return nil, false
}

// Step is the time between two samples of this graph on a host polled at the given interval.
func (g *Graph) Step(interval time.Duration) time.Duration {
	if g.UpdateRate > 0 {
		return max(g.UpdateRate, interval)
	}
	return interval
}

// Source says how to read a field of this graph on a host polled at the given interval. A rate needs two
// samples at most two steps apart, as Munin's RRDs have it, and a tenth more for a late poll.
// A borrowed field is read where it was borrowed from.
func (g *Graph) Source(host HostID, f *Field, interval time.Duration) Source {
	if len(f.From) == 1 {
		return f.From[0]
	}
	return Source{
		ID:        SeriesID{Host: host, Graph: g.Name, Field: f.Name},
		Type:      f.Type,
		Bounds:    f.Bounds,
		Heartbeat: g.Step(interval) * 21 / 10,
		Sum:       f.From,
	}
}

// Set gives the graph one of Munin's graph attributes from its text; one that Corbie does not interpret is
// kept in Extra. The error says what was expected; the graph is then unchanged.
func (g *Graph) Set(attr, value string) error {
	if text := g.text(attr); text != nil {
		*text = value
		return nil
	}
	switch attr {
	case "graph_category":
		g.Category = strings.ToLower(value)
	case "graph_order":
		g.Order = strings.Fields(value)
	case "host_name":
		g.NodeName = strings.ToLower(value)
	case "graph_period":
		if value != "second" && value != "minute" && value != "hour" {
			return fmt.Errorf("graph_period %q: want second, minute or hour", excerpt(value))
		}
		g.Period = value
	case "graph_scale":
		return setBool(&g.NoScale, attr, value, false)
	case "graph_noscale":
		return setBool(&g.NoScale, attr, value, true)
	case "graph":
		if value == "on-demand" {
			return nil
		}
		return setBool(&g.Hidden, attr, value, false)
	case "update_rate":
		return g.setUpdateRate(value)
	default:
		g.setExtra(attr, value)
	}
	return nil
}

func (g *Graph) setUpdateRate(value string) error {
	rate, err := parseUpdateRate(value)
	if err != nil {
		return err
	}
	g.UpdateRate = rate
	g.setExtra("update_rate", value)
	return nil
}

// text is where an attribute that is plain text is kept, nil for every other.
func (g *Graph) text(attr string) *string {
	switch attr {
	case "graph_title":
		return &g.Title
	case "graph_vlabel", "graph_vtitle":
		return &g.VLabel
	case "graph_info":
		return &g.Info
	case "graph_args":
		return &g.Args
	case "graph_printf":
		return &g.Printf
	case "graph_total":
		return &g.Total
	}
	return nil
}

func (g *Graph) setExtra(attr, value string) {
	if g.Extra == nil {
		g.Extra = make(map[string]string)
	}
	g.Extra[attr] = value
}

// Set gives the field one of Munin's field attributes from its text; one that Corbie does not interpret is
// kept in Extra. The error says what was expected; the field is then unchanged.
func (f *Field) Set(attr, value string) error {
	if text := f.text(attr); text != nil {
		*text = value
		return nil
	}
	var err error
	switch attr {
	case "type":
		err = setParsed(&f.Type, value, ParseFieldType)
	case "draw":
		err = setParsed(&f.Draw, value, ParseDraw)
	case "colour":
		f.Colour = strings.TrimLeft(value, "#")
	case "negative":
		f.Negative = SanitiseField(value)
	case "graph":
		err = setBool(&f.Hidden, attr, value, false)
	case "skipdraw":
		err = setBool(&f.Hidden, attr, value, true)
	case "min":
		f.Bounds.Low, f.Bounds.HasLow, err = parseExtreme(attr, value, f.Bounds.Low, f.Bounds.HasLow)
	case "max":
		f.Bounds.High, f.Bounds.HasHigh, err = parseExtreme(attr, value, f.Bounds.High, f.Bounds.HasHigh)
	case "warning":
		err = setBounds(&f.Warning, attr, value)
	case "critical":
		err = setBounds(&f.Critical, attr, value)
	case "unknown_limit":
		err = setParsed(&f.UnknownLimit, value, parseUnknownLimit)
	default:
		if f.Extra == nil {
			f.Extra = make(map[string]string)
		}
		f.Extra[attr] = value
	}
	return err
}

// text is where an attribute that is plain text is kept, nil for every other.
func (f *Field) text(attr string) *string {
	switch attr {
	case "label":
		return &f.Label
	case "cdef":
		return &f.CDEF
	case "info":
		return &f.Info
	case "extinfo":
		return &f.ExtInfo
	case "line":
		return &f.Line
	}
	return nil
}

// setParsed keeps what was there when the text cannot be read.
func setParsed[T any](target *T, value string, parse func(string) (T, error)) error {
	got, err := parse(value)
	if err == nil {
		*target = got
	}
	return err
}

func parseUnknownLimit(value string) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("unknown_limit %q: want a whole number from 1", excerpt(value))
	}
	return n, nil
}

func setBounds(b *Bounds, attr, value string) error {
	got, err := ParseBounds(value)
	if err != nil {
		return fmt.Errorf("%s: %w", attr, err)
	}
	*b = got
	return nil
}

func parseExtreme(attr, value string, old float64, had bool) (float64, bool, error) {
	if value == "U" || value == "u" || value == "" {
		return 0, false, nil
	}
	v, err := ParseValue(value)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return old, had, fmt.Errorf("%s %q: want a number or U", attr, excerpt(value))
	}
	return v, true, nil
}

func setBool(target *bool, attr, value string, whenTrue bool) error {
	v, err := ParseBool(value)
	if err != nil {
		return fmt.Errorf("%s: %w", attr, err)
	}
	*target = v == whenTrue
	return nil
}

// ParseBool reads the words that Munin takes for yes and no.
func ParseBool(s string) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "yes", "true", "on", "enable", "enabled", "1":
		return true, nil
	case "no", "false", "off", "disable", "disabled", "0":
		return false, nil
	}
	return false, fmt.Errorf("%q: want yes or no", excerpt(s))
}

// parseUpdateRate reads "60", "5m" or "60 aligned".
func parseUpdateRate(value string) (time.Duration, error) {
	word, _, _ := strings.Cut(strings.TrimSpace(value), " ")
	unit := time.Second
	if n := len(word); n > 0 {
		switch word[n-1] {
		case 's':
			word = word[:n-1]
		case 'm':
			unit, word = time.Minute, word[:n-1]
		case 'h':
			unit, word = time.Hour, word[:n-1]
		case 'd':
			unit, word = 24*time.Hour, word[:n-1]
		}
	}
	n, err := strconv.Atoi(word)
	if err != nil || n < 1 || n > 366*86400 {
		return 0, fmt.Errorf("update_rate %q: want seconds, such as 300", excerpt(value))
	}
	return time.Duration(n) * unit, nil
}
