package munin

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Range is the time from From (inclusive) to To (exclusive).
type Range struct {
	From, To time.Time
}

// Duration is the length of the range.
func (r Range) Duration() time.Duration { return r.To.Sub(r.From) }

// MaxRange is the longest range that can be asked for.
const MaxRange = 100 * 366 * 24 * time.Hour

// ParseTime reads an instant as pages and commands take it: "now", "now-24h", "now-7d", seconds since 1970,
// RFC 3339, "2006-01-02 15:04" or "2006-01-02" in the location of now.
func ParseTime(text string, now time.Time) (time.Time, error) {
	text = strings.TrimSpace(text)
	if rest, ok := strings.CutPrefix(text, "now"); ok {
		return parseNow(rest, now)
	}
	if sec, err := strconv.ParseInt(text, 10, 64); err == nil && sec >= 0 && sec < 1<<36 {
		return time.Unix(sec, 0).In(now.Location()), nil
	}
	for _, layout := range []string{
		time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02",
	} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("time %q: want now-24h, 2006-01-02, 2006-01-02T15:04 or seconds since 1970", excerpt(text))
}

// parseNow reads what follows "now": nothing, or a sign and a duration.
func parseNow(rest string, now time.Time) (time.Time, error) {
	if rest == "" {
		return now, nil
	}
	d, err := ParseDuration(rest[1:])
	switch {
	case err == nil && rest[0] == '-':
		return now.Add(-d), nil
	case err == nil && rest[0] == '+':
		return now.Add(d), nil
	}
	return time.Time{}, fmt.Errorf("time %q: want now, now-24h, now-7d", excerpt("now"+rest))
}

// ParseRange reads a range; an empty from is a day before to, an empty to is now.
func ParseRange(from, to string, now time.Time) (Range, error) {
	r := Range{To: now}
	var err error
	if to != "" {
		if r.To, err = ParseTime(to, now); err != nil {
			return Range{}, err
		}
	}
	r.From = r.To.Add(-24 * time.Hour)
	if from != "" {
		if r.From, err = ParseTime(from, now); err != nil {
			return Range{}, err
		}
	}
	switch {
	case !r.From.Before(r.To):
		return Range{}, fmt.Errorf("the range from %s to %s is empty or backwards", r.From.Format(time.RFC3339), r.To.Format(time.RFC3339))
	case r.Duration() > MaxRange:
		return Range{}, fmt.Errorf("the range from %s to %s is longer than a century", r.From.Format(time.RFC3339), r.To.Format(time.RFC3339))
	}
	return r, nil
}

// ParseDuration reads Go's durations and also days, weeks and years of 365 days: "90s", "5m", "1d", "2w", "1y",
// and a bare number of seconds. It is never negative.
func ParseDuration(text string) (time.Duration, error) {
	text = strings.TrimSpace(text)
	bad := fmt.Errorf("duration %q: want a number with a unit, such as 30s, 5m, 24h, 7d, 2w or 1y", excerpt(text))
	if text == "" || strings.ContainsAny(text, "+-") {
		return 0, bad
	}
	units := map[byte]time.Duration{'d': 24 * time.Hour, 'w': 7 * 24 * time.Hour, 'y': 365 * 24 * time.Hour}
	number, unit := text, time.Second
	if u, ok := units[text[len(text)-1]]; ok {
		number, unit = text[:len(text)-1], u
	}
	if v, err := strconv.ParseFloat(number, 64); err == nil {
		total := v * float64(unit)
		if !(v >= 0) || total > float64(MaxRange) || strings.ContainsAny(number, "xXpP_+") {
			return 0, bad
		}
		return time.Duration(total), nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > MaxRange {
		return 0, bad
	}
	return d, nil
}

// FormatDuration is a duration for people, in at most two units: "3 h 20 min", "12 s", "4 d".
func FormatDuration(d time.Duration) string {
	d = d.Abs()
	units := []struct {
		size time.Duration
		name string
	}{{365 * 24 * time.Hour, "y"}, {24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}}
	for i, u := range units {
		if d < u.size {
			continue
		}
		text := itoa(int(d/u.size)) + " " + u.name
		if i+1 < len(units) {
			if rest := d % u.size / units[i+1].size; rest > 0 {
				text += " " + itoa(int(rest)) + " " + units[i+1].name
			}
		}
		return text
	}
	return "0 s"
}
