package munin

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Level is the state of a field, graph, host or group. A greater level is worse.
type Level int

// The levels, in the order in which the worst of several is found: a warning is worse than not knowing.
const (
	OK Level = iota
	Unknown
	Warning
	Critical
)

// String is the word that pages, mails and tables show.
func (l Level) String() string {
	switch l {
	case OK:
		return "ok"
	case Unknown:
		return "unknown"
	case Warning:
		return "warning"
	case Critical:
		return "critical"
	}
	return "level(" + strconv.Itoa(int(l)) + ")"
}

// ParseLevel is the reverse of String.
func ParseLevel(s string) (Level, error) {
	for l := OK; l <= Critical; l++ {
		if l.String() == s {
			return l, nil
		}
	}
	return OK, fmt.Errorf("level %q: want ok, unknown, warning or critical", s)
}

// MarshalText makes a level a word in JSON.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (l *Level) UnmarshalText(text []byte) error {
	got, err := ParseLevel(string(text))
	*l = got
	return err
}

// Bounds is a closed range of which either end may be open: a warning or critical level, or a field's min
// and max. The zero value has both ends open, so that nothing is outside it.
type Bounds struct {
	Low, High       float64
	HasLow, HasHigh bool
}

// ParseBounds reads Munin's grammar for levels: "min:max", "min:", ":max", ":" or a single number N, which
// means ":N". Blanks around the parts are allowed, and so are exponents. An empty text is no bounds.
func ParseBounds(text string) (Bounds, error) {
	var b Bounds
	text = strings.TrimSpace(text)
	if text == "" {
		return b, nil
	}
	low, high, ranged := strings.Cut(text, ":")
	if !ranged {
		low, high = "", text
	}
	var err error
	if b.Low, b.HasLow, err = parseBound(low); err != nil {
		return Bounds{}, fmt.Errorf("level %q: %w", excerpt(text), err)
	}
	if b.High, b.HasHigh, err = parseBound(high); err != nil {
		return Bounds{}, fmt.Errorf("level %q: %w", excerpt(text), err)
	}
	if b.HasLow && b.HasHigh && b.Low > b.High {
		return Bounds{}, fmt.Errorf("level %q: the lower bound is above the upper one", excerpt(text))
	}
	return b, nil
}

func parseBound(text string) (v float64, ok bool, err error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return 0, false, nil
	}
	v, err = strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) || strings.ContainsAny(text, "xXpP_") {
		return 0, false, fmt.Errorf("%q is not a number; write min:max, min: or :max", excerpt(text))
	}
	return v, true, nil
}

// IsZero says whether both ends are open.
func (b Bounds) IsZero() bool { return !b.HasLow && !b.HasHigh }

// Outside says whether v breaches the bounds. A value equal to a bound does not, and neither does NaN.
func (b Bounds) Outside(v float64) bool {
	return b.HasLow && v < b.Low || b.HasHigh && v > b.High
}

// String is "min:max" with open ends left out, and empty when both are open.
func (b Bounds) String() string {
	if b.IsZero() {
		return ""
	}
	var s strings.Builder
	if b.HasLow {
		s.WriteString(formatFloat(b.Low))
	}
	s.WriteByte(':')
	if b.HasHigh {
		s.WriteString(formatFloat(b.High))
	}
	return s.String()
}

// MarshalText makes bounds a string in JSON.
func (b Bounds) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (b *Bounds) UnmarshalText(text []byte) error {
	got, err := ParseBounds(string(text))
	*b = got
	return err
}

// AlertState is what is remembered of one watched thing between two evaluations. With ID.Graph empty it
// is the host itself: critical while the host is silent.
type AlertState struct {
	ID    SeriesID
	Level Level     // as of the last evaluation
	Since time.Time // when Level was entered
	// Open is the level of the problem that is announced and not over: OK when there is none. It stays as it
	// was while Level is Unknown, because missing data never resolves a problem. Where none was open, not
	// knowing becomes a problem of its own, and Open is Unknown.
	Open      Level
	OpenSince time.Time // when the problem that is open, or was last open, began
	Unknowns  int       // consecutive evaluations without a value
	Value     float64   // last evaluated value; NaN is unknown
	Bounds    Bounds    // the level that Value breaches, or last breached
	Changed   time.Time // last change of Open; what was told to the receivers dates from here
	Reason    string    // in words: "97.2 is above 95", "has not answered since …: connection refused"
}

// Key identifies a problem towards receivers: the same for its notice and for its recovery, from any master.
func (s AlertState) Key() string { return s.ID.String() }

func formatFloat(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func itoa(n int) string { return strconv.Itoa(n) }
