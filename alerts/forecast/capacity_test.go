package forecast_test

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"corbie/alerts/forecast"
)

// ramp is a history that grows by slope a day from start.
func ramp(days int, start, slope float64) []float64 {
	out := make([]float64, days)
	for i := range out {
		out[i] = start + slope*float64(i)
	}
	return out
}

func history(values []float64) forecast.History {
	return forecast.History{Values: values, Latest: math.NaN()}
}

func TestASteadyDiskIsFullOnTheDayThatArithmeticSays(t *testing.T) {
	// 400 days from 100 on: 1 a day, 499 on the last; 1000 is 501 days away.
	look := forecast.Look(history(ramp(400, 100, 1)), 1000, 1)
	if look.Full10 != 501 || look.Full50 != 501 || look.Full90 != 501 {
		t.Errorf("full on day %d, %d, %d; want 501", look.Full10, look.Full50, look.Full90)
	}
	if math.Abs(look.GrowthPerDay-1) > 1e-9 || look.Chance(500) != 0 || look.Chance(501) != 1 {
		t.Errorf("growth %g, chance %g and %g", look.GrowthPerDay, look.Chance(500), look.Chance(501))
	}
}

func TestTheSameHistoryGivesTheSameForecastAndAnotherSeedANearOne(t *testing.T) {
	values := ramp(200, 100, 1)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range values {
		values[i] += random.NormFloat64() * 20
	}
	a, b, c := forecast.Look(history(values), 500, 7), forecast.Look(history(values), 500, 7), forecast.Look(history(values), 500, 8)
	if !reflect.DeepEqual(a, b) {
		t.Error("the same seed gave another forecast")
	}
	if reflect.DeepEqual(a, c) {
		t.Error("another seed gave the same futures")
	}
	if d := math.Abs(float64(a.Full50 - c.Full50)); d > .1*float64(a.Full50) {
		t.Errorf("two seeds say day %d and day %d", a.Full50, c.Full50)
	}
}

func TestLessThanThreeWeeksOfDataGiveNoForecast(t *testing.T) {
	for days, want := range map[int]bool{0: false, 1: false, 20: false, 21: true, 22: true} {
		h := history(ramp(days, 0, 1))
		if h.Enough() != want {
			t.Errorf("%d days are enough: %v", days, !want)
		}
		if look := forecast.Look(h, 100, 1); want == math.IsNaN(look.GrowthPerDay) || !want && (look.Full10 != 0 || look.Chance(30) != 0) {
			t.Errorf("%d days give %+v", days, look)
		}
	}
	holes := ramp(60, 0, 1)
	for i := 0; i < len(holes); i += 2 {
		holes[i] = math.NaN()
	}
	if history(holes).Enough() {
		t.Error("a history without two days in a row is enough")
	}
	if known, missing := history(holes).Count(); known != 30 || missing != 29 {
		t.Errorf("counted %d known, %d missing", known, missing)
	}
	if old := append(ramp(100, 0, 1), make([]float64, 0)...); !history(append(old, nans(90)...)).Enough() || history(append(old, nans(91)...)).Enough() {
		t.Error("a field that has been silent for more than 90 days is forecast, or one of 90 is not")
	}
}

func nans(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = math.NaN()
	}
	return out
}

func TestAGapIsNotReadAsGrowth(t *testing.T) {
	// Level 100 for half a year, nothing for 40 days, then 400 for half a year: nothing grows.
	values := append(append(ramp(180, 100, 0), nans(40)...), ramp(180, 400, 0)...)
	look := forecast.Look(history(values), 1000, 1)
	if look.Full10 != 0 || look.GrowthPerDay != 0 {
		t.Errorf("full on day %d, growth %g", look.Full10, look.GrowthPerDay)
	}
	// The days that passed in silence count: 20 of the 100 that were left are over.
	look = forecast.Look(history(append(ramp(200, 1, 1), nans(20)...)), 300, 1)
	if look.Full50 != 80 {
		t.Errorf("full on day %d, want 80", look.Full50)
	}
	look = forecast.Look(history(append(ramp(200, 1, 1), nans(20)...)), 210, 1)
	if look.Full50 != 1 {
		t.Errorf("what is already due is full on day %d, want 1", look.Full50)
	}
}

func TestOneStepDoesNotFoolIt(t *testing.T) {
	f := func(name string, step float64, at int, ceiling float64, want, slack int) {
		t.Helper()
		values := ramp(365, 300, 1)
		for i := at; i < len(values); i++ {
			values[i] += step
		}
		look := forecast.Look(history(values), ceiling, 3)
		if d := look.Full50 - want; d < -slack || d > slack {
			t.Errorf("%s: half of the futures are full on day %d, want %d (10 %%: %d, 90 %%: %d)", name, look.Full50, want, look.Full10, look.Full90)
		}
		if len(look.Steps) != 1 || look.Steps[0].DaysAgo != 364-at || math.Abs(look.Steps[0].By-step-1) > 2 {
			t.Errorf("%s: steps are %+v", name, look.Steps)
		}
	}
	f("a clean-up two weeks ago", -250, 350, 800, 386, 10) // 664 - 250 = 414 on the last day
	f("a clean-up half a year ago", -250, 180, 800, 386, 10)
	f("an upload two weeks ago", 100, 350, 1000, 236, 10)
	f("an upload three months ago", 100, 270, 1000, 236, 10)
}

