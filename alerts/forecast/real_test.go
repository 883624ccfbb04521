package forecast_test

import (
	"encoding/csv"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"corbie/alerts/forecast"
)

// dailyFile reads a file of testdata: a value a day, NaN for a day that is missing.
func dailyFile(t *testing.T, name string) []float64 {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var out []float64
	var next time.Time
	for _, row := range rows[1:] {
		at, err := time.Parse(time.DateOnly, row[0])
		if err != nil {
			t.Fatal(err)
		}
		for ; !next.IsZero() && next.Before(at); next = next.AddDate(0, 0, 1) {
			out = append(out, math.NaN())
		}
		v, err := strconv.ParseFloat(row[1], 64)
		if err != nil {
			v = math.NaN()
		}
		out = append(out, v)
		next = at.AddDate(0, 0, 1)
	}
	return out
}

// line is the slope of the least-squares line, which other tools draw through the last 30 days.
func line(values []float64) float64 {
	n := float64(len(values))
	var sumX, sumY, sumXX, sumXY float64
	for i, v := range values {
		x := float64(i)
		sumX, sumY, sumXX, sumXY = sumX+x, sumY+v, sumXX+x*x, sumXY+x*v
	}
	return (n*sumXY - sumX*sumY) / (n*sumXX - sumX*sumX)
}

// tally counts how a forecast did.
type tally struct {
	brier, lineBrier float64
	questions        int
	inside           map[int]int // by days ahead: how often the truth lay between the 10 and 90 % quantiles
	origins          int
}

func (s *tally) origin(values []float64, at int) {
	past := values[max(0, at-forecast.HistoryDays):at]
	last := past[len(past)-1]
	h := forecast.History{Values: past, Latest: math.NaN()}
	free := forecast.Look(h, math.Inf(1), uint64(at), 30, 90)
	s.origins++
	for _, ahead := range []int{30, 90} {
		truth := values[at+ahead-1]
		if truth >= free.Quantile(ahead, .1)-1 && truth <= free.Quantile(ahead, .9)+1 {
			s.inside[ahead]++
		}
	}
	slope := line(past[len(past)-30:])
	for _, growth := range []float64{1.01, 1.03} {
		ceiling := last * growth
		truth := 0.0
		for _, v := range values[at : at+90] {
			if v >= ceiling {
				truth = 1
			}
		}
		look := forecast.Look(h, ceiling, uint64(at))
		p, straight := look.Chance(90), 0.0
		if last+slope*90 >= ceiling {
			straight = 1
		}
		s.brier += (p - truth) * (p - truth)
		s.lineBrier += (straight - truth) * (straight - truth)
		s.questions++
	}
}

// The gates have some slack: measured are Brier .197 against .375 for the line, and coverage .81 and .74. The
// histories are cut at each origin, so that nothing of what is to be foretold is seen.
func TestRealHistoriesAreForetoldBetterThanByALineAndWithHonestBands(t *testing.T) {
	files, err := filepath.Glob("testdata/treesize_*.csv")
	if err != nil || len(files) < 5 {
		t.Fatalf("only %d files: %v", len(files), err)
	}
	const origins = 36
	s := tally{inside: make(map[int]int)}
	for _, name := range files {
		values := dailyFile(t, name)
		for k := range origins {
			s.origin(values, 400+k*(len(values)-400-91)/(origins-1))
		}
	}
	n := float64(s.questions)
	cover30, cover90 := float64(s.inside[30])/float64(s.origins), float64(s.inside[90])/float64(s.origins)
	t.Logf("Brier %.3f, line %.3f; coverage %.3f (30 days), %.3f (90 days)", s.brier/n, s.lineBrier/n, cover30, cover90)
	if s.brier/n > .21 || s.brier > .6*s.lineBrier {
		t.Errorf("the Brier score is %.3f, that of a line %.3f", s.brier/n, s.lineBrier/n)
	}
	for days, cover := range map[int]float64{30: cover30, 90: cover90} {
		if cover < .70 || cover > .90 {
			t.Errorf("the 10 to 90 %% band at %d days holds the truth %.2f of the time", days, cover)
		}
	}
}
