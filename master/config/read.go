package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"corbie/master/jobs"
	"corbie/master/poll"
	"corbie/munin"
)

type node = yaml.Node

// reader takes the YAML tree of one file apart.
type reader struct {
	*findings

	name   string
	flags  Flags
	folder *folder // nil: files that are named are not read
}

// findings collect what is wrong in all files.
type findings struct {
	problems []Problem
	warnings []string
	rejected []string
}

func (f *findings) problemAt(at Place, format string, args ...any) {
	f.problems = append(f.problems, Problem{At: at, Text: munin.CleanText(fmt.Sprintf(format, args...))})
}

func (f *findings) warnAt(at Place, format string, args ...any) {
	f.warnings = append(f.warnings, at.String()+": "+munin.CleanText(fmt.Sprintf(format, args...)))
}

func (r *reader) at(line int) Place { return Place{File: r.name, Line: line} }

func (r *reader) problem(line int, format string, args ...any) {
	r.problemAt(r.at(line), format, args...)
}

func (r *reader) warn(line int, format string, args ...any) {
	r.warnAt(r.at(line), format, args...)
}

var yamlErrorLine = regexp.MustCompile(`^(?:yaml: )?line (\d+): `)

// document parses the text as YAML. It is false when there is nothing to read.
func (r *reader) document(text []byte) (*node, bool) {
	if len(text) > maxFileBytes {
		r.problem(0, "the file is longer than %d bytes", maxFileBytes)
		return nil, false
	}
	if !utf8.Valid(text) {
		r.problem(1+bytes.Count(text[:firstInvalid(text)], []byte("\n")), "the file is not valid UTF-8")
		return nil, false
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var doc node
	if err := decoder.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, false
	} else if err != nil {
		r.syntax(err)
		return nil, false
	}
	if err := decoder.Decode(new(node)); !errors.Is(err, io.EOF) {
		r.problem(0, "the file holds more than one document; take out the lines \"---\" and \"...\"")
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, false
	}
	root := doc.Content[0]
	return root, !isNull(root)
}

func firstInvalid(text []byte) int {
	for i := 0; i < len(text); {
		c, size := utf8.DecodeRune(text[i:])
		if c == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(text)
}

func (r *reader) syntax(err error) {
	text, line := strings.TrimPrefix(err.Error(), "yaml: "), 0
	if m := yamlErrorLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	advice := ""
	switch {
	case strings.Contains(text, "alphabetic or numeric"), strings.Contains(text, "unknown anchor"):
		advice = `; put a text that begins with * or & in quotes: match: "*:df.*"`
	case strings.Contains(text, "cannot start any token"):
		advice = "; indent with blanks, not with tabs, and put texts with special characters in quotes"
	case strings.Contains(text, "mapping values are not allowed"):
		advice = "; is the line indented as those around it? A text that holds \": \" must be in quotes"
	case strings.Contains(text, "did not find expected key"):
		advice = "; is this line indented as those around it?"
	}
	r.problem(line, "this is not YAML: %s%s", text, advice)
}

func isNull(n *node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// plain says whether a node may be used; anchors, aliases and tags are not.
func (r *reader) plain(n *node) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		r.problem(n.Line, "aliases (*%s) are not supported; settings that hosts share belong in groups", n.Value)
	case n.Anchor != "":
		r.problem(n.Line, "anchors (&%s) are not supported; settings that hosts share belong in groups", n.Anchor)
	case n.Style&yaml.TaggedStyle != 0:
		r.problem(n.Line, "tags (%s) are not supported", n.Tag)
	default:
		return true
	}
	return false
}

// entry is one key of a mapping with its value.
type entry struct{ key, value *node }

// entries are the pairs of a mapping, in the order of the file, without doubled keys.
func (r *reader) entries(n *node, where string) []entry {
	if !r.plain(n) || isNull(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		r.problem(n.Line, "%swant \"key: value\" pairs here, found %s", prefix(where), describe(n))
		return nil
	}
	lines := make(map[string]int)
	var list []entry
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !r.plain(key) {
			continue
		}
		if key.Kind != yaml.ScalarNode {
			r.problem(key.Line, "%sa key must be a text", prefix(where))
			continue
		}
		if before, twice := lines[key.Value]; twice {
			r.problem(key.Line, "%q%s is there twice, first in line %d", key.Value, in(where), before)
			continue
		}
		lines[key.Value] = key.Line
		list = append(list, entry{key, value})
	}
	return list
}

