package chart

import (
	"math"
	"strings"
	"unicode"
	"unicode/utf8"
)

// textWidth estimates in pixels how wide a text of a size in pixels is drawn in a plain sans-serif font. It rather says
// too much: what it is used for is to keep labels apart, whatever font the reader has.
func textWidth(s string, size float64) float64 {
	width := 0.0
	for _, r := range s {
		width += letterWidth(r, size)
	}
	return width
}

func letterWidth(r rune, size float64) float64 {
	switch {
	case r < 0x80:
		return size * asciiWidth(byte(r))
	case unicode.In(r, unicode.Mn, unicode.Cf, unicode.Cc):
		return 0
	case r < 0x700 || r == '‰' || r == '…' || r == '−' || r == '–' || r == '·':
		return size * latinWidth(r)
	case r > 0xffff:
		return math.Max(size*1.62, farCell)
	}
	// Ideographs, and letters that are drawn as a box with their number.
	return math.Max(size*1.12, wideCell)
}

// wideCell is the width in pixels of a letter that only the bitmap font has or none at all; farCell that of one whose
// number has six digits, such as an emoji.
const (
	wideCell = 12.5
	farCell  = 14
)

// latinWidth is the width in em of a letter of the European languages.
func latinWidth(r rune) float64 {
	switch {
	case r == '‰':
		return 1.4
	case r < 0x600 && strings.ContainsRune("ÆŒœæ¼½¾©®ŴŵЉЊЖШЩЮжшщю", r):
		return 1.12
	case r >= 0x180 && r < 0x250:
		return 1.45
	case r >= 0x460 && r < 0x590, strings.ContainsRune("سشصضښڛڜڝڞ", r):
		return 1.23
	case r >= 0x600, r >= 0x250 && r < 0x2b0:
		return 1.15
	}
	return 0.92
}

// asciiWidth is the width in em of a character from the space to the tilde in DejaVu Sans, the widest of the
// usual system fonts.
func asciiWidth(c byte) float64 {
	perMille := [...]float64{
		318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361, 318, 337,
		636, 636, 636, 636, 636, 636, 636, 636, 636, 636, 337, 337, 838, 838, 838, 531,
		1000, 684, 686, 698, 770, 632, 575, 775, 752, 295, 295, 656, 557, 863, 748, 787,
		603, 787, 695, 635, 611, 732, 684, 989, 685, 611, 685, 390, 337, 390, 838, 500,
		500, 613, 635, 550, 635, 615, 352, 635, 634, 278, 278, 579, 278, 974, 634, 612,
		635, 635, 411, 521, 392, 634, 592, 818, 592, 592, 525, 636, 337, 636, 838,
	}
	if c < ' ' || int(c-' ') >= len(perMille) {
		return 0
	}
	return perMille[c-' '] / 1000
}

// cut shortens a text to a number of characters, with an ellipsis where something is missing.
func cut(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	n := 0
	for i := range s {
		if n == most-1 {
			return s[:i] + "…"
		}
		n++
	}
	return s
}

// fit shortens a text to a width.
func fit(s string, size, width float64) string {
	const ellipsis = '…'
	at, used := 0, 0.0 // the most that leaves room for an ellipsis
	for i, r := range s {
		if used+letterWidth(ellipsis, size) <= width {
			at = i
		}
		if used += letterWidth(r, size); used > width {
			if at == 0 {
				return ""
			}
			return strings.TrimRight(s[:at], " ") + string(ellipsis)
		}
	}
	return s
}

// appendEscaped appends text fit for XML content and attributes. Characters that XML cannot hold are dropped.
func appendEscaped(b []byte, s string) []byte {
	for _, r := range s {
		switch {
		case r == '<':
			b = append(b, "&lt;"...)
		case r == '>':
			b = append(b, "&gt;"...)
		case r == '&':
			b = append(b, "&amp;"...)
		case r == '"':
			b = append(b, "&#34;"...)
		case r == '\'':
			b = append(b, "&#39;"...)
		case r == '\t' || r == '\n':
			b = append(b, ' ')
		case r < 0x20 || r == 0x7f || r == utf8.RuneError || r == 0xfffe || r == 0xffff:
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return b
}

// oneLine makes text of several lines one, without characters that would turn the direction of what follows.
func oneLine(s string) string {
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return -1
		}
		return r
	}, s)), " ")
}
