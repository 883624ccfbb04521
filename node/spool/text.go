package spool

import (
	"bytes"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"corbie/munin"
)

// Config is what a plugin says of its graphs, in the form in which it is kept and served.
type Config struct {
	// Text begins with a multigraph line, has none of the lines that masters stumble over, and no values.
	Text []byte
	// Rate is the shortest update_rate that the plugin asks for, 0 when it says none; Aligned says that its
	// samples are to be on multiples of it.
	Rate    time.Duration
	Aligned bool
}

// Values are the values of one run of a plugin, in the form in which they are kept.
type Values struct {
	// Text begins with a multigraph line; a value keeps the time that the plugin gave it. Empty: no value.
	Text []byte
	// Newest is the latest time that the plugin gave, in seconds since 1970. It is 0 when there is none.
	Newest int64
	// Untimed says that some values are of the time of the sample.
	Untimed bool
	// Shape tells one set of graphs and fields from another.
	Shape uint64
	// Dropped counts the lines that are no values.
	Dropped int
}

// ParseConfig takes a plugin's answer to config. The rate is told to masters where the plugin itself says none;
// 0 means it is left open.
func ParseConfig(plugin string, output []byte, rate time.Duration) Config {
	var c Config
	t := newText(plugin)
	hasRate := false
	finish := func() {
		if rate > 0 && !hasRate && t.open {
			t.out = append(strconv.AppendInt(append(t.out, "update_rate "...), int64(rate/time.Second), 10), '\n')
		}
		hasRate = false
	}
	for line := range bytes.Lines(output) {
		key, value, isLine := cutLine(line)
		field, attr, dotted := strings.Cut(key, ".")
		switch {
		case !isLine || value == "" || attr == "value":
		case key == "multigraph":
			finish()
			t.section(value)
		case dotted && (field == "" || attr == ""):
		default:
			if key == "update_rate" {
				hasRate = true
				c.learnRate(value)
			}
			t.line(key, value)
		}
	}
	finish()
	c.Text = t.out
	return c
}

// learnRate reads "10", "10s", "5m" and the like, with "aligned" after it or not.
func (c *Config) learnRate(value string) {
	words := strings.Fields(value)
	rate, ok := parseRate(words[0])
	if !ok || c.Rate > 0 && rate >= c.Rate {
		return
	}
	c.Rate = rate
	c.Aligned = len(words) > 1 && words[1] == "aligned"
}

// parseRate reads a number of seconds, or of another unit in Munin's letters. Rates beyond a week are none.
func parseRate(word string) (time.Duration, bool) {
	unit := time.Second
	if n := len(word); n > 1 && (word[n-1] < '0' || word[n-1] > '9') {
		const day = 24 * time.Hour
		units := map[byte]time.Duration{
			's': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': day, 'w': 7 * day,
		}
		var ok bool
		if unit, ok = units[word[n-1]|0x20]; !ok {
			return 0, false
		}
		word = word[:n-1]
	}
	n, err := strconv.ParseUint(word, 10, 32)
	rate := time.Duration(n) * unit
	if err != nil || n == 0 || n > uint64(maxInterval/unit) {
		return 0, false
	}
	return rate, true
}

// ParseValues takes the values from a plugin's answer to fetch, or to config when it says them there. Times
// later than now are taken for now: a plugin with a wrong clock must not move a master beyond the samples of
// all others.
func ParseValues(plugin string, output []byte, now time.Time) Values {
	var v Values
	t := newText(plugin)
	shape := fnv.New64a()
	found := false
	for line := range bytes.Lines(output) {
		key, value, isLine := cutLine(line)
		if !isLine {
			continue
		}
		field, attr, dotted := strings.Cut(key, ".")
		switch {
		case len(field) > munin.MaxNameBytes:
			v.Dropped++
		case key == "multigraph":
			t.section(value)
			_, _ = shape.Write([]byte(value + "\n")) // It never fails.
		case dotted && field != "" && attr == "value":
			text, ok := v.value(value, now.Unix())
			if !ok {
				v.Dropped++
				continue
			}
			found = true
			t.line(munin.SanitiseField(field)+".value", text)
			_, _ = shape.Write([]byte(key + "\n")) // It never fails.
		case dotted && field != "" && attr == "extinfo" && value != "":
			t.line(munin.SanitiseField(field)+".extinfo", value)
		default:
			v.Dropped++
		}
	}
	v.Shape = shape.Sum64()
	if found {
		v.Text = t.out
	}
	return v
}

// value brings a value into the form NUMBER or TIME:NUMBER, the number as the plugin wrote it.
func (v *Values) value(text string, now int64) (string, bool) {
	const maxNumber = 400 // characters, more than any number has
	words := strings.Fields(text)
	if len(words) == 0 || len(words[0]) > maxNumber {
		return "", false
	}
	stamp, number, timed := strings.Cut(words[0], ":")
	if !timed {
		number = stamp
	}
	if _, err := munin.ParseValue(number); err != nil {
		return "", false
	}
	if !timed || stamp == "N" {
		v.Untimed = true
		return number, true
	}
	at, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || at < 0 {
		return "", false
	}
	at = min(at, now)
	v.Newest = max(v.Newest, at)
	return strconv.FormatInt(at, 10) + ":" + number, true
}

// text collects lines under multigraph lines.
type text struct {
	out  []byte
	name string // of the section
	open bool   // its multigraph line was written
	bad  bool   // its name is none: it is left out
}

func newText(plugin string) *text { return &text{name: munin.SanitisePlugin(plugin)} }

// section begins a graph. Munin's master gives up a whole answer for one name that it does not like.
func (t *text) section(name string) {
	t.name, t.open, t.bad = name, false, munin.ValidateGraphName(name) != nil
}

func (t *text) line(key, value string) {
	if t.bad {
		return
	}
	if !t.open {
		t.open = true
		t.out = append(append(append(t.out, "multigraph "...), t.name...), '\n')
	}
	t.out = append(append(t.out, key...), ' ')
	t.out = append(append(t.out, value...), '\n')
}

// cutLine splits a line into its key and its value, trimmed. It refuses comments, blank and overlong lines, and the words for
// which Munin's master gives up on a node.
func cutLine(line []byte) (key, value string, ok bool) {
	if len(line) > munin.MaxLineBytes || bytes.Contains(line, []byte("# timeout")) {
		return "", "", false
	}
	// A carriage return within a line would be taken for the end of one.
	s := strings.TrimSpace(strings.ReplaceAll(string(line), "\r", " "))
	if s == "" || s[0] == '#' {
		return "", "", false
	}
	if i := strings.IndexAny(s, " \t\v\f"); i >= 0 {
		return s[:i], strings.TrimSpace(s[i:]), true
	}
	return s, "", true
}

// appendValues appends the text of a record with a time at every value, the record's where it has none.
func appendValues(b []byte, r *record) []byte {
	for line := range bytes.Lines(r.text) {
		key, value, _ := bytes.Cut(line, []byte{' '})
		if !bytes.HasSuffix(key, []byte(".value")) || bytes.IndexByte(value, ':') >= 0 {
			b = append(b, line...)
			continue
		}
		b = append(append(b, key...), ' ')
		b = append(strconv.AppendInt(b, r.time, 10), ':')
		b = append(b, value...)
	}
	return b
}
