// Package report writes a capacity report for people and for programs: as a table for a terminal, as CSV,
// as JSON and as an HTML page. Rows gives its lines already in words, for pages that draw their own table.
package report

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"corbie/munin"
)

// Row is one finding in words. All texts are plain; whoever puts them into a page has to escape them.
type Row struct {
	ID      munin.SeriesID
	What    string // "www1.example.com: Disk usage in percent, /var"
	Verdict munin.Verdict
	Used    string // "92.1 %", "41.2 GiB"; "unknown" where nothing is known
	Ceiling string // "100 %"
	Share   string // used of the ceiling: "92 %"; empty where either is unknown or the ceiling is not positive
	When    string // "2027-03-12 (between 02-20 and 04-30)", "not within 2 years", "now"; empty without a forecast
	Chance  string // of reaching the ceiling within 30 days: "64 %", "under 1 %"; empty without a forecast
	Growth  string // "+1.2 GiB a day"; empty without a forecast
	Basis   string // "312 days, 4 of them without data"
	Note    string // why there is no forecast, or what was left out
	// Sentence is all of it: "full by 2027-03-12 (between 02-20 and 04-30); 64 % within 30 days; +1.2 GiB a day".
	Sentence string
}

// Rows puts the findings of a report into words, in the report's order. Dates are in the location of r.At.
func Rows(r munin.Report) []Row {
	rows := make([]Row, len(r.Findings))
	for i := range r.Findings {
		rows[i] = row(&r, &r.Findings[i])
	}
	return rows
}

func row(r *munin.Report, f *munin.Finding) Row {
	out := Row{
		ID: f.ID, Verdict: f.Verdict, What: f.ID.Host.Name() + ": " + subject(f),
		Used: Amount(f.Used, f), Ceiling: Amount(f.Ceiling, f), Basis: basis(f), Note: f.Note,
	}
	if share := f.Used / f.Ceiling * 100; f.Ceiling > 0 && !math.IsNaN(share) {
		out.Share = strconv.FormatFloat(share, 'f', 0, 64) + " %"
	}
	if f.Verdict == munin.TooLittleData {
		out.Sentence = joinParts(string(f.Verdict), f.Note)
		return out
	}
	out.When, out.Chance, out.Growth = when(r, f), chance(f.Chance30), growth(f)
	switch f.Verdict {
	case munin.Full:
		out.Sentence = joinParts("full now", out.Growth)
	case munin.Filling:
		out.Sentence = joinParts("full by "+out.When, out.Chance+" within 30 days", out.Growth)
	case munin.MayFill:
		out.Sentence = joinParts("may fill: "+out.When, out.Chance+" within 30 days", out.Growth)
	default:
		out.Sentence = joinParts(out.When, out.Chance+" within 30 days", out.Growth)
	}
	return out
}

func joinParts(parts ...string) string {
	kept := parts[:0]
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, "; ")
}

func subject(f *munin.Finding) string {
	title := cmp.Or(f.Title, f.ID.Graph)
	label := cmp.Or(f.Label, f.ID.Field)
	if label == "" || label == title {
		return title
	}
	return title + ", " + label
}

// Amount is a value of a finding with its prefix and unit: "92.1 %", "41.2 GiB", "1.2 M inodes".
func Amount(v float64, f *munin.Finding) string {
	unit := strings.TrimSpace(f.Unit)
	base := f.Base
	switch strings.ToLower(unit) {
	case "%", "percent", "percentage":
		unit, base = "%", 0
	case "b", "byte", "bytes":
		unit = "B"
	default:
		if len(unit) > 12 || strings.ContainsAny(unit, "${}/") {
			unit = "" // an axis title, not a unit
		}
	}
	_, prefix := munin.ScaleValue(v, base)
	number := strings.TrimSuffix(munin.FormatValue(v, base), prefix)
	if unit == "B" || unit == "" {
		unit = prefix + unit
	} else if prefix != "" {
		unit = prefix + " " + unit
	}
	if unit == "" || math.IsNaN(v) {
		return number
	}
	return number + " " + unit
}

func growth(f *munin.Finding) string {
	switch {
	case math.IsNaN(f.GrowthPerDay):
		return ""
	case f.Ceiling != 0 && math.Abs(f.GrowthPerDay) < math.Abs(f.Ceiling)*1e-6, f.GrowthPerDay == 0:
		return "steady"
	case f.GrowthPerDay > 0:
		return "+" + Amount(f.GrowthPerDay, f) + " a day"
	}
	return Amount(f.GrowthPerDay, f) + " a day"
}

func chance(p float64) string {
	switch {
	case math.IsNaN(p):
		return ""
	case p < 0.005:
		return "under 1 %"
	case p >= 0.995:
		return "over 99 %"
	}
	return strconv.FormatFloat(p*100, 'f', 0, 64) + " %"
}

func basis(f *munin.Finding) string {
	days := strconv.Itoa(f.Days) + " days"
	if f.Days == 1 {
		days = "1 day"
	}
	if f.Missing > 0 {
		days += ", " + strconv.Itoa(f.Missing) + " more without data"
	}
	return days
}

func when(r *munin.Report, f *munin.Finding) string {
	day := func(t time.Time) string { return t.In(r.At.Location()).Format(time.DateOnly) }
	switch f.Verdict {
	case munin.Full:
		return "now"
	case munin.MayFill:
		return "from " + day(f.Full10) + " at the earliest"
	case munin.NotInSight:
		return "not within " + horizon(r.Horizon)
	case munin.Filling:
	default:
		return ""
	}
	near := func(t time.Time) string {
		if t.In(r.At.Location()).Year() == f.Full50.In(r.At.Location()).Year() {
			return t.In(r.At.Location()).Format("01-02")
		}
		return day(t)
	}
	from, to := near(f.Full10), near(f.Full90)
	switch {
	case f.Full90.IsZero():
		return fmt.Sprintf("%s (%s at the earliest, perhaps not within %s)", day(f.Full50), from, horizon(r.Horizon))
	case from == to: // the same day
		return day(f.Full50)
	}
	return fmt.Sprintf("%s (between %s and %s)", day(f.Full50), from, to)
}

func horizon(d time.Duration) string {
	const day = 24 * time.Hour
	days := int(d.Round(day) / day)
	switch {
	case days > 360 && days%365 <= 1:
		if days/365 == 1 {
			return "a year"
		}
		return strconv.Itoa(days/365) + " years"
	case days == 1:
		return "a day"
	}
	return strconv.Itoa(days) + " days"
}
