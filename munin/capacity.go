package munin

import "time"

// Verdict is what a capacity forecast concludes about one field.
type Verdict string

// The verdicts, most urgent first.
const (
	Full          Verdict = "full"               // at or above the ceiling now
	Filling       Verdict = "filling"            // the median path reaches the ceiling within the horizon
	MayFill       Verdict = "may fill"           // not the median path, but at least one in ten
	NotInSight    Verdict = "not within horizon" // fewer than one path in ten reaches it
	TooLittleData Verdict = "not enough history"
)

// Finding is the forecast for one field with a ceiling.
type Finding struct {
	ID      SeriesID
	Title   string // of the graph
	Label   string // of the field
	Unit    string
	Base    int     // 1000 or 1024, for printing Used and Ceiling
	Used    float64 // newest known value; NaN is unknown
	Ceiling float64
	Verdict Verdict
	// The dates by which one in ten, half and nine in ten of the paths have reached the ceiling; zero when
	// fewer do within the horizon.
	Full10, Full50, Full90 time.Time
	Chance30               float64 // probability of reaching the ceiling within 30 days, 0 to 1
	GrowthPerDay           float64 // median of the paths, in the field's unit
	Days                   int     // days with data that the forecast rests on
	Missing                int     // days without data among them
	Note                   string  // in words: why there is no forecast, what was left out
}

// Report is a ranked list of findings.
type Report struct {
	Name     string
	At       time.Time
	Horizon  time.Duration
	Findings []Finding
}
