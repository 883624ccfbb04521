package munin_test

import (
	"math"
	"strings"
	"testing"

	"corbie/munin"
)

func TestNumbersForPeopleHaveThreeOrFourDigitsAndAPrefix(t *testing.T) {
	f := func(v float64, base int, want string) {
		t.Helper()
		if got := munin.FormatValue(v, base); got != want {
			t.Errorf("FormatValue(%g, %d) is %q, want %q", v, base, got, want)
		}
	}
	f(0, 1000, "0")
	f(1, 1000, "1")
	f(999, 1000, "999")
	f(999.4, 1000, "999.4")
	f(999.6, 1000, "1k")
	f(1000, 1000, "1k")
	f(1234, 1000, "1.23k")
	f(12345, 1000, "12.3k")
	f(123456, 1000, "123.5k")
	f(-1234567, 1000, "-1.23M")
	f(1e18, 1000, "1E")
	f(0.5, 1000, "500m")
	f(0.0000123, 1000, "12.3µ")
	f(-0.001, 1000, "-1m")
	f(1023, 1024, "1023")
	f(1024, 1024, "1Ki")
	f(1536, 1024, "1.5Ki")
	f(25276502016, 1024, "23.5Gi")
	f(0.5, 1024, "0.5")
	f(0.001, 1024, "0.001")
	f(97.25, 0, "97.2")
	f(1234567, 0, "1234567")
	f(0.00012, 0, "0.00012")
	f(math.NaN(), 1000, "unknown")
	f(math.Inf(-1), 1000, "-Inf")
	f(math.Copysign(0, -1), 0, "0")
	f(-0.0000001, 0, "-1e-07")
}

func TestScalingKeepsTheValue(t *testing.T) {
	size := map[string]float64{"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18, "m": 1e-3, "µ": 1e-6, "n": 1e-9, "p": 1e-12}
	for exponent := -15.0; exponent < 25; exponent += .37 {
		for _, v := range []float64{math.Pow(10, exponent), -math.Pow(10, exponent)} {
			scaled, prefix := munin.ScaleValue(v, 1000)
			factor, ok := size[prefix]
			if !ok || math.Abs(scaled*factor-v) > 1e-12*math.Abs(v) {
				t.Errorf("%g became %g%s", v, scaled, prefix)
			}
			if strings.Contains("kMGTPmµn", prefix) && prefix != "" && (math.Abs(scaled) < .9994 || math.Abs(scaled) >= 1000) {
				t.Errorf("%g became %g%s, which is not between 1 and 1000", v, scaled, prefix)
			}
		}
	}
}
