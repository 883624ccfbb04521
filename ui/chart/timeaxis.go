package chart

import (
	"time"

	"corbie/munin"
)

// TimeTick is one mark of the time axis.
type TimeTick struct {
	At    time.Time
	Label string
	// Strong marks the beginning of a day, month or year among smaller steps.
	Strong bool
}

// timeStep is one way to divide the time axis: by so many of a unit.
type timeStep struct {
	unit  timeUnit
	count int
}

type timeUnit int

const (
	seconds timeUnit = iota
	minutes
	hours
	days
	weeks
	months
	years
)

func timeSteps() []timeStep {
	return []timeStep{
		{seconds, 1},
		{seconds, 5},
		{seconds, 10},
		{seconds, 30},
		{minutes, 1},
		{minutes, 2},
		{minutes, 5},
		{minutes, 10},
		{minutes, 20},
		{minutes, 30},
		{hours, 1},
		{hours, 2},
		{hours, 3},
		{hours, 4},
		{hours, 6},
		{hours, 12},
		{days, 1},
		{days, 2},
		{weeks, 1},
		{weeks, 2},
		{months, 1},
		{months, 2},
		{months, 3},
		{months, 6},
		{years, 1},
		{years, 2},
		{years, 5},
		{years, 10},
		{years, 20},
	}
}

func (s timeStep) length() time.Duration {
	const day = 24 * time.Hour
	unit := [...]time.Duration{time.Second, time.Minute, time.Hour, day, 7 * day, 30 * day, 365 * day}[s.unit]
	return time.Duration(s.count) * unit
}

// TimeTicks divides a range for a plot of the given width, so that labels of the given font size keep apart.
func TimeTicks(r munin.Range, location *time.Location, width, fontSize float64) []TimeTick {
	steps := timeSteps()
	chosen := steps[len(steps)-1]
	for _, s := range steps {
		room := width * s.length().Seconds() / r.Duration().Seconds()
		if room >= textWidth(s.widest(), fontSize)+fontSize*1.2 {
			chosen = s
			break
		}
	}
	from, to := r.From.In(location), r.To.In(location)
	var ticks []TimeTick
	for t := chosen.begin(from); !t.After(to) && len(ticks) < 200; {
		if !t.Before(from) {
			ticks = append(ticks, TimeTick{At: t, Label: chosen.label(t), Strong: chosen.strong(t)})
		}
		next := chosen.next(t)
		if !next.After(t) { // a clock that is set back may stand still once
			next = t.Add(chosen.length())
		}
		t = next
	}
	return ticks
}

// widest is a label as wide as this step's can become.
func (s timeStep) widest() string {
	switch s.unit {
	case seconds:
		return "00:00:00"
	case minutes, hours:
		return "Wed 20"
	case days, weeks:
		return "Wed 20"
	default:
		return "2000"
	}
}

// begin is the last boundary at or before t.
func (s timeStep) begin(t time.Time) time.Time {
	year, month, day := t.Date()
	at := func(year int, month time.Month, day, hour, minute, second int) time.Time {
		return time.Date(year, month, day, hour, minute, second, 0, t.Location())
	}
	switch s.unit {
	case seconds:
		return at(year, month, day, t.Hour(), t.Minute(), t.Second()/s.count*s.count)
	case minutes:
		return at(year, month, day, t.Hour(), t.Minute()/s.count*s.count, 0)
	case hours:
		return at(year, month, day, t.Hour()/s.count*s.count, 0, 0)
	case days:
		sinceEpoch := int(at(year, month, day, 12, 0, 0).Unix() / 86400)
		return at(year, month, day-sinceEpoch%s.count, 0, 0, 0)
	case weeks:
		monday := (int(t.Weekday()) + 6) % 7
		week := (int(at(year, month, day-monday, 12, 0, 0).Unix()/86400) + 3) / 7
		return at(year, month, day-monday-7*(week%s.count), 0, 0, 0)
	case months:
		return at(year, time.Month((int(month)-1)/s.count*s.count+1), 1, 0, 0, 0)
	default:
		return at(year/s.count*s.count, 1, 1, 0, 0, 0)
	}
}

// next is the boundary after t, by the clock and calendar of its place: a day may have 23 hours.
func (s timeStep) next(t time.Time) time.Time {
	year, month, day := t.Date()
	switch s.unit {
	case seconds, minutes:
		return t.Add(s.length())
	case hours:
		if s.count == 1 {
			return t.Add(time.Hour)
		}
		return time.Date(year, month, day, t.Hour()+s.count, 0, 0, 0, t.Location())
	case days:
		return time.Date(year, month, day+s.count, 0, 0, 0, 0, t.Location())
	case weeks:
		return time.Date(year, month, day+7*s.count, 0, 0, 0, 0, t.Location())
	case months:
		return time.Date(year, month+time.Month(s.count), 1, 0, 0, 0, 0, t.Location())
	default:
		return time.Date(year+s.count, 1, 1, 0, 0, 0, 0, t.Location())
	}
}

func (s timeStep) label(t time.Time) string {
	midnight := t.Hour() == 0 && t.Minute() == 0 && t.Second() == 0
	switch s.unit {
	case seconds:
		return t.Format("15:04:05")
	case minutes, hours:
		if midnight {
			return t.Format("Mon 2")
		}
		return t.Format("15:04")
	case days:
		if s.count == 1 {
			return t.Format("Mon 2")
		}
		return t.Format("2 Jan")
	case weeks:
		return t.Format("2 Jan")
	case months:
		if t.Month() == time.January {
			return t.Format("2006")
		}
		return t.Format("Jan")
	default:
		return t.Format("2006")
	}
}

func (s timeStep) strong(t time.Time) bool {
	switch s.unit {
	case seconds, minutes, hours:
		return t.Hour() == 0 && t.Minute() == 0 && t.Second() == 0
	case days:
		return t.Weekday() == time.Monday && s.count == 1
	case weeks:
		return false
	default:
		return t.Month() == time.January && s.unit == months
	}
}
