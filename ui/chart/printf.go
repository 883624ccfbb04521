package chart

import (
	"math"
	"strconv"
	"strings"

	"corbie/munin"
)

// printf is a number format of rrdtool, such as "%6.2lf%s": text, one number, and where its prefix goes.
type printf struct {
	before, after string
	precision     int
	verb          byte // f, e or g
	plus          bool
	prefix        bool // %s or %S: scale the number and name the prefix
}

// parsePrintf reads graph_printf; ok is false for what is not a format of one number. Padding is left out: columns are
// aligned anyway.
func parsePrintf(text string) (f *printf, ok bool) {
	f = &printf{precision: -1}
	out := &f.before
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			*out += text[i : i+1]
			continue
		}
		if i++; i == len(text) {
			return nil, false
		}
		switch text[i] {
		case '%':
			*out += "%"
			continue
		case 's', 'S':
			f.prefix = true
			continue
		}
		n, valid := f.number(text[i:])
		if !valid || f.verb != 0 && out == &f.after {
			return nil, false
		}
		i += n - 1
		out = &f.after
	}
	f.before, f.after = strings.TrimLeft(f.before, " "), strings.TrimRight(f.after, " ")
	return f, out == &f.after && len(f.before)+len(f.after) < 40
}

// number reads what follows a percent sign: flags, width, precision, l and f, e or g. It says how long that is.
func (f *printf) number(text string) (length int, ok bool) {
	rest := strings.TrimLeft(text, "-+ 0#'")
	f.plus = f.plus || strings.Contains(text[:len(text)-len(rest)], "+")
	rest = strings.TrimLeft(rest, "0123456789")
	if after, dot := strings.CutPrefix(rest, "."); dot {
		rest = strings.TrimLeft(after, "0123456789")
		n, err := strconv.Atoi("0" + after[:len(after)-len(rest)])
		if err != nil || n > 12 {
			return 0, false
		}
		f.precision = n
	}
	rest = strings.TrimLeft(rest, "l")
	if rest == "" || strings.IndexByte("feg", rest[0]) < 0 {
		return 0, false
	}
	if f.verb = rest[0]; f.precision < 0 && f.verb != 'g' {
		f.precision = 6
	}
	return len(text) - len(rest) + 1, true
}

// format writes a known value; base 0 has no prefixes.
func (f *printf) format(v float64, base int) string {
	prefix := ""
	if f.prefix && base != 0 {
		v, prefix = munin.ScaleValue(v, base)
	}
	number := strconv.FormatFloat(v, f.verb, f.precision, 64)
	if f.plus && !math.Signbit(v) {
		number = "+" + number
	}
	return f.before + number + prefix + f.after
}
