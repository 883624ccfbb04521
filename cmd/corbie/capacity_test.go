package main

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage/catalog"
	"corbie/storage/storagetest"
)

const oneDay = 24 * time.Hour

// disk is a file system whose use, in percent, is known for every day, also for those to come.
type disk struct {
	field string
	daily []float64 // from a year ago to a year ahead
}

// growing fills by so much a day on average, more on five days of a week than on the other two, with daily noise,
// and is cleaned up once, 100 days ago.
func growing(field string, today, perDay float64, seed uint64) disk {
	random := rand.New(rand.NewPCG(seed, 1))
	d := disk{field: field, daily: make([]float64, 731)}
	for i := range d.daily {
		weight := 1.26
		if i%7 > 4 {
			weight = 0.35
		}
		step := perDay * weight * (0.4 + 1.2*random.Float64())
		if i == 265 {
			step -= 12
		}
		if i > 0 {
			d.daily[i] = d.daily[i-1] + step
		}
	}
	shift := today - d.daily[365]
	for i := range d.daily {
		d.daily[i] += shift
	}
	return d
}

// fullDay is in how many days the disk is really full, 0 when not within the year.
func (d disk) fullDay() int {
	for i := 366; i < len(d.daily); i++ {
		if d.daily[i] >= 100 {
			return i - 365
		}
	}
	return 0
}

// at is the use at an instant: between two days on the line that joins them, but for a clean-up, which is done at once.
func (d disk) at(now time.Time) func(t time.Time) float64 {
	return func(t time.Time) float64 {
		days := 365 - now.Sub(t).Hours()/24
		i := min(max(int(days), 0), len(d.daily)-2)
		if d.daily[i+1] < d.daily[i]-5 {
			return d.daily[i]
		}
		return d.daily[i] + (days-float64(i))*(d.daily[i+1]-d.daily[i])
	}
}

// generate writes a data folder with one host whose df has the given disks, a year of each, and ten days of a new one.
func generate(t *testing.T, now time.Time, disks []disk) string {
	t.Helper()
	data := t.TempDir()
	cat, err := catalog.Open(filepath.Join(data, catalogFile), catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	host := munin.HostID("web;web1")
	g := munin.Graph{
		Plugin: "df", Name: "df", Title: "Disk usage in percent", VLabel: "%", Category: "disk", Period: "second",
		Args: "--upper-limit 100 -l 0",
	}
	year := make(map[munin.SeriesID]func(time.Time) float64)
	for _, d := range disks {
		g.Fields = append(g.Fields, munin.Field{Name: d.field, Label: "/" + d.field})
		year[munin.SeriesID{Host: host, Graph: "df", Field: d.field}] = d.at(now)
	}
	g.Fields = append(g.Fields, munin.Field{Name: "young", Label: "/young"})
	young := map[munin.SeriesID]func(time.Time) float64{{Host: host, Graph: "df", Field: "young"}: growing("young", 70, 1, 9).at(now)}
	if err := cat.Configure(t.Context(), []munin.Host{{ID: host, Address: "127.0.0.1:4949", Interval: 5 * time.Minute}}); err != nil {
		t.Fatal(err)
	}
	if err := cat.Record(t.Context(), &munin.Poll{Host: host, Start: now, Slot: now, Banner: "web1", Graphs: []munin.Graph{g}}); err != nil {
		t.Fatal(err)
	}
	if err := cat.Close(); err != nil {
		t.Fatal(err)
	}
	for _, part := range []struct {
		series map[munin.SeriesID]func(time.Time) float64
		from   time.Duration
	}{{year, 365 * oneDay}, {young, 10 * oneDay}} {
		if err := storagetest.Backfill(data, part.series, munin.Range{From: now.Add(-part.from), To: now}, 5*time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	return data
}

type jsonFinding struct {
	Field    string   `json:"field"`
	Verdict  string   `json:"verdict"`
	Full10   string   `json:"full_10"`
	Full50   string   `json:"full_50"`
	Full90   string   `json:"full_90"`
	Chance30 *float64 `json:"chance_30_days"`
	Note     string   `json:"note"`
}

// days is in how many days a date of the report is.
func days(t *testing.T, date string, now time.Time) float64 {
	t.Helper()
	day, err := time.Parse(time.DateOnly, date)
	if err != nil {
		t.Fatal(err)
	}
	return day.Sub(now.Truncate(oneDay)).Hours() / 24
}

func TestCapacityReportKnowsTheDay(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Minute)
	soon := growing("soon", 93, 0.28, 1)
	later := growing("later", 70, 0.12, 2)
	steady := growing("steady", 40, 0.001, 3)
	data := generate(t, now, []disk{steady, later, soon})

	var got struct{ Findings []jsonFinding }
	out := mustCorbie(t, "report", "capacity", "--data", data, "--format", "json")
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", mustCorbie(t, "report", "capacity", "--data", data))
	if len(got.Findings) != 4 || got.Findings[0].Field != "soon" || got.Findings[1].Field != "later" {
		t.Fatalf("want four findings, soon and later first:\n%s", out)
	}
	for i, d := range []disk{soon, later} {
		f := got.Findings[i]
		if f.Verdict != "filling" || f.Full10 == "" || f.Full50 == "" || f.Full90 == "" {
			t.Fatalf("%s: want a range of dates: %+v", d.field, f)
		}
		truth := float64(d.fullDay())
		first, median, last := days(t, f.Full10, now), days(t, f.Full50, now), days(t, f.Full90, now)
		t.Logf("%s is full in %v days; the report says %v (%v to %v)", d.field, truth, median, first, last)
		if allowed := max(0.15*truth, 3); math.Abs(median-truth) > allowed {
			t.Errorf("%s: the median is %.0f days off, want at most %.0f", d.field, median-truth, allowed)
		}
		if truth < first-1 || truth > last+1 {
			t.Errorf("%s: the true day is outside the range", d.field)
		}
	}
	if c := got.Findings[0].Chance30; c == nil || *c < 0.5 {
		t.Errorf("soon is full in %d days, but the chance within 30 days is %v", soon.fullDay(), c)
	}
	for _, f := range got.Findings[2:] {
		switch {
		case f.Field == "steady" && f.Verdict != "not within horizon":
			t.Errorf("steady: %+v", f)
		case f.Field == "young" && (f.Verdict != "not enough history" || !strings.Contains(f.Note, "21 days")):
			t.Errorf("young: %+v", f)
		}
	}
}