func TestALargerDiskMakesAPercentageGrowSlower(t *testing.T) {
	// 0.2 % a day up to 70 %, then the disk is doubled: 35 % and 0.1 % a day for 90 days, 44 % on the last.
	values := append(ramp(300, 10, .2), ramp(90, 35, .1)...)
	look := forecast.Look(history(values), 100, 3)
	if look.Full50 < 530 || look.Full50 > 580 {
		t.Errorf("half of the futures are full on day %d, want about 561", look.Full50)
	}
}

func TestABurstInTheLastHoursIsNoTrend(t *testing.T) {
	quiet := ramp(200, 300, .5)
	calm := forecast.Look(history(quiet), 1000, 5)
	burst := append([]float64(nil), quiet...)
	burst[len(burst)-1] += 500
	over := forecast.Look(forecast.History{Values: burst, Latest: quiet[len(quiet)-1]}, 1000, 5)
	if d := over.Full50 - calm.Full50; d < -5 || d > 5 {
		t.Errorf("a burst that is over moves the date from day %d to day %d", calm.Full50, over.Full50)
	}
	now := forecast.Look(forecast.History{Values: quiet, Latest: quiet[len(quiet)-1] + 500}, 1000, 5)
	if !reflect.DeepEqual(now, calm) {
		t.Error("a burst within the last hours changes the forecast")
	}
	stays := forecast.Look(forecast.History{Values: burst, Latest: burst[len(burst)-1]}, 1000, 5)
	if want := 204; stays.Full50 < want-8 || stays.Full50 > want {
		t.Errorf("a level that stays is full on day %d, want about %d", stays.Full50, want)
	}
}

func TestMemoryThatOnlySwaysIsNotSaidToFill(t *testing.T) {
	early := 0
	for run := range uint64(20) {
		random := rand.New(rand.NewPCG(4, run))
		values := make([]float64, 365)
		for i := range values {
			values[i] = 60 + 5*random.NormFloat64()
		}
		look := forecast.Look(history(values), 100, run)
		if look.Chance(90) > .02 || look.Full50 != 0 || math.Abs(look.GrowthPerDay) > .05 {
			t.Errorf("run %d: chance within 90 days %g, full on day %d, growth %g a day", run, look.Chance(90), look.Full50, look.GrowthPerDay)
		}
		if look.Full10 != 0 {
			early++
		}
	}
	if early > 6 {
		t.Errorf("%d of 20 are said to have a chance of one in ten to fill", early)
	}
}

func TestWhatShrinksOrStandsIsNotWithinTheHorizon(t *testing.T) {
	for name, values := range map[string][]float64{
		"standing": ramp(100, 50, 0), "shrinking": ramp(100, 90, -.5), "empty": ramp(100, 0, 0), "slow": ramp(100, 50, .01),
	} {
		look := forecast.Look(history(values), 100, 1, 700)
		if look.Full10 != 0 || look.Chance(forecast.HorizonDays) != 0 {
			t.Errorf("%s: full on day %d", name, look.Full10)
		}
		if low := look.Quantile(700, 0); low < 0 {
			t.Errorf("%s: a future goes down to %g", name, low)
		}
	}
}

func TestBandsStayBetweenNothingAndTheCeilingAndInOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 9))
	values := []float64{50}
	for range 300 {
		values = append(values, max(0, values[len(values)-1]+3*random.NormFloat64()))
	}
	look := forecast.Look(history(values), 100, 1, 1, 60, 730)
	for _, d := range []int{1, 60, 730} {
		low, mid, high := look.Quantile(d, .1), look.Quantile(d, .5), look.Quantile(d, .9)
		if !(0 <= low && low <= mid && mid <= high && high <= 100) {
			t.Errorf("day %d: %g, %g, %g", d, low, mid, high)
		}
	}
	if !math.IsNaN(look.Quantile(2, .5)) {
		t.Error("a day that was not asked for has a quantile")
	}
	if look.Full10 > look.Full50 && look.Full50 > 0 || look.Full50 > look.Full90 && look.Full90 > 0 {
		t.Errorf("dates out of order: %d, %d, %d", look.Full10, look.Full50, look.Full90)
	}
}

func BenchmarkLookOverFiveYears(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 1))
	values := ramp(forecast.HistoryDays, 100, .1)
	for i := range values {
		values[i] += random.NormFloat64() * 5
	}
	for b.Loop() {
		forecast.Look(history(values), 1000, 1)
	}
}
