package forecast_test

import (
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"corbie/alerts/forecast"
)

func load(t testing.TB, file string) []float64 {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var out []float64
	var last time.Time
	for _, r := range rows[1:] {
		d, err := time.Parse(time.DateOnly, r[0])
		if err != nil {
			t.Fatal(err)
		}
		for !last.IsZero() && last.AddDate(0, 0, 1).Before(d) {
			out = append(out, math.NaN())
			last = last.AddDate(0, 0, 1)
		}
		v, err := strconv.ParseFloat(r[1], 64)
		if err != nil {
			v = math.NaN()
		}
		out = append(out, v)
		last = d
	}
	return out
}

func ols(y []float64) (slope, sd float64) {
	n := float64(len(y))
	var sx, sy, sxx, sxy float64
	for i, v := range y {
		x := float64(i)
		sx += x
		sy += v
		sxx += x * x
		sxy += x * v
	}
	return (n*sxy - sx*sy) / (n*sxx - sx*sx), 0
}

func TestEval(t *testing.T) {
	files, _ := filepath.Glob("/work/shared/forecast-data/daily/tree*.csv")
	var tb, ts, tn, to float64
	c30, c90, n := 0, 0, 0
	var lo30, hi30, lo90, hi90 int
	for _, f := range files {
		v := load(t, f)
		var b, o, q float64
		for k := 0; k < 24; k++ {
			at := 400 + k*(len(v)-400-91)/23
			hist := v[max(0, at-730):at]
			h := forecast.History{Values: hist, Latest: math.NaN()}
			last := hist[len(hist)-1]
			o1 := forecast.Look(h, math.Inf(1), uint64(at), 30, 90)
			n++
			if x := v[at+29]; x >= o1.Quantile(30, .1)-1 && x <= o1.Quantile(30, .9)+1 {
				c30++
			} else if x > last {
				hi30++
			} else {
				lo30++
			}
			if x := v[at+89]; x >= o1.Quantile(90, .1)-1 && x <= o1.Quantile(90, .9)+1 {
				c90++
			} else if x > o1.Quantile(90, .9) {
				hi90++
			} else {
				lo90++
			}
			s, _ := ols(hist[len(hist)-30:])
			for _, g := range []float64{1.01, 1.03} {
				ceil := last * g
				hit := 0.0
				for i := 0; i < 90; i++ {
					if v[at+i] >= ceil {
						hit = 1
					}
				}
				oc := forecast.Look(h, ceil, uint64(at))
				p := oc.Chance(90)
				lp := 0.0
				if last+s*90 >= ceil {
					lp = 1
				}
				b += (p - hit) * (p - hit)
				o += (lp - hit) * (lp - hit)
				tn += p
				to += hit
				q++
			}
		}
		fmt.Printf("%-30s brier %.3f ols %.3f\n", filepath.Base(f), b/q, o/q)
		tb += b / q / float64(len(files))
		ts += o / q / float64(len(files))
	}
	fmt.Printf("all brier %.3f ols30 %.3f meanp %.3f meanhit %.3f cov30 %.3f (lo %d hi %d) cov90 %.3f (lo %d hi %d)\n", tb, ts, tn/float64(2*n), to/float64(2*n), float64(c30)/float64(n), lo30, hi30, float64(c90)/float64(n), lo90, hi90)
}
