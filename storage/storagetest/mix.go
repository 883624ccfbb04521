package storagetest

import (
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"corbie/munin"
)

// Mix is what one field of many says: its type, and a function that gives its value at ever later times. The same seed and number give the
// same values. Of each twenty fields, as the plugins of a Munin have them,
//
//   - 6 are busy counters (0 to 3 million more each time), 2 quiet ones (0 or 1 more, one time in fifteen 1),
//   - 3 are large whole numbers that wander (bytes of memory), 2 small ones (100 to 119),
//   - 2 have two decimals (0 to 4, as a load), 3 never change, 1 is a percentage that grows from 0 to 100 within a year,
//   - 1 is noise to the last digit.
func Mix(seed uint64, i int) (munin.FieldType, func(time.Time) float64) {
	rng := rand.New(rand.NewPCG(uint64(i), seed)) //nolint:gosec // an index
	total, level := 0.0, rng.Float64()*1e9
	switch i % 20 {
	case 0, 1, 2, 3, 4, 5:
		return munin.Derive, func(time.Time) float64 { total += float64(rng.IntN(3_000_000)); return total }
	case 6, 7:
		return munin.Derive, func(time.Time) float64 { total += float64(rng.IntN(30) / 28); return total }
	case 8, 9, 10:
		return munin.Gauge, func(time.Time) float64 { level += float64(rng.IntN(2_000_000) - 1_000_000); return math.Round(level) }
	case 11, 12:
		return munin.Gauge, func(time.Time) float64 { return float64(100 + rng.IntN(20)) }
	case 13, 14:
		return munin.Gauge, func(time.Time) float64 { return math.Round(rng.Float64()*400) / 100 }
	case 15, 16, 17:
		return munin.Gauge, func(time.Time) float64 { return 42 }
	case 18:
		return munin.Gauge, func(t time.Time) float64 { return math.Round(float64(t.Unix()%31_536_000) / 315_360) }
	}
	return munin.Gauge, func(time.Time) float64 { return rng.NormFloat64() }
}

// Fleet is a number of fields of Mix: ten to a graph, a hundred to a host.
func Fleet(seed uint64, fields int) (sources []munin.Source, values map[munin.SeriesID]func(time.Time) float64) {
	sources, values = make([]munin.Source, fields), make(map[munin.SeriesID]func(time.Time) float64, fields)
	for i := range sources {
		s := &sources[i]
		s.ID.Host = munin.HostID("web;www" + strconv.Itoa(i/100))
		s.ID.Graph, s.ID.Field = "graph"+strconv.Itoa(i/10%10), "field"+strconv.Itoa(i%10)
		s.Heartbeat = 630 * time.Second
		s.Type, values[s.ID] = Mix(seed, i)
	}
	return sources, values
}
