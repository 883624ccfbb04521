package plugins

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"corbie/munin"
)

// Limits on what the machine's files may hold.
const (
	maxFileBytes   = 4 << 20 // of one file, or of one line of a file that is read by lines
	maxStreamBytes = 1 << 30 // of one file that is read by lines
	maxItems       = 2000    // devices, interrupts, file systems of one report
)

// report is one run of one plugin: what it was asked, and what it has said so far.
type report struct {
	set      *Set
	err      func() error    // why the run has to end; nil while it may go on
	done     <-chan struct{} // closed when it has to
	env      map[string]string
	plugin   string // wire name
	instance string // what follows the name of a wildcard
	config   bool   // print descriptions
	values   bool   // print values
	out      []byte
	buf      *[]byte // for the file that is read at the moment
}

func (s *Set) newReport(ctx context.Context, env map[string]string) *report {
	return &report{set: s, err: ctx.Err, done: ctx.Done(), env: env, buf: s.scratch.Get().(*[]byte)}
}

func (r *report) close() {
	if cap(*r.buf) <= 256<<10 {
		r.set.scratch.Put(r.buf)
	}
	r.buf = nil
}

// needs is the missing function of a plugin that reads the given files.
func needs(names ...string) func(*report) error {
	return func(r *report) error {
		for _, name := range names {
			f, err := r.open(name)
			if err != nil {
				return err
			}
			f.Close()
		}
		return nil
	}
}

// open opens a file; the error names it and says why it cannot be read.
func (r *report) open(name string) (fs.File, error) {
	f, err := r.set.root.Open(name)
	if err != nil {
		var inner *fs.PathError
		if errors.As(err, &inner) {
			err = inner.Err
		}
		return nil, fmt.Errorf("cannot read /%s: %w", name, err)
	}
	return f, nil
}

// read gives the text of a file. It is valid until the next read.
func (r *report) read(name string) ([]byte, error) {
	if err := r.err(); err != nil {
		return nil, err
	}
	f, err := r.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := (*r.buf)[:0]
	for {
		n, err := f.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		*r.buf = b
		switch {
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			return nil, fmt.Errorf("read /%s: %w", name, err)
		case len(b) > maxFileBytes:
			return nil, fmt.Errorf("read /%s: the file is larger than %d bytes", name, maxFileBytes)
		case len(b) == cap(b):
			b = slices.Grow(b, cap(b))
		}
	}
}

// lines calls do with each line of a file that may be too large to read at once.
func (r *report) lines(name string, do func(line []byte)) error {
	f, err := r.open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	scanner := bufio.NewScanner(io.LimitReader(f, maxStreamBytes))
	scanner.Buffer((*r.buf)[:cap(*r.buf)], maxFileBytes)
	for n := 0; scanner.Scan(); n++ {
		if n%1024 == 0 && r.err() != nil {
			return r.err()
		}
		do(scanner.Bytes())
	}
	if err := scanner.Err(); err != nil {
		return fmt.Errorf("read /%s: %w", name, err)
	}
	return nil
}

// readUint reads a file that holds one number.
func (r *report) readUint(name string) (uint64, bool) {
	text, err := r.read(name)
	if err != nil {
		return 0, false
	}
	word, _ := nextWord(text)
	return parseUint(word)
}

// exists says whether a file or folder is there.
func (r *report) exists(name string) bool {
	_, err := fs.Stat(r.set.root, name)
	return err == nil
}

// realDevice is the device that a link such as /dev/disk/by-uuid/… leads to, as df shows it.
func (r *report) realDevice(device string) string {
	if !strings.HasPrefix(device, "/dev/disk/by-uuid/") {
		return device
	}
	target, err := fs.ReadLink(r.set.root, strings.TrimPrefix(device, "/"))
	if err != nil {
		return device
	}
	return path.Join("/dev/disk/by-uuid", target)
}

// print adds text as it is.
func (r *report) print(parts ...string) {
	for _, part := range parts {
		r.out = append(r.out, part...)
	}
}

// multigraph begins another graph of the same plugin.
func (r *report) multigraph(name string) {
	r.print("multigraph ", name, "\n")
}

