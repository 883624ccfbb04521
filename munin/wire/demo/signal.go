package demo

import "math"

// A moment is what all signals of a host have in common at one time.
type moment struct {
	t    int64   // Unix seconds
	ago  float64 // days before the present of the demonstration; negative after it
	work float64 // how busy the host is: about 0.1 at night, 1 at the peaks of today
	dusk float64 // the nightly jobs: 0 most of the time, 1 while they run
}

// A signal is what a field would show at a moment: the value of a gauge, the rate of a counter.
type signal func(m *moment) float64

const (
	minute = 60
	hour   = 60 * minute
	day    = 24 * hour
)

// hash mixes two numbers into one that looks random.
func hash(seed, n uint64) uint64 {
	x := seed + (n+1)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// random is a number from -1 to 1 for each n.
func random(seed uint64, n int64) float64 {
	return float64(int64(hash(seed, uint64(n))>>11))/(1<<52) - 1 //nolint:gosec // 53 bits fit, and n may wrap
}

// wander goes slowly from one random number to the next, one each period of seconds; from -1 to 1.
func wander(seed uint64, t, period int64) float64 {
	n := t / period
	f := float64(t-n*period) / float64(period)
	f = f * f * (3 - 2*f)
	a := random(seed, n)
	return a + (random(seed, n+1)-a)*f
}

// grain changes from one poll to the next; from -1 to 1, mostly near 0, now and then far from it.
func grain(seed uint64, t int64) float64 {
	r := random(seed, t/(5*minute))
	return r * r * r
}

// shape is the rhythm of a day: 288 steps of five minutes, of a working day and of one at the weekend.
type shape struct{ workday, weekend [288]float64 }

// peak is a bell in the course of a day.
type peak struct{ at, width, height float64 }

func newShape(floor, weekend float64, peaks ...peak) *shape {
	s := new(shape)
	for i := range s.workday {
		v := 0.0
		for _, p := range peaks {
			away := math.Abs(float64(i)/12 - p.at)
			away = min(away, 24-away) / p.width
			v += p.height * math.Exp(-away*away)
		}
		s.workday[i] = floor + v
		s.weekend[i] = floor + v*weekend
	}
	return s
}

// at is the rhythm at a time of the local clock.
func (s *shape) at(local int64) float64 {
	of, step := &s.workday, local%day/(5*minute)
	if weekday := (local/day + 4) % 7; weekday == 0 || weekday == 6 { // 1970 began on a Thursday
		of = &s.weekend
	}
	next := (step + 1) % int64(len(of))
	f := float64(local%(5*minute)) / (5 * minute)
	return of[step] + (of[next]-of[step])*f
}

// constant never changes.
func constant(v float64) signal { return func(*moment) float64 { return v } }

// follows is proportional to the work, from floor on, with some noise of its own.
func (h *Host) follows(name string, floor, perWork float64) signal {
	seed := h.seed(name)
	return func(m *moment) float64 {
		return (floor + perWork*m.work) * (1 + 0.07*wander(seed, m.t, 40*minute) + 0.12*grain(seed+1, m.t))
	}
}

// around stays near a value, for which it leaves by a share of spread at most.
func (h *Host) around(name string, v, spread float64) signal {
	seed := h.seed(name)
	return func(m *moment) float64 {
		return v * (1 + spread*(0.6*wander(seed, m.t, 5*hour)+0.3*wander(seed+1, m.t, 3*day)+0.1*grain(seed+2, m.t)))
	}
}

// seldom is zero but for single polls, on the share of them.
func (h *Host) seldom(name string, share, height float64) signal {
	seed := h.seed(name)
	return func(m *moment) float64 {
		r := (random(seed, m.t/(5*minute)) + 1) / 2
		if r >= share {
			return 0
		}
		return height * (0.3 + 0.7*r/share)
	}
}

// whole rounds what is counted.
func whole(s signal) signal {
	return func(m *moment) float64 { return math.Round(s(m)) }
}

// scaled multiplies.
func scaled(s signal, by float64) signal {
	return func(m *moment) float64 { return s(m) * by }
}

// capped keeps a signal between two ends.
func capped(s signal, low, high float64) signal {
	return func(m *moment) float64 { return min(max(s(m), low), high) }
}

// since multiplies a signal from so many days before the present on.
func since(s signal, ago, by float64) signal {
	return func(m *moment) float64 {
		if m.ago <= ago {
			return s(m) * by
		}
		return s(m)
	}
}

// lost is unknown from so many days before the present on.
func lost(s signal, ago float64) signal { return since(s, ago, math.NaN()) }

// saw falls to zero every so many seconds and grows to 1 in between.
func saw(t, period, phase int64) float64 {
	return float64((t+phase)%period) / float64(period)
}
