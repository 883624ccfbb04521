package config

import (
	"math"
	"strconv"
	"strings"
	"time"

	"corbie/munin"
)

// Retention is how long values are kept; a length of zero means for ever.
type Retention struct {
	Raw  time.Duration // samples as they came
	Hour time.Duration // average, least and greatest of each hour
	Day  time.Duration // and of each day
	// Bytes is how large the samples may grow before the oldest go; 0 is no limit.
	Bytes int64
}

const (
	defaultRaw   = 400 * 24 * time.Hour
	defaultHour  = 5 * 365 * 24 * time.Hour
	minRetention = 24 * time.Hour
	minBytes     = 100 << 20
	forever      = "forever"
)

// retention reads the keys about retention and checks them together at the end.
type retention struct {
	Retention

	hour, day *node // where they are set
}

func (r *reader) keep(n *node) time.Duration {
	if n.Value == forever {
		return 0
	}
	return r.duration(n, minRetention, munin.MaxRange)
}

// longer compares lengths of time of which zero is for ever.
func longer(a, b time.Duration) bool {
	return a != b && (a == 0 || b != 0 && a > b)
}

// settle gives what is not set its default, and refuses a coarser tier that would be gone before the finer one.
func (k *retention) settle(r *reader) Retention {
	out := k.Retention
	check := func(n *node, name string, coarse *time.Duration, finerName string, finer time.Duration) {
		switch {
		case !longer(finer, *coarse):
		case n == nil:
			*coarse = finer
		default:
			r.problem(n.Line, "%s is shorter than %s: what is kept longest must be the coarsest", name, finerName)
		}
	}
	check(k.hour, "retention_hour", &out.Hour, "retention", out.Raw)
	check(k.day, "retention_day", &out.Day, "retention_hour", out.Hour)
	return out
}

// bytes reads a size such as 500M, 20G or 1.5T, or none.
func (r *reader) bytes(n *node, low int64) int64 {
	value := r.text(n)
	if value == "" || value == "none" {
		return 0
	}
	number, scale := value, 1.0
	for i, unit := range []string{"k", "M", "G", "T"} {
		for _, ending := range []string{unit, unit + "B", unit + "iB"} {
			if rest, ok := strings.CutSuffix(value, ending); ok {
				number, scale = rest, math.Pow(1024, float64(i+1))
			}
		}
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if size := v * scale; err == nil && size >= float64(low) && size < 1<<60 {
		return int64(size)
	}
	r.problem(n.Line, "%q: want a size from %dM, such as 500M, 20G or 1.5T, or none", short(value), low>>20)
	return 0
}