// belongs says under which other section a key is written.
func belongs(key, where string) string {
	switch {
	case strings.HasPrefix(where, "graphs") && slices.Contains(levelAttrs(), key):
		return "it is an attribute of fields; write it under \"levels\", with match: HOST:GRAPH.FIELD"
	case strings.HasPrefix(where, "levels") && slices.Contains(graphAttrs(), key):
		return "it is an attribute of graphs; write it under \"graphs\", with match: HOST:GRAPH"
	}
	return ""
}

const noValue = "take the line out or complete it"

// valued are the entries of a mapping that have a value; advice says what to write where one has none.
func (r *reader) valued(n *node, where, advice string) []entry {
	return slices.DeleteFunc(r.entries(n, where), func(e entry) bool {
		if isNull(e.value) {
			r.problem(e.key.Line, "%s: %q has no value; %s", where, short(e.key.Value), advice)
		}
		return isNull(e.value)
	})
}

// list are the entries of a list; want says what it has to hold.
func (r *reader) list(n *node, want string) []*node {
	if n.Kind != yaml.SequenceNode {
		r.problem(n.Line, "%s", want)
		return nil
	}
	return n.Content
}

// oneOrMore are the entries of a list; a single one may stand without the list.
func oneOrMore(n *node) []*node {
	if n.Kind != yaml.SequenceNode {
		return []*node{n}
	}
	return n.Content
}

// item is one entry of a list of mappings.
type item struct {
	*node

	where string // in words: "levels, entry 3"
}

// items are the entries of a section that is a list of mappings, in each of which the key that is named must be set.
// A section that is not there has none.
func (r *reader) items(n *node, section, key string) []item {
	if n == nil {
		return nil
	}
	nodes := r.list(n, fmt.Sprintf("%s: want a list: each entry begins with \"- %s: …\"", section, key))
	items := make([]item, len(nodes))
	for i, node := range nodes {
		items[i] = item{node, fmt.Sprintf("%s, entry %d", section, i+1)}
	}
	return items
}

// mapping calls the function of each key; a key without a function is an error. It is false when anything was wrong.
func (r *reader) mapping(n *node, where string, keys map[string]func(*node)) bool {
	before := len(r.problems)
	for _, e := range r.entries(n, where) {
		read, known := keys[e.key.Value]
		switch {
		case !known && belongs(e.key.Value, where) != "":
			r.problem(e.key.Line, "%q%s: %s", short(e.key.Value), in(where), belongs(e.key.Value, where))
		case !known:
			r.problem(e.key.Line, "unknown key %q%s%s", short(e.key.Value), in(where), nearest(e.key.Value, keys))
		case isNull(e.value) && where == "" && slices.Contains([]string{"groups", "hosts", "levels", "receivers", "roles", "graphs"}, e.key.Value):
		case isNull(e.value):
			r.problem(e.key.Line, "%q%s has no value; %s", e.key.Value, in(where), noValue)
		case r.plain(e.value):
			read(e.value)
		}
	}
	return len(r.problems) == before
}

func in(where string) string {
	if where == "" {
		return ""
	}
	return " in " + short(where)
}

func prefix(where string) string {
	if where == "" {
		return ""
	}
	return short(where) + ": "
}

func short(text string) string {
	const most = 100
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

func describe(n *node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "\"key: value\" pairs"
	case yaml.ScalarNode:
		return fmt.Sprintf("%q", short(n.Value))
	case yaml.DocumentNode, yaml.AliasNode:
	}
	return "something else"
}

// nearest proposes the key that was probably meant, or names them all.
func nearest[V any](key string, keys map[string]V) string {
	if key == "<<" {
		return ": merge keys are not supported; settings that hosts share belong in groups"
	}
	names := make([]string, 0, len(keys))
	for name := range keys {
		names = append(names, name)
	}
	slices.Sort(names)
	best, distance := "", 1000
	for _, name := range names {
		if d := munin.EditDistance(strings.ToLower(short(key)), name, distance-1); d < distance {
			best, distance = name, d
		}
	}
	if distance <= max(1, len(best)/3) || len(key) > 2 && (strings.HasPrefix(best, key) || strings.HasPrefix(key, best)) {
		return fmt.Sprintf(": did you mean %q?", best)
	}
	return "; the keys here are " + strings.Join(names, ", ")
}

