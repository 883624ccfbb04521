package munin

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// PluginState is how a node's last runs of one plugin went. A plugin is run for its config and for its values;
// of the two, the state tells of the one that failed last, and of the later one while both are well.
type PluginState struct {
	Plugin   string
	Verb     string // "config" or "fetch"
	Ran      time.Time
	Took     time.Duration
	ExitCode int       // -1: it did not start or was ended
	Failure  string    // why nothing of it was used; empty when it went well
	Stderr   string    // last line that it wrote to standard error, printable and short; may be empty
	Good     time.Time // when its last run was that left nothing failing; zero: never
}

// Limits of a list of states.
const (
	maxPluginStates = 10_000
	maxStateText    = 200 // characters of Failure and of Stderr
)

// stateColumns is the first line of a list of states. Columns that are not known are passed over.
const stateColumns = "plugin\tverb\tran\ttook_ms\texit\tgood\tfailure\tstderr"

// Unhealthy says whether the plugin's last run of its kind failed.
func (s PluginState) Unhealthy() bool { return s.Failure != "" }

// AppendPluginStates appends a list of states as a node tells it: a line with the names of the columns, then
// one line a plugin, separated by tabs. Times are seconds since 1970. "-" stands for nothing.
func AppendPluginStates(b []byte, states []PluginState) []byte {
	b = append(b, stateColumns...)
	b = append(b, '\n')
	for i := range states {
		s := &states[i]
		for _, cell := range []string{
			s.Plugin, s.Verb, stateTime(s.Ran), strconv.FormatInt(s.Took.Milliseconds(), 10), itoa(s.ExitCode),
			stateTime(s.Good), s.Failure,
		} {
			b = append(append(b, stateText(cell)...), '\t')
		}
		b = append(append(b, stateText(s.Stderr)...), '\n')
	}
	return b
}

func stateTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strconv.FormatInt(t.Unix(), 10)
}

// stateText makes a cell of a text.
func stateText(s string) string {
	s = CleanText(s)
	if len(s) > maxStateText {
		cut := maxStateText
		for !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = strings.TrimSpace(s[:cut]) + "…"
	}
	if s == "" {
		return "-"
	}
	return s
}

// ParsePluginStates reads what AppendPluginStates wrote. Lines that cannot be read are left out; the error then
// says how many and why.
func ParsePluginStates(body []byte) ([]PluginState, error) {
	var (
		states  []PluginState
		columns []string
		dropped int
		cause   error
	)
	for line := range strings.Lines(string(body)) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		cells := strings.Split(line, "\t")
		if columns == nil {
			if cells[0] != "plugin" {
				return nil, fmt.Errorf("states of plugins: %q is no line of column names", excerpt(line))
			}
			columns = cells
			continue
		}
		state, err := parseState(columns, cells)
		if err == nil && len(states) >= maxPluginStates {
			err = fmt.Errorf("more than %d plugins", maxPluginStates)
		}
		if err != nil {
			dropped++
			cause = err
			continue
		}
		states = append(states, state)
	}
	switch {
	case columns == nil:
		return nil, errors.New("states of plugins: the answer is empty")
	case dropped > 0:
		return states, fmt.Errorf("states of plugins: %d of the lines cannot be read, the last one because of %w", dropped, cause)
	}
	return states, nil
}

func parseState(columns, cells []string) (PluginState, error) {
	var s PluginState
	if len(cells) != len(columns) {
		return s, fmt.Errorf("%d columns, want %d", len(cells), len(columns))
	}
	for i, column := range columns {
		cell := cells[i]
		if cell == "-" {
			cell = ""
		}
		if err := s.setCell(column, cell); err != nil {
			return s, fmt.Errorf("%s %q: %w", column, excerpt(cell), err)
		}
	}
	return s, ValidatePluginName(s.Plugin)
}

func (s *PluginState) setCell(column, cell string) error {
	var err error
	switch column {
	case "plugin":
		s.Plugin = cell
	case "verb":
		if cell != "config" && cell != "fetch" {
			return errors.New("want config or fetch")
		}
		s.Verb = cell
	case "ran":
		s.Ran, err = parseStateTime(cell)
	case "good":
		s.Good, err = parseStateTime(cell)
	case "took_ms":
		var ms int64
		ms, err = strconv.ParseInt(cell, 10, 64)
		if err == nil && (ms < 0 || ms > math.MaxInt32) {
			return errors.New("want milliseconds")
		}
		s.Took = time.Duration(ms) * time.Millisecond
	case "exit":
		s.ExitCode, err = strconv.Atoi(cell)
	case "failure":
		s.Failure = trimState(cell)
	case "stderr":
		s.Stderr = trimState(cell)
	}
	return err
}

// trimState makes a cell fit to be kept and shown.
func trimState(cell string) string {
	if cell = stateText(cell); cell == "-" {
		return ""
	}
	return cell
}

func parseStateTime(cell string) (time.Time, error) {
	if cell == "" {
		return time.Time{}, nil
	}
	seconds, err := strconv.ParseInt(cell, 10, 64)
	if err != nil || seconds < 0 || seconds > math.MaxInt32*100 {
		return time.Time{}, errors.New("want seconds since 1970")
	}
	return time.Unix(seconds, 0).UTC(), nil
}
