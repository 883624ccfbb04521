// Package muninconf reads munin.conf as the master of Munin 2.0 reads it: sections, prefixes, comments, continued lines,
// includedir. It knows which keywords are legal and at which level a setting stands; what a setting means is up to the
// caller.
//
// Munin stops at the first error, and has a second parser that understands some sections differently. Here every error is
// told, what is sound is kept, and every section means the obvious.
package muninconf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"corbie/munin"
)

// Limits of what is read.
const (
	MaxFileBytes = 8 << 20
	maxFiles     = 10_000 // in an includedir
	maxSettings  = 500_000
	maxProblems  = 1000
	maxParts     = 50 // of a path
)

// Setting is one assignment.
type Setting struct {
	Group string   // "web;eu"; empty: of everything
	Host  string   // empty: of the group
	Path  []string // the words before the keyword: service, nested services, field; empty: of the host
	Key   string   // the keyword
	Value string
	At    Place
}

// Place is a line of a file.
type Place struct {
	File string
	Line int // 0: the file as a whole
}

// String is "munin.conf:14".
func (p Place) String() string {
	if p.Line == 0 {
		return p.File
	}
	return p.File + ":" + strconv.Itoa(p.Line)
}

// Problem is something wrong, or (among Warnings) something probably not meant.
type Problem struct {
	At   Place
	Text string
}

// Conf is what a munin.conf says, in its order: a later setting wins over an earlier one.
type Conf struct {
	Settings []Setting
	Problems []Problem // each line that was left out, and why
	Warnings []Problem

	includeDir string
	includedAt Place
	included   bool // the main file is read
}

// Load reads a munin.conf and the folder that its includedir names. The error says that the file itself cannot be read;
// what is wrong in it is among the problems.
func Load(path string) (*Conf, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("read munin.conf: %w", err)
	}
	c := Parse(path, text)
	c.included = true
	if c.includeDir != "" {
		c.include(path)
	}
	return c, nil
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, MaxFileBytes+1))
	if err == nil && len(text) > MaxFileBytes {
		err = fmt.Errorf("%s is longer than %d bytes", path, MaxFileBytes)
	}
	return text, err
}

// include reads the files of the includedir by name, but hidden ones and the backups of editors.
func (c *Conf) include(main string) {
	dir := c.includeDir
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(filepath.Dir(main), dir)
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		c.warn(c.includedAt, "includedir: there is no folder %s", dir)
		return
	}
	if err != nil {
		c.problem(c.includedAt, "includedir: %v", err)
		return
	}
	if len(entries) > maxFiles {
		c.problem(c.includedAt, "includedir: %s holds more than %d files; the rest is not read", dir, maxFiles)
		entries = entries[:maxFiles]
	}
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") {
			continue
		}
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			continue
		}
		text, err := readFile(path)
		if err != nil {
			c.problem(c.includedAt, "includedir: %v", err)
			continue
		}
		c.read(path, text)
	}
}

// Parse reads one file from its text; an includedir in it is not followed. name is used in messages.
func Parse(name string, text []byte) *Conf {
	c := &Conf{}
	c.read(name, text)
	return c
}

func (c *Conf) problem(at Place, format string, args ...any) {
	if len(c.Problems) < maxProblems {
		c.Problems = append(c.Problems, Problem{at, munin.CleanText(fmt.Sprintf(format, args...))})
	}
}

func (c *Conf) warn(at Place, format string, args ...any) {
	if len(c.Warnings) < maxProblems {
		c.Warnings = append(c.Warnings, Problem{at, munin.CleanText(fmt.Sprintf(format, args...))})
	}
}

// file is one file that is being read.
type file struct {
	*Conf

	name    string
	section string // as written
	ok      bool   // the section can be used
}

