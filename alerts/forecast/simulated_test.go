package forecast_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"corbie/alerts/forecast"
)

// disk simulates the fill of a disk of 1000 GB day by day: what is there before the forecast, and what comes.
type disk struct {
	random *rand.Rand
	level  float64
	values []float64
}

func (d *disk) grow(days int, slope, noise float64, event func(day int) float64) {
	for i := range days {
		d.level = max(0, d.level+slope+d.random.NormFloat64()*noise)
		if event != nil {
			d.level = max(0, d.level+event(i))
		}
		d.values = append(d.values, d.level)
	}
}

// firstFull is the day after the past on which the simulation reaches 1000, 0 for never.
func firstFull(values []float64, past int) int {
	return slices.IndexFunc(values[past:], func(v float64) bool { return v >= 1000 }) + 1
}

// scene is a kind of disk. It is simulated many times; the share of true days within Full10 to Full90 and the
// median error of Full50, as a share of the days it took, are checked.
type scene struct {
	name           string
	past           int
	play           func(d *disk)
	minIn, maxSlip float64
}

func scenes() []scene {
	none := func(int) float64 { return 0 }
	return []scene{
		{"steady growth", 365, func(d *disk) { d.level = 200; d.grow(1500, 1.5, 1.5, none) }, .7, .1},
		{"steady growth, two months known", 60, func(d *disk) { d.level = 600; d.grow(1200, 2, 1.5, none) }, .65, .15},
		{"uneven growth", 365, func(d *disk) { d.level = 100; d.grow(1500, 1.6, 12, none) }, .65, .6},
		{"only on working days", 365, func(d *disk) {
			d.level = 200
			d.grow(1500, 0, .5, func(i int) float64 {
				if i%7 < 5 {
					return 2.1
				}
				return 0
			})
		}, .7, .1},
		{"emptied in part every week", 365, func(d *disk) {
			d.level = 200
			d.grow(1500, 6, 3, func(i int) float64 {
				if i%7 == 6 {
					return -32
				}
				return 0
			})
		}, .65, .15},
		{"emptied in part every month", 365, func(d *disk) {
			d.level = 300
			d.grow(1500, 5, 3, func(i int) float64 {
				if i%30 == 29 {
					return -105
				}
				return 0
			})
		}, .65, .4},
		{"one great clean-up", 365, func(d *disk) {
			d.level = 200
			at := 200 + d.random.IntN(160)
			d.grow(1500, 1.8, 1.5, func(i int) float64 {
				if i == at {
					return -300
				}
				return 0
			})
		}, .65, .15},
		{"one great upload", 365, func(d *disk) {
			d.level = 100
			at := 200 + d.random.IntN(160)
			d.grow(1500, 1, 1, func(i int) float64 {
				if i == at {
					return 200
				}
				return 0
			})
		}, .65, .15},
		{"growth that doubled 100 days ago", 365, func(d *disk) {
			d.level = 200
			d.grow(265, 1, 1, none)
			d.grow(1200, 2, 2, none)
		}, .65, .35},
		{"growth that speeds up", 365, func(d *disk) {
			d.level = 100
			d.grow(1500, 0, 1, func(i int) float64 { return .8 * math.Exp(float64(i)/300) })
		}, .7, .3},
	}
}

func TestSimulatedDisksFillWithinTheRangeAndNearTheMedianDate(t *testing.T) {
	const runs = 60
	inAll, all := 0, 0
	for n, s := range scenes() {
		var slips []float64
		in, judged := 0, 0
		for run := range runs {
			d := disk{random: rand.New(rand.NewPCG(uint64(n), uint64(run)))}
			s.play(&d)
			truth := firstFull(d.values, s.past)
			if slices.Max(d.values[:s.past]) >= 1000 || truth == 0 || truth > forecast.HorizonDays {
				continue
			}
			judged++
			look := forecast.Look(forecast.History{Values: d.values[:s.past], Latest: math.NaN()}, 1000, uint64(run))
			full90, full50 := look.Full90, look.Full50
			if full90 == 0 {
				full90 = math.MaxInt - 1
			}
			if full50 == 0 {
				full50 = 2 * forecast.HorizonDays
			}
			// A day on either side, since the dates are whole days.
			if look.Full10 > 0 && truth >= look.Full10-1 && truth <= full90+1 {
				in++
			}
			slips = append(slips, math.Abs(float64(full50-truth))/float64(max(truth, 60)))
		}
		if judged < runs/2 {
			t.Fatalf("%s: only %d of %d runs fill within the horizon", s.name, judged, runs)
		}
		slices.Sort(slips)
		slip := slips[len(slips)/2]
		t.Logf("%-34s %2d runs: %.2f within the range, median error %.0f %%", s.name, judged, float64(in)/float64(judged), slip*100)
		if float64(in)/float64(judged) < s.minIn || slip > s.maxSlip {
			t.Errorf("%s: %.2f within the range (want %.2f), median error %.2f (want %.2f)",
				s.name, float64(in)/float64(judged), s.minIn, slip, s.maxSlip)
		}
		inAll, all = inAll+in, all+judged
	}
	if share := float64(inAll) / float64(all); share < .72 || share > .95 {
		t.Errorf("over all scenes %.2f of the true days are within the range of 80 %%", share)
	}
}
