package ui

import (
	"html"
	"math"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"corbie/munin"
)

// Moment is an instant as pages show it: in words, with the exact time beside it.
type Moment struct {
	Words string // "3 h 20 min ago", "in 6 d"
	Span  string // "3 h 20 min"
	Exact string // "Sat 21 Nov 2026 02:14:05 CET"
	Clock string // "02:14", with the day when it is not today's
	ISO   string
}

// moment words a time as seen from now; nil for the zero time.
func moment(t, now time.Time) *Moment {
	if t.IsZero() {
		return nil
	}
	t = t.In(now.Location())
	m := &Moment{Exact: t.Format("Mon 2 Jan 2006 15:04:05 MST"), ISO: t.Format(time.RFC3339)}
	gap := now.Sub(t)
	m.Span = munin.FormatDuration(coarse(gap))
	switch {
	case gap.Abs() < time.Second:
		m.Words = "just now"
	case gap > 0:
		m.Words = m.Span + " ago"
	default:
		m.Words = "in " + m.Span
	}
	switch {
	case t.YearDay() == now.YearDay() && t.Year() == now.Year():
		m.Clock = t.Format("15:04")
	case now.Sub(t).Abs() < 6*24*time.Hour:
		m.Clock = t.Format("Mon 15:04")
	default:
		m.Clock = t.Format("2 Jan 2006 15:04")
	}
	return m
}

// coarse drops seconds where nobody wants them.
func coarse(d time.Duration) time.Duration {
	d = d.Abs()
	switch {
	case d >= 48*time.Hour:
		return d.Truncate(time.Hour)
	case d >= time.Minute:
		return d.Truncate(time.Minute)
	}
	return d.Truncate(time.Second)
}

// day is a date for people, of one piece so that no line breaks in it; empty for the zero time.
func day(t time.Time, location *time.Location) string {
	if t.IsZero() {
		return ""
	}
	return t.In(location).Format("2\u00a0Jan\u00a02006")
}

// shape stands for a level where colour cannot be seen.
func shape(level munin.Level) string {
	switch level {
	case munin.Critical:
		return "■"
	case munin.Warning:
		return "▲"
	case munin.Unknown:
		return "◆"
	default:
		return "●"
	}
}

var tags = regexp.MustCompile(`<[/!a-zA-Z][^<>]*>`)

// plainText makes of a plugin's description, which may be HTML, text: without tags, with its entities read.
func plainText(s string) string {
	text := html.UnescapeString(tags.ReplaceAllString(s, " "))
	return strings.Join(strings.Fields(munin.CleanText(text)), " ")
}

// clip shortens text from a host for places where only so much fits.
func clip(s string, most int) string {
	runes := []rune(s)
	if len(runes) <= most {
		return s
	}
	return string(runes[:most-1]) + "…"
}

// pathEscape escapes one part of a path, but leaves the semicolons between groups readable.
func pathEscape(part string) string {
	escaped := strings.ReplaceAll(url.PathEscape(part), "%3B", ";")
	if strings.Trim(escaped, ".") == "" { // "." and ".." would be taken for folders
		escaped = strings.ReplaceAll(escaped, ".", "%2E")
	}
	return escaped
}

// sentence ends a text with a full stop unless it has an end.
func sentence(s string) string {
	s = strings.TrimSpace(s)
	if s == "" || strings.IndexByte(".!?", s[len(s)-1]) >= 0 || strings.HasSuffix(s, "…") {
		return s
	}
	return s + "."
}

// clauses divides a text at its semicolons, but for those within quotes. There is at least one.
func clauses(text string) []string {
	var list []string
	start, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch {
		case quoted && text[i] == '\\':
			i++
		case text[i] == '"':
			quoted = !quoted
		case !quoted && strings.HasPrefix(text[i:], "; "):
			list = append(list, text[start:i])
			start = i + 2
		}
	}
	return append(list, text[start:])
}

// groupWords is a group path for people.
func groupWords(group string) string { return strings.ReplaceAll(group, ";", " › ") }

func percent(share float64) string {
	switch {
	case math.IsNaN(share):
		return "unknown"
	case share < 0.01: // None of the simulated futures is not the same as never.
		return "< 1 %"
	case share > 0.99 && share < 1:
		return "> 99 %"
	}
	return strconv.Itoa(int(math.Round(share*100))) + " %"
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}