// read adds what a file says. Each file begins outside of all sections.
func (c *Conf) read(name string, text []byte) {
	f := &file{Conf: c, name: name, ok: true}
	if len(text) > MaxFileBytes {
		c.problem(Place{File: name}, "the file is longer than %d bytes", MaxFileBytes)
		return
	}
	line, first, joined := 0, 0, ""
	for raw := range strings.Lines(string(text)) {
		line++
		part := strings.TrimSpace(uncomment(strings.TrimRight(raw, "\r\n")))
		if joined == "" {
			first = line
		}
		if head, more := strings.CutSuffix(part, `\`); more {
			joined += head
			continue
		}
		f.line(Place{name, first}, munin.CleanText(joined+part))
		joined = ""
	}
	if joined != "" {
		f.line(Place{name, first}, munin.CleanText(joined))
	}
}

// uncomment takes away what follows a #, unless a backslash stands before it.
func uncomment(line string) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(line, '#')
		switch {
		case i < 0:
			b.WriteString(line)
			return b.String()
		case i > 0 && line[i-1] == '\\':
			b.WriteString(line[:i-1] + "#")
			line = line[i+1:]
		default:
			b.WriteString(line[:i])
			return b.String()
		}
	}
}

func (f *file) line(at Place, text string) {
	switch {
	case text == "":
	case text[0] == '[':
		f.open(at, text)
	case !f.ok: // The section is wrong already.
	case len(f.Settings) >= maxSettings:
		if len(f.Settings) == maxSettings {
			f.problem(at, "there are more than %d settings; the rest is not read", maxSettings)
			f.ok = false
		}
	default:
		f.assign(at, text)
	}
}

func (f *file) open(at Place, text string) {
	name, ok := strings.CutSuffix(text[1:], "]")
	f.section, f.ok = strings.TrimSpace(name), ok
	switch {
	case !ok:
		f.problem(at, "%q: a section is written [group;host] or [host], with nothing after it; its lines are left out", short(text))
	case f.section == "":
		f.problem(at, "a section without a name; its lines are left out")
		f.ok = false
	case strings.ContainsAny(f.section, "[]"):
		f.problem(at, "%q: brackets cannot stand within a section's name; its lines are left out", short(f.section))
		f.ok = false
	default:
		if _, err := address(f.key("address")); err != nil {
			f.problem(at, "section [%s]: %v; its lines are left out", short(f.section), err)
			f.ok = false
		}
	}
}

// key is the full name of a key within the present section.
func (f *file) key(key string) string {
	section := f.section
	switch {
	case section == "":
		return key
	case !strings.Contains(section, ";"):
		host, _, _ := strings.Cut(section, ":")
		group := host
		if _, domain, ok := strings.Cut(host, "."); ok {
			group = domain
		}
		section = group + ";" + section
	}
	switch {
	case strings.HasSuffix(section, ";"):
		return section + key
	case strings.Contains(section, ":"):
		return section + "." + strings.TrimPrefix(key, ":")
	}
	return section + ":" + key
}

func (f *file) assign(at Place, text string) {
	key, value := text, ""
	if i := strings.IndexAny(text, " \t"); i >= 0 {
		key, value = text[:i], strings.TrimSpace(text[i:])
	}
	s, err := address(f.key(key))
	if err != nil {
		f.problem(at, "%v", err)
		return
	}
	s.At, s.Value = at, value
	if err := checkKey(s.Key); err != nil {
		f.problem(at, "%v", err)
		return
	}
	switch {
	case value == "":
		f.warn(at, "%s has no value", key)
		return
	case len(value) > munin.MaxValueBytes && s.Key != "graph_order" && s.Key != "sum" && s.Key != "stack":
		f.problem(at, "%s: the value is longer than %d bytes", key, munin.MaxValueBytes)
		return
	case isSwitch(s.Key):
		if _, err := munin.ParseBool(value); err != nil {
			f.problem(at, "%s: %v", s.Key, err)
			return
		}
	case s.Key == "includedir":
		if f.included {
			f.warn(at, "includedir is followed in the main file only")
			return
		}
		f.includeDir, f.includedAt = value, at
	}
	f.Settings = append(f.Settings, s)
}

// address takes a full name apart: groups up to the last semicolon, host up to the first colon, then dotted words.
func address(full string) (Setting, error) {
	var s Setting
	rest := full
	if i := strings.LastIndexByte(full, ';'); i >= 0 {
		groups := strings.Split(full[:i], ";")
		for j, group := range groups {
			groups[j] = strings.TrimSpace(group)
			if err := CheckGroup(groups[j]); err != nil {
				return s, err
			}
		}
		s.Group, rest = strings.Join(groups, ";"), full[i+1:]
	}
	if host, key, ok := strings.Cut(rest, ":"); ok {
		if s.Host, rest = strings.TrimSpace(host), key; s.Group == "" {
			return s, fmt.Errorf("%q: a host stands behind its group: group;host:key", short(full))
		}
		if err := checkHost(s.Host); err != nil {
			return s, err
		}
	}
	words := strings.Split(rest, ".")
	if len(words) > maxParts {
		return s, fmt.Errorf("%q has more than %d parts", short(full), maxParts)
	}
	for _, word := range words {
		if err := checkWord(word); err != nil {
			return s, err
		}
	}
	s.Path, s.Key = words[:len(words)-1], words[len(words)-1]
	return s, nil
}

func checkHost(name string) error {
	bad := func(c rune) bool {
		return c != '-' && c != '.' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z')
	}
	i := strings.IndexFunc(name, bad)
	switch {
	case name == "":
		return errors.New("the name of the host is empty")
	case len(name) > munin.MaxNameBytes:
		return fmt.Errorf("the host %q: the name is longer than %d bytes", short(name), munin.MaxNameBytes)
	case name[0] == '.' || name[0] == '-':
		return fmt.Errorf("the host %q: a name cannot begin with a dot or a dash", short(name))
	case i >= 0 && name[i] == '_':
		return fmt.Errorf("the host %q: Munin allows no underscore in the name of a host; write a dash", short(name))
	case i >= 0:
		return fmt.Errorf("the host %q: only letters, digits, dots and dashes are allowed; an IPv6 address belongs into \"address\"", short(name))
	}
	return nil
}

// CheckGroup checks one part of a group's path.
func CheckGroup(name string) error {
	switch {
	case name == "":
		return errors.New("the name of a group is empty")
	case len(name) > munin.MaxNameBytes:
		return fmt.Errorf("the group %q: the name is longer than %d bytes", short(name), munin.MaxNameBytes)
	case name[0] == '.' || name[0] == '-':
		return fmt.Errorf("the group %q: a name cannot begin with a dot or a dash", short(name))
	}
	for _, c := range name {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune("._- ", c) {
			return fmt.Errorf("the group %q: %q is not allowed in a name", short(name), c)
		}
	}
	return nil
}

func checkWord(word string) error {
	if word == "" {
		return errors.New("a name is empty: two dots in a row, or one at an end?")
	}
	if len(word) > munin.MaxNameBytes {
		return fmt.Errorf("the name %q is longer than %d bytes", short(word), munin.MaxNameBytes)
	}
	for _, c := range []byte(word) {
		if c == ':' {
			return fmt.Errorf("%q: there are two colons; an IPv6 address belongs into \"address\", the host gets a name", short(word))
		}
		if c != '_' && c != '-' && c != '@' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return fmt.Errorf("the name %q: only letters, digits and -_ are allowed", short(word))
		}
	}
	return nil
}

func short(text string) string {
	const most = 80
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// isSwitch says whether a keyword must be yes or no, wherever it stands.
func isSwitch(key string) bool {
	return slices.Contains([]string{"fork", "tls_verify_certificate", "update", "use_node_name", "use_default_node"}, key)
}
