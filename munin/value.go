package munin

import (
	"math"
	"strconv"
	"strings"
)

// FormatValue is a number for people: three or four significant digits and an SI prefix, or an IEC one for
// base 1024; base 0 means no prefix. NaN is "unknown".
func FormatValue(v float64, base int) string {
	if math.IsNaN(v) {
		return "unknown"
	}
	if math.IsInf(v, 0) {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	scaled, prefix := ScaleValue(v, base)
	return formatDigits(scaled) + prefix
}

// ScaleValue divides v so that it lies between 1 and the base, and names the prefix: 1536, 1024 → 1.5, "Ki".
func ScaleValue(v float64, base int) (scaled float64, prefix string) {
	size := math.Abs(v)
	step := float64(base)
	if base == 0 || size == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return v, ""
	}
	large := []string{"", "k", "M", "G", "T", "P", "E"}
	if base == 1024 {
		large = []string{"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"}
	}
	small := []string{"", "m", "µ", "n", "p"}
	n := 0
	for size >= step*0.9995 && n < len(large)-1 {
		size /= step
		n++
	}
	if n > 0 {
		return math.Copysign(size, v), large[n]
	}
	for base != 1024 && size < 0.9995 && n < len(small)-1 {
		size *= 1000
		n++
	}
	return math.Copysign(size, v), small[n]
}

func formatDigits(v float64) string {
	decimals := 2
	switch size := math.Abs(v); {
	case size >= 99.95:
		decimals = 0
		if size < 1000 && math.Abs(size-math.Round(size)) > 0.05 {
			decimals = 1
		}
	case size >= 9.995:
		decimals = 1
	case size < 0.1 && size != 0:
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	text := strconv.FormatFloat(v, 'f', decimals, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	if text == "-0" {
		return "0"
	}
	return text
}
