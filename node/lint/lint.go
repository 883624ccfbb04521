// Package lint finds what breaks or surprises in what a plugin says: its config, its values, its answer to
// autoconf, how its runs ended, and the few lines of its file that others read.
//
// It is pure: it is given the texts and the outcome of runs, and gives findings. Whatever the master's own
// parser refuses is among them, as the last check compares both.
package lint

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"corbie/munin"
)

// Severity says how much a finding matters. A greater one is worse.
type Severity int

// The severities.
const (
	Hint    Severity = iota // works, but could be better
	Warning                 // works, but not as its author thinks, or not with every master
	Error                   // a graph, a value or a level is lost
)

// String is the word that people and JSON see.
func (s Severity) String() string {
	switch s {
	case Hint:
		return "hint"
	case Warning:
		return "warning"
	case Error:
		return "error"
	}
	return "severity(" + strconv.Itoa(int(s)) + ")"
}

// MarshalText makes a severity a word in JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Where says what a finding's line number counts.
type Where string

// The texts that are looked at.
const (
	File     Where = "file"     // the plugin's own text
	Config   Where = "config"   // what it prints when called with "config"
	Values   Where = "values"   // what it prints when called without an argument
	Dirty    Where = "dirty"    // what it prints for "config" to a master that takes values with it
	Autoconf Where = "autoconf" // what it prints when called with "autoconf"
)

// Finding is one thing that is wrong with a plugin, or could be better.
type Finding struct {
	Severity Severity `json:"severity"`
	Rule     string   `json:"rule"` // a short name that stays the same from version to version
	Where    Where    `json:"where"`
	Line     int      `json:"line,omitempty"`  // from 1; 0 when it concerns the whole text
	Graph    string   `json:"graph,omitempty"` // only of a plugin that describes several
	Field    string   `json:"field,omitempty"`
	Text     string   `json:"text"` // what is wrong
	Mend     string   `json:"mend"` // what to do about it
}

// String is one line for people, without the severity and the plugin.
func (f Finding) String() string {
	text := string(f.Where)
	if f.Line > 0 {
		text += " line " + strconv.Itoa(f.Line)
	}
	switch {
	case f.Graph != "" && f.Field != "":
		text += ": " + f.Graph + ": " + f.Field
	case f.Graph != "" || f.Field != "":
		text += ": " + f.Graph + f.Field
	}
	return text + ": " + f.Text
}

// Run is how one run of a plugin went.
type Run struct {
	Output   []byte
	Stderr   []string // last lines
	ExitCode int      // -1 when it did not start or was ended
	At       time.Time
	Took     time.Duration
	Err      error // nil when it ended by itself with exit code 0
}

// Subject is a plugin with all that is known of it.
type Subject struct {
	Name   string
	File   []byte // its text; empty for a native plugin and for a compiled program
	Config Run
	Values Run
	Dirty  *Run // config, asked with the capability dirtyconfig; nil: not asked
	// Autoconf is nil for a plugin that does not say that it knows the word.
	Autoconf *Run
}

// MaxFindings is how many findings are kept of one plugin.
const MaxFindings = 200

// Check finds what breaks or surprises in a plugin, in the order of the texts and of their lines.
func Check(s Subject) []Finding {
	c := &checker{name: s.Name, byName: make(map[string]*graph)}
	c.checkName(s.Name)
	c.checkFile(s.File)
	if s.Autoconf != nil {
		c.checkAutoconf(s.Autoconf)
	}
	if c.checkRun(Config, &s.Config) {
		c.readConfig(s.Config.Output)
		c.checkGraphs()
		c.compare(Config, munin.ParseConfig(s.Name, s.Config.Output).Faults)
	}
	described := len(c.graphs) > 0
	if c.checkRun(Values, &s.Values) {
		c.readValues(Values, &s.Values, described)
		c.compare(Values, munin.ParseFetch(s.Name, s.Values.Output).Faults)
	}
	if s.Dirty != nil && c.checkRun(Dirty, s.Dirty) {
		c.checkDirty(s.Dirty, described)
	}
	return c.sorted()
}

// Worst is the severity of the worst of some findings; ok is false when there is none.
func Worst(findings []Finding) (worst Severity, ok bool) {
	for _, f := range findings {
		worst = max(worst, f.Severity)
	}
	return worst, len(findings) > 0
}

// checker collects findings. The graphs are what the config described so far.
type checker struct {
	name     string
	findings []Finding
	graphs   []*graph
	byName   map[string]*graph
	where    Where
	graph    *graph // that lines belong to; nil after an invalid multigraph line
}

// at is where a finding is: a line of the text that is being read, and the field that it is about.
type at struct {
	line  int
	graph string
	field string
}

func (c *checker) add(severity Severity, rule string, where at, mend, format string, args ...any) {
	if len(c.findings) >= MaxFindings {
		return
	}
	if len(c.findings) == MaxFindings-1 {
		severity, rule, mend, format, args = Error, "and-more", "mend what is above first", "there is more that is wrong", nil
	}
	f := Finding{
		Severity: severity, Rule: rule, Where: c.where, Line: where.line, Graph: where.graph, Field: excerpt(where.field),
		Text: fmt.Sprintf(format, args...), Mend: mend,
	}
	if f.Graph == munin.SanitisePlugin(c.name) {
		f.Graph = ""
	}
	f.Graph = excerpt(f.Graph)
	c.findings = append(c.findings, f)
}

// compare adds what the master's parser refuses and nothing else found.
func (c *checker) compare(where Where, faults []munin.Fault) {
	c.where = where
	for _, fault := range faults {
		known := slices.ContainsFunc(c.findings, func(f Finding) bool { return f.Where == where && f.Line == fault.Line })
		if !known {
			c.add(Error, "refused", at{line: fault.Line}, "see docs/plugins.md for what a line may hold", "%s: %s", fault.Reason, fault.Text)
		}
	}
}

func (c *checker) sorted() []Finding {
	order := map[Where]int{File: 0, Autoconf: 1, Config: 2, Values: 3, Dirty: 4}
	slices.SortStableFunc(c.findings, func(a, b Finding) int {
		return cmp.Or(order[a.Where]-order[b.Where], a.Line-b.Line, int(b.Severity-a.Severity))
	})
	return slices.Compact(c.findings)
}

// excerpt is a printable, short form of a plugin's text.
func excerpt(s string) string {
	const longest = 60
	s = munin.CleanText(s)
	if runes := []rune(s); len(runes) > longest {
		return string(runes[:longest]) + "…"
	}
	return s
}
