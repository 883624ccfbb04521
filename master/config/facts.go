package config

import (
	"maps"
	"slices"
	"unicode/utf8"
)

const (
	maxFacts     = 20  // of one host
	maxFactName  = 40  // bytes
	maxFactValue = 200 // characters
)

// facts reads "name: value": what people want to know of a host beside what it measures, such as its serial number.
func (r *reader) facts(n *node, where string) map[string]string {
	facts := make(map[string]string)
	for _, e := range r.valued(n, where, noValue) {
		name := e.key.Value
		if err := checkName(name, " "); err != nil || len(name) > maxFactName {
			r.problem(e.key.Line, "%s: the fact %q: want a name of at most %d letters, digits, dots, dashes, underscores and blanks",
				where, short(name), maxFactName)
			continue
		}
		value := r.text(e.value)
		if n := utf8.RuneCountInString(value); n > maxFactValue {
			r.problem(e.value.Line, "%s.%s: the value has %d characters, want at most %d; put what is longer on a page of your own and name its address here",
				where, name, n, maxFactValue)
			continue
		}
		if value != "" {
			facts[name] = value
		}
	}
	return facts
}

// fillFacts takes the facts that are not said from elsewhere, one by one.
func (d *defaults) fillFacts(from *defaults, note func(key, value string)) {
	for _, name := range slices.Sorted(maps.Keys(from.facts)) {
		if _, said := d.facts[name]; said {
			continue
		}
		if d.facts == nil {
			d.facts = make(map[string]string)
		}
		d.facts[name] = from.facts[name]
		note("facts."+name, from.facts[name])
	}
}
