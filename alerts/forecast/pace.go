package forecast

import "math"

const (
	clearChange = 3.5 // standard errors between two means from which on a change of pace is believed
	pieceDays   = 7   // length of the sums that are compared, so that the rhythm of a week is no noise
	minPieces   = 4
	maxSpeed    = 1.1 // logarithm of the most that a pace is taken to grow or to fall: three times
	speedShare  = 1.5 // futures go on to speed up by 0 to this share of how the field did
)

// pace is how fast a field has been growing, where that changed clearly.
type pace struct {
	// spans are how many days back the futures of each window draw from. Where the pace changed, they do not look
	// back to the older one, except in the last window.
	spans []int
	// speed is by how much the logarithm of the pace changed a day, lead how many days ago the recent mean pace was
	// that of the day. Both are 0 where there was no clear change, or growth turned into decline.
	speed, lead float64
}

// newPace compares the mean growth within each window with that of the days before it, up to the next window.
func newPace(stock []move) pace {
	p := pace{spans: windows()}
	for k := range len(p.spans) - 2 {
		near, far := float64(p.spans[k]), float64(p.spans[k+1])
		recent, before := pieces(stock, 0, p.spans[k]), pieces(stock, p.spans[k], p.spans[k+1])
		if len(recent) < minPieces || len(before) < minPieces {
			continue
		}
		a, errorA := meanError(recent)
		b, errorB := meanError(before)
		if !(math.Abs(a-b) > clearChange*math.Hypot(errorA, errorB)) {
			continue
		}
		if a > 0 && b > 0 {
			p.speed = max(-maxSpeed, min(maxSpeed, math.Log(a/b))) / (far / 2)
			p.lead = near / 2
		}
		for j := k + 1; j < len(p.spans)-1; j++ {
			p.spans[j] = p.spans[k]
		}
		break
	}
	return p
}

// pieces are the mean moves, a week each, of the days from so many to so many days ago; steps are not in them.
func pieces(stock []move, from, to int) []float64 {
	var out []float64
	sum, n := 0.0, 0
	for i := len(stock) - 1; i >= 0; i-- {
		if stock[i].ago < from || stock[i].ago >= to {
			continue
		}
		sum += stock[i].level
		if n++; n == pieceDays {
			out = append(out, sum/pieceDays)
			sum, n = 0, 0
		}
	}
	return out
}

// meanError is the mean and its standard error.
func meanError(values []float64) (mean, standardError float64) {
	n := float64(len(values))
	for _, v := range values {
		mean += v / n
	}
	sum := 0.0
	for _, v := range values {
		sum += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(sum / (n - 1) / n)
}