// graph says attributes of the graph, one a line.
func (r *report) graph(lines string) {
	if r.config {
		r.print(lines)
		if !strings.HasSuffix(lines, "\n") {
			r.print("\n")
		}
	}
}

// attr says one attribute of the graph whose text is known only now.
func (r *report) attr(name string, parts ...string) {
	if r.config {
		r.print(name, " ", oneLine(strings.Join(parts, "")), "\n")
	}
}

// field says attributes of a field, one a line, without the field's name: "label user\ntype DERIVE".
func (r *report) field(name, lines string) {
	if !r.config {
		return
	}
	for line := range strings.SplitSeq(lines, "\n") {
		if line != "" {
			r.print(name, ".", line, "\n")
		}
	}
}

// fieldAttr says one attribute of a field whose text is known only now.
func (r *report) fieldAttr(field, attr string, parts ...string) {
	if text := oneLine(strings.Join(parts, "")); r.config && text != "" {
		r.print(field, ".", attr, " ", text, "\n")
	}
}

// uint says the value of a field, exactly.
func (r *report) uint(field string, v uint64) {
	if r.values {
		r.print(field, ".value ")
		r.out = strconv.AppendUint(r.out, v, 10)
		r.print("\n")
	}
}

// number says the value of a field; NaN is unknown. At most the given number of decimals are said.
func (r *report) number(field string, v float64, decimals int) {
	switch {
	case !r.values:
	case math.IsNaN(v) || math.IsInf(v, 0):
		r.print(field, ".value U\n")
	default:
		r.print(field, ".value ")
		r.out = strconv.AppendFloat(r.out, v, 'f', decimals, 64)
		if decimals > 2 {
			r.out = bytes.TrimRight(bytes.TrimRight(r.out, "0"), ".")
		}
		r.print("\n")
	}
}

// level finds a level of a field in the environment: <field>_warning, else warning, else the given default.
// A lone colon there switches the level off. Empty settings count as absent, as they do in Munin's plugins.
// A percentage is taken of total, when that is not zero.
func (r *report) level(field, which, otherwise string, total float64) string {
	text := cmp.Or(r.env[field+"_"+which], r.env[which], otherwise)
	if strings.TrimSpace(text) == ":" {
		return "" // switched off
	}
	if total == 0 || !strings.Contains(text, "%") {
		return text
	}
	low, high, ranged := strings.Cut(text, ":")
	if !ranged {
		return percentage(text, total)
	}
	return percentage(low, total) + ":" + percentage(high, total)
}

func percentage(text string, total float64) string {
	share, ok := strings.CutSuffix(strings.TrimSpace(text), "%")
	if !ok {
		return text
	}
	v, err := strconv.ParseFloat(share, 64)
	if err != nil {
		return text
	}
	return strconv.FormatFloat(v*total/100, 'f', -1, 64)
}

// levels says the warning and critical levels of a field.
func (r *report) levels(field, warning, critical string) { r.levelsOf(field, warning, critical, 0) }

// advise says what to do about a breach; it goes along with the notice.
func (r *report) advise(field, text string) { r.fieldAttr(field, "extinfo", text) }

// levelsOf is levels where a percentage is taken of total.
func (r *report) levelsOf(field, warning, critical string, total float64) {
	if r.config {
		r.fieldAttr(field, "warning", r.level(field, "warning", warning, total))
		r.fieldAttr(field, "critical", r.level(field, "critical", critical, total))
	}
}

// setting is a value from the environment, or what holds otherwise.
func (r *report) setting(name, otherwise string) string {
	return cmp.Or(r.env[name], otherwise)
}

// yes says whether a setting is switched on.
func (r *report) yes(name string) bool {
	on, err := munin.ParseBool(r.env[name])
	return err == nil && on
}

// oneLine keeps text from the machine from ending a line, and cuts it to a sensible length.
func oneLine(text string) string {
	const limit = 400
	if len(text) > limit {
		text = text[:limit]
	}
	return munin.CleanText(strings.ReplaceAll(text, "\n", " "))
}