// text is a scalar's text. YAML's ideas about numbers, dates and "yes" do not matter: it is taken as written.
func (r *reader) text(n *node) string {
	if !r.plain(n) {
		return ""
	}
	if n.Kind != yaml.ScalarNode {
		r.problem(n.Line, "want a single value here, found %s", describe(n))
		return ""
	}
	value := strings.TrimSpace(n.Value)
	if value == "" {
		r.problem(n.Line, "the value is empty")
		return ""
	}
	if munin.CleanText(value) != value {
		r.problem(n.Line, "the value holds control characters or line ends")
		return ""
	}
	return value
}

// texts is a list of texts; a single one may stand without the list.
func (r *reader) texts(n *node) []string {
	var list []string
	for _, item := range oneOrMore(n) {
		if value := r.text(item); value != "" {
			list = append(list, value)
		}
	}
	if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		r.problem(n.Line, "the list is empty")
	}
	return list
}

// word is a text that must be one of those given.
func (r *reader) word(n *node, words ...string) string {
	value := r.text(n)
	if value != "" && !slices.Contains(words, value) {
		r.problem(n.Line, "%q: want %s", short(value), strings.Join(words, ", "))
		return ""
	}
	return value
}

func (r *reader) duration(n *node, low, high time.Duration) time.Duration {
	value := r.text(n)
	if value == "" {
		return low
	}
	d, err := munin.ParseDuration(value)
	switch {
	case err != nil && (strings.HasPrefix(value, "@") || len(strings.Fields(value)) == 5):
		r.problem(n.Line, "%q is a schedule as cron has it: write it under \"schedule\" of a group, role or host, instead of \"interval\"", short(value))
	case err != nil:
		r.problem(n.Line, "%v", err)
	case d < low || d > high:
		r.problem(n.Line, "%s: want %s to %s", value, munin.FormatDuration(low), munin.FormatDuration(high))
	default:
		return d
	}
	return low
}

func (r *reader) count(n *node, low, high int) int {
	value := r.text(n)
	got, err := strconv.Atoi(value)
	if value != "" && (err != nil || got < low || got > high) {
		r.problem(n.Line, "%q: want a whole number from %d to %d", short(value), low, high)
		return low
	}
	return got
}

func (r *reader) yes(n *node) bool {
	value := r.text(n)
	if value == "" {
		return false
	}
	v, err := munin.ParseBool(value)
	if err != nil {
		r.problem(n.Line, "%v", err)
	}
	return v
}

func (r *reader) listen(n *node, fallback string) string {
	value := r.text(n)
	if value == "" {
		return fallback
	}
	host, port, err := net.SplitHostPort(value)
	if err != nil || !isPort(port, true) || host != "" && net.ParseIP(host) == nil && !isHostName(host) {
		r.problem(n.Line, "listen: %q: want address:port, such as 127.0.0.1:8080", short(value))
		return fallback
	}
	return value
}

func (r *reader) url(n *node) string {
	value := r.text(n)
	if value == "" {
		return ""
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		r.problem(n.Line, "url: %q: want the address of the pages, such as https://corbie.example.com", short(value))
		return ""
	}
	return strings.TrimRight(value, "/")
}

func (r *reader) timeouts(n *node, where string, t *poll.Timeouts) {
	const least, most = 10 * time.Millisecond, time.Hour
	set := func(d *time.Duration) func(*node) { return func(n *node) { *d = r.duration(n, least, most) } }
	r.mapping(n, where, map[string]func(*node){
		"dial": set(&t.Dial), "idle": set(&t.Idle), "plugin": set(&t.Plugin), "host": set(&t.Host),
	})
}

func (r *reader) forecast(n *node, f *Forecast) {
	r.mapping(n, "forecast", map[string]func(*node){
		"schedule": func(n *node) {
			if value := r.text(n); value != "" {
				var err error
				if f.Schedule, err = jobs.ParseSchedule(value); err != nil {
					r.problem(n.Line, "%v", err)
				}
			}
		},
	})
}
