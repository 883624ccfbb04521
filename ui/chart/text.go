package chart

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// textWidth estimates how wide a text is drawn in a plain sans-serif font. It rather says too much: what it is
// used for is to keep labels apart, whatever font the reader has.
func textWidth(s string, size float64) float64 {
	width := 0.0
	for _, r := range s {
		switch {
		case r < 0x80:
			width += asciiWidth(byte(r))
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		case r < 0x1100:
			width += 0.66
		default:
			width += 1.05 // ideographs, emoji
		}
	}
	return width * size
}

func asciiWidth(c byte) float64 {
	switch {
	case c == ' ' || c == '.' || c == ',' || c == ':' || c == ';' || c == 'i' || c == 'l' || c == 'j' || c == '|' || c == '!' || c == '\'':
		return 0.33
	case c == 'm' || c == 'w' || c == 'M' || c == 'W' || c == '@' || c == '%':
		return 0.99
	case c >= 'A' && c <= 'Z':
		return 0.72
	case c == 'f' || c == 't' || c == 'r' || c == '(' || c == ')' || c == '[' || c == ']' || c == '-' || c == '/':
		return 0.42
	default:
		return 0.64
	}
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
	s = cut(s, 500)
	if textWidth(s, size) <= width {
		return s
	}
	for n := utf8.RuneCountInString(s) - 1; n > 0; n-- {
		if short := cut(s, n); textWidth(short, size) <= width {
			return short
		}
	}
	return ""
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

// oneLine makes text of several lines one.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
