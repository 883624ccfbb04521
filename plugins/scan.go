package plugins

import "bytes"

// nextLine cuts the first line off a text.
func nextLine(text []byte) (line, rest []byte) {
	if i := bytes.IndexByte(text, '\n'); i >= 0 {
		return text[:i], text[i+1:]
	}
	return text, nil
}

// nextWord cuts the first word off a text; both are empty at its end.
func nextWord(text []byte) (word, rest []byte) {
	start := 0
	for start < len(text) && isBlank(text[start]) {
		start++
	}
	end := start
	for end < len(text) && !isBlank(text[end]) {
		end++
	}
	return text[start:end], text[end:]
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// parseUint reads a whole number that is not negative; anything else, and one too large, is refused.
func parseUint(word []byte) (uint64, bool) {
	if len(word) == 0 || len(word) > 20 {
		return 0, false
	}
	var v uint64
	for _, c := range word {
		if c < '0' || c > '9' {
			return 0, false
		}
		d := uint64(c - '0')
		if v > (1<<64-1-d)/10 {
			return 0, false
		}
		v = v*10 + d
	}
	return v, true
}

// uints reads the numbers at the start of a text into dst and says how many there were.
func uints(text []byte, dst []uint64) int {
	for i := range dst {
		var word []byte
		word, text = nextWord(text)
		v, ok := parseUint(word)
		if !ok {
			return i
		}
		dst[i] = v
	}
	return len(dst)
}

// lineOf finds the line of a text that begins with the given word, without that word.
func lineOf(text []byte, key string) (rest []byte, ok bool) {
	for len(text) > 0 {
		var line []byte
		line, text = nextLine(text)
		if word, rest := nextWord(line); string(word) == key {
			return rest, true
		}
	}
	return nil, false
}

// numberOf is the first number of the line that begins with the given word.
func numberOf(text []byte, key string) (uint64, bool) {
	rest, ok := lineOf(text, key)
	if !ok {
		return 0, false
	}
	word, _ := nextWord(rest)
	return parseUint(word)
}
